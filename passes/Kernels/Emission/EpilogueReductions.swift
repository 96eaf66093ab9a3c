import LTMIR
import LTMKernels

// Reductions of what a contraction gives, which its kernel can make on the way: over everything, or over all but the columns.

extension LoweredGraph {
  /// The contraction among some nodes.
  func contraction(among members: [Int]) -> (node: Int, axes: ContractionAxes)? {
    for node in members { if case .contract(let axes) = kinds[node] { return (node, axes) } }
    return nil
  }

  /// Whether reducing a result of this shape over some axes is worth being part of its contraction: no tiles are made of
  /// smaller results, and a result of several columns' axes is reduced as a whole only.
  func isFoldable(_ contraction: Int, _ axes: ContractionAxes, over reduced: [Int]) -> Bool {
    let shape = shapes[contraction]
    let inner = shapes[nodes[contraction].operands[0].index]
    let (rows, columns) = (axes.lhsFree.count, axes.rhsFree.count)
    guard rows > 0, columns > 0, shape[axes.lhsBatch.count + rows - 1] >= 4, shape[shape.count - 1] >= 16,
      axes.lhsContract.reduce(1, { $0 * inner[$1] }) >= 4
    else { return false }
    if reduced.count == shape.count { return true }
    return axes.lhsBatch.isEmpty && columns == 1 && reduced == Array(0..<shape.count - 1)
  }
}

extension Grouping {
  /// Gives a contraction the reductions of what its kernel computes.
  mutating func joinEpilogueReductions() {
    for node in fusion.lowered.nodes.indices where fusion.isCompute[node] {
      guard case .reduce = fusion.lowered.kinds[node], let own = groupOf[node] else { continue }
      for source in fusion.reads[node] {
        guard let group = groupOf[source], fusion.lowered.contraction(among: groups[group]) != nil else { continue }
        if merge(own, into: group) { break }
      }
    }
  }

  /// Whether a node is a reduction that a contraction's kernel makes.
  func epilogueReductions(_ node: Int) -> Bool {
    guard case .reduce = fusion.lowered.kinds[node], let group = groupOf[node] else { return false }
    return fusion.lowered.contraction(among: groups[group]) != nil
  }
}

extension KernelBuilder {
  /// Appends the epilogue reductions of what the contraction gives.
  mutating func addEpilogueReductions(inPlace: [Int: Int], refused: inout Set<Int>) throws(EmissionFailure) {
    for node in reduced {
      guard case .reduce(let combiner, let axes) = lowered.kinds[node] else { throw .notFusible(.epilogue) }
      let (operand, type) = (lowered.nodes[node].operands[0].index, lowered.nodes[node].type)
      let reader = pool.origin
      pool.origin = node
      defer { pool.origin = reader }
      var value = try value(operand, at: space.domainPlace)
      // What is stored is what is reduced.
      if lowered.nodes[operand].type.dtype.isHalf { value = rounded(value, to: lowered.nodes[operand].type.dtype) }
      if dtype(value) != type.dtype.loaded { value = pool.add(.convert(value, type.dtype.loaded)) }
      let kept = space.domain.indices.filter { !axes.contains($0) }
      let flat = flatten(kept.map { Affine(axis: AxisID($0)) }, shape: kept.map { space.domain[$0] })
      guard let index = flat.flatMap({ unflatten($0, shape: lowered.shapes[node], axes: space.axes) }) else {
        throw .notFusible(.epilogue)
      }
      if let input = inPlace[node], readers[input] != nil { refused.insert(node) }
      let store = KernelStore(addBuffer(node, lowered.shapes[node], .write(node)), index, value)
      body.append(.epilogue(store, combiner, over: axes.map { AxisID($0) }))
    }
  }

  /// Whether both operands of the contraction have the innermost of their own axes: without, no tiles are made.
  func hasTwoSides(_ kernel: Kernel) -> Bool {
    guard let axes = lowered.contraction(among: members)?.axes,
      case .contraction(_, _, let lhs, let rhs) = kernel.form
    else { return false }
    func uses(_ operand: ScalarID, _ axis: Int) -> Bool {
      kernel.axesUsed(by: kernel.reachable(from: [operand])).contains(axis)
    }
    return uses(lhs, axes.lhsBatch.count + axes.lhsFree.count - 1) && uses(rhs, kernel.domainRank - 1)
  }

  /// Whether the members that reduce can be epilogue reductions: each of the contraction's result or of what is made from it, element for
  /// element, and read by no other member.
  func canReduceInEpilogue() -> Bool {
    guard fusion.epilogueReductions, let (contraction, axes) = lowered.contraction(among: members) else {
      return reduced.isEmpty
    }
    return reduced.allSatisfy { node in
      guard case .reduce(_, let reduced) = lowered.kinds[node] else { return false }
      return lowered.shapes[lowered.nodes[node].operands[0].index] == lowered.shapes[contraction]
        && lowered.isFoldable(contraction, axes, over: reduced)
        && fusion.reads[node].contains { memberSet.contains($0) && lowered.counts[$0] == space.domainCount }
        && !fusion.readers[node].contains(where: memberSet.contains)
    }
  }
}
