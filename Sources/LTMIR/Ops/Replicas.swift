// Rows: what the replicas of a data-parallel program tell each other. Each replica runs the whole graph on rows of its own.

extension OpDefinition {
  static let allReduce = OpDefinition(
    "What the replicas' values make together, the same on each: their sum, of bools whether any holds; their mean; or the "
      + "first one. On one replica, the value.", isCallable: false,
    signature: [
      OpParameter("x", .tensor), OpParameter("replicas", .int),
      OpParameter("operation", .word(["sum", "mean", "first"])),
    ], precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let replicas = try attributes.required("replicas", attributes.int("replicas"))
      let operation = try attributes.required("operation", attributes.word("operation"))
      guard CollectiveOperation(rawValue: operation) != nil else {
        throw OpError("'\(operation)' is nothing that replicas' values make together")
      }
      guard replicas > 0 else { throw OpError("\(replicas) replicas: at least 1 is needed") }
      return types[0]
    }, evaluate: { x, _, _ in x[0] }, gradient: .none,
    lowering: .structural { attributes, _ in
      .allReduce(replicas: attributes[int: "replicas"], CollectiveOperation(proved: attributes))
    })

  /// The reference over several replicas, given the operand of each.
  static func allReduce(_ operands: [Reference], _ attributes: Attributes, _ dtype: DType) -> Reference {
    let operation = CollectiveOperation(proved: attributes)
    var result = operands[0]
    if operation == .first { return result }
    for operand in operands.dropFirst() {
      for index in result.data.indices {
        let (a, b) = (result.data[index], operand.data[index])
        result.data[index] = dtype == .bool ? (a != 0 || b != 0 ? 1 : 0) : a + b
      }
    }
    return operation == .mean ? result.map { $0 / Double(operands.count) } : result
  }
}

/// What the values of several replicas make together.
package enum CollectiveOperation: String, Sendable, Hashable {
  /// The sum; of bools, whether any holds.
  case sum
  /// The mean of floats.
  case mean
  /// The first replica's value.
  case first

  /// Of a legal node.
  package init(proved attributes: Attributes) {
    self = attributes.word("operation").flatMap(CollectiveOperation.init) ?? .sum
  }
}

extension Graph {
  /// How many replicas of the graph must run together: more than 1 where they exchange values, or draw random numbers for
  /// their share of the rows.
  package var replicas: Int { nodes.lazy.compactMap { $0.attributes.int("replicas") }.max() ?? 1 }
}
