import LTMIR
import LTMSupport

// Casts in bodies: by the same rules, with what comes in as it is decided outside. A carried value has one dtype on entry
// and exit, the narrowest that an iteration does not widen.

/// An op with bodies whose every float is decided.
struct DecidedBodies {
  /// The op, with its bodies and types.
  private(set) var node: Node
  /// The dtype that each operand is needed in; `nil` for what is no float.
  private(set) var operands: [DType?]
  private(set) var diagnostics = DiagnosticSet()
  /// The bodies as the rules decided them, before casts of what comes in were moved out.
  private(set) var results: [CastResult] = []
  private let original: [Graph]
  private let stateOutputs: Set<Int>

  /// - Parameters:
  ///   - given: the dtype of each operand as it is decided outside; `nil` for literals, which take what the body reads.
  ///   - stateOutputs: the results that feed a state.
  init(
    _ node: Node, operands given: [DType?], stateOutputs: Set<Int>, _ policy: PrecisionPolicy
  ) throws(DiagnosticSet) {
    self.node = node
    self.stateOutputs = stateOutputs
    original = node.bodies
    let narrow = policy.level.castOps || policy.level.castModel == .half ? policy.half ?? policy.full : policy.full
    let carried = node.carriedOperands
    operands = given.enumerated().map { $1 ?? (carried.contains($0) ? narrow : policy.full) }
    // Each round widens a carried value, or is the last.
    for _ in 0...2 * carried.count {
      try decide(policy)
      if !widen(carried) { break }
    }
    closeCarried(carried)
    hoistCasts(carried)
    setTypes()
  }

  private mutating func decide(_ policy: PrecisionPolicy) throws(DiagnosticSet) {
    (diagnostics, results) = (DiagnosticSet(), [])
    for index in original.indices {
      let result = try insertCasts(body: original[index], taking: operands, stateOutputs: stateOutputs, policy)
      results.append(result)
      node.bodies[index] = result.graph
      for warning in result.warnings { diagnostics.add(warning) }
    }
  }

  /// Widens carried values that an iteration gives out wider than it took them; whether there were any.
  private mutating func widen(_ carried: Range<Int>) -> Bool {
    guard let outputs = node.bodies.last?.outputTypes else { return false }
    var changed = false
    for (operand, output) in zip(carried, outputs) where output.dtype.isFloating {
      guard let dtype = operands[operand] else { continue }
      let widest = DType.widest(dtype, output.dtype)
      if widest != dtype { changed = true }
      operands[operand] = widest
    }
    return changed
  }

  /// Casts what an iteration hands on to the dtype in which the next one takes it.
  private mutating func closeCarried(_ carried: Range<Int>) {
    guard let last = node.bodies.indices.last else { return }
    var builder = GraphBuilder(node.bodies[last])
    var outputs = builder.graph.outputs
    for (index, operand) in carried.enumerated() where index < outputs.count {
      guard let dtype = operands[operand], builder.type(outputs[index].value).dtype != dtype else { continue }
      let place = builder.graph[outputs[index].value]
      (builder.location, builder.scope) = (place.location, place.scope)
      builder.reason = "'\(builder.graph.inputs[operand].name)' is carried in \(dtype)"
      outputs[index].value = builder.cast(outputs[index].value, to: dtype)
    }
    node.bodies[last] = builder.graph
    node.bodies[last].outputs = outputs
  }

  /// What the only body casts whenever it is read comes in cast: once, not in each iteration.
  private mutating func hoistCasts(_ carried: Range<Int>) {
    guard node.bodies.count == 1 else { return }
    let hoisted = loadingCast(node.bodies[0]) { index, _ in !carried.contains(index) }
    for (index, input) in hoisted.inputs.enumerated() where operands[index] != nil {
      operands[index] = hoisted[input.value].type.dtype
    }
    node.bodies[0] = hoisted
  }

  private mutating func setTypes() {
    guard let outputs = node.bodies.last?.outputTypes else { return }
    node.types = zip(node.types, outputs).map { $0.with($1.dtype) }
  }
}

extension Node {
  /// The operands that an iteration hands to the next.
  fileprivate var carriedOperands: Range<Int> {
    guard op == .scan || op == .`while`, let form = try? LoopForm(self) else { return 0..<0 }
    return form.constants..<form.scanned
  }
}

extension Graph {
  /// The paths of layers that its nodes stand in, in bodies too.
  var scopes: Set<String> {
    nodes.reduce(into: []) { found, node in
      found.insert(node.scope)
      for body in node.bodies { found.formUnion(body.scopes) }
    }
  }

  /// Whether some float is undecided, in bodies too.
  var hasUndecided: Bool {
    nodes.contains { node in
      node.types.contains { $0.dtype == .float } || node.bodies.contains { $0.hasUndecided }
    }
  }
}
