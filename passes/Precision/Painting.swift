import LTMIR

/// TensorFlow's painting, which finds the ops that may run in half because they stand between two that must: without it a
/// residual sum between two matrix products would go to f32 and back.
///
/// Ops of class half are *allowed*. What is f32 is *denied*, and so is all that reads it through ops that have no opinion.
/// Of the rest, an op with an allowed one before and an allowed one after it is allowed.
struct Painting {
  private var isAllowed: [Bool]
  private var isDenied: [Bool]
  private var isAfterAllowed: [Bool]
  private var isBeforeAllowed: [Bool]

  init(_ plan: CastPlan) {
    let count = plan.graph.nodes.count
    isAllowed = Array(repeating: false, count: count)
    isDenied = isAllowed
    isAfterAllowed = isAllowed
    isBeforeAllowed = isAllowed
    for value in plan.graph.values { paintForward(value, plan) }
    for value in plan.graph.values.reversed() { paintBackward(value, plan) }
  }

  /// Whether the op runs in half for the sake of its neighbours.
  func isBetweenAllowed(_ value: ValueID) -> Bool {
    isAfterAllowed[value.index] && isBeforeAllowed[value.index] && !isDenied[value.index]
  }

  private mutating func paintForward(_ value: ValueID, _ plan: CastPlan) {
    let node = plan.graph[value]
    guard node.op != .input, !plan.isWeak[value.index] else {
      isDenied[value.index] =
        node.type.dtype.isFloating && node.type.dtype != .float && node.type.dtype != plan.policy.half
      return
    }
    guard node.type.dtype == .float || !node.type.dtype.isFloating else {
      isDenied[value.index] = node.type.dtype != plan.policy.half
      isAllowed[value.index] = !isDenied[value.index]
      return
    }
    if plan.isKept(node) || plan.statistics[value.index] != nil {
      isDenied[value.index] = true
      return
    }
    switch plan.precisionClass(node) {
    case .half: isAllowed[value.index] = true
    case .float32, .loss, .normalization, .banned: isDenied[value.index] = true
    case .widest, .follow, .never:
      let operands = plan.decisiveOperands(node)
      isDenied[value.index] = operands.contains { isDenied[$0.index] }
      isAfterAllowed[value.index] =
        !isDenied[value.index] && operands.contains { isAllowed[$0.index] || isAfterAllowed[$0.index] }
    }
  }

  /// Tells the operands what comes after them.
  private mutating func paintBackward(_ value: ValueID, _ plan: CastPlan) {
    let node = plan.graph[value]
    let leadsOn = node.type.dtype == .float && !isDenied[value.index] && isBeforeAllowed[value.index]
    guard isAllowed[value.index] || leadsOn else { return }
    for operand in plan.decisiveOperands(node) { isBeforeAllowed[operand.index] = true }
  }
}
