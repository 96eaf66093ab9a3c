import LTMIR
import LTMKernels

// What a kernel lets its vectors do: hold their lanes in another order, or keep values from row to row.

extension FlatKernel {
  /// Whether full vectors may hold the lower halves of words before the upper ones (``IRBuilder/widenPairs(_:)``): all that
  /// lies along them in memory is bf16, and nothing asks for a lane's position.
  func allowsPairs(_ profile: TargetProfile, _ strategy: Schedule.Strategy) -> Bool {
    guard profile.architecture == .x86_64, !profile.convertsBF16 else { return false }
    let vectorAxes = vectorAxes(strategy)
    let touching = (loads.compactMap { $0 } + stores.joined()).filter { access in
      vectorAxes.contains { access.depends(on: $0) }
        || access.dynamic.contains { !dependencies[$0.index.index].isDisjoint(with: vectorAxes) }
    }
    let namesPosition = kernel.expressions.contains { expression in
      if case .axis(let axis) = expression { vectorAxes.contains(axis.index) } else { false }
    }
    let findsPosition = kernel.body.contains { if case .argReduce = $0 { true } else { false } }
    let isMoved = stores.joined().contains { $0.shift != nil }
    return !touching.isEmpty && !isMoved && !namesPosition && !findsPosition
      && touching.allSatisfy { isPaired($0, vectorAxes) }
  }

  /// The axes along which vectors lie.
  private func vectorAxes(_ strategy: Schedule.Strategy) -> Set<Int> {
    switch strategy {
    case .pointwise, .blocks, .columns: Set(domain.suffix(1))
    case .rows: Set(kernel.body.compactMap { $0.innerAxes.last?.index })
    case .scatter, .contraction, .product, .axpy, .prefix, .order, .attention: []
    }
  }

  private func isPaired(_ access: FlatAccess, _ vectorAxes: Set<Int>) -> Bool {
    kernel[access.buffer].dtype == .bf16
      && vectorAxes.allSatisfy { axis in
        access.form.strides[axis] == 0 || access.form.strides[axis] == 1
      } && access.guards.allSatisfy { condition in vectorAxes.allSatisfy { condition.form.strides[$0] == 0 } }
      && access.dynamic.allSatisfy { dependencies[$0.index.index].isDisjoint(with: vectorAxes) }
  }

  /// The f32 values of a pointwise kernel that vary along the innermost axis alone and cost something, a conversion at
  /// least: the largest such expressions. Worth computing once for many rows.
  func rowInvariants(_ facts: FormulaFacts) -> [ScalarID] {
    guard domain.count > 1, let axis = domain.last else { return [] }
    let isInvariant = kernel.expressions.indices.map { id in
      dependencies[id] == [axis] && kernel.dtype(ScalarID(id)) == .f32 && !facts.isFused[id]
    }
    var isRead = [Bool](repeating: false, count: isInvariant.count)
    for (id, expression) in kernel.expressions.enumerated() where !isInvariant[id] {
      for operand in expression.operands { isRead[operand.index] = true }
    }
    for root in kernel.body.flatMap(\.roots) { isRead[root.index] = true }
    return isInvariant.indices.filter { isInvariant[$0] && isRead[$0] && costs(ScalarID($0)) }.map { ScalarID($0) }
  }

  private func costs(_ id: ScalarID) -> Bool {
    switch kernel[id] {
    case .load(let buffer, _, _, _): kernel[buffer].dtype != .f32
    case .apply, .convert, .round: true
    case .constant, .axis, .local, .scratch: false
    }
  }
}
