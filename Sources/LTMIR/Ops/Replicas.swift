// Rows: what the replicas of a data-parallel program tell each other. Each replica runs the whole graph on rows of its own.

extension OpDefinition {
  static let allReduce = OpDefinition(
    "The sum over all replicas, the same on each; of bools, whether any holds; with `first`, the first replica's value. On "
      + "one replica, the value.", isCallable: false,
    signature: [
      OpParameter("x", .tensor), OpParameter("replicas", .int), OpParameter("first", .bool, default: .bool(false)),
    ], precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let replicas = try attributes.required("replicas", attributes.int("replicas"))
      _ = try attributes.required("first", attributes.bool("first"))
      guard replicas > 0 else { throw OpError("\(replicas) replicas: at least 1 is needed") }
      return types[0]
    }, evaluate: { x, _, _ in x[0] }, gradient: .none,
    lowering: .structural { attributes, _ in
      .allReduce(replicas: attributes[int: "replicas"], first: attributes[bool: "first"])
    })

  /// The reference over several replicas, given the operand of each.
  static func allReduce(_ operands: [Reference], _ attributes: Attributes, _ dtype: DType) -> Reference {
    var result = operands[0]
    if attributes[bool: "first"] { return result }
    for operand in operands.dropFirst() {
      for index in result.data.indices {
        let (a, b) = (result.data[index], operand.data[index])
        result.data[index] = dtype == .bool ? (a != 0 || b != 0 ? 1 : 0) : a + b
      }
    }
    return result
  }
}

extension Graph {
  /// How many replicas of the graph must run together: more than 1 where they exchange values, or draw random numbers for
  /// their share of the rows.
  package var replicas: Int { nodes.lazy.compactMap { $0.attributes.int("replicas") }.max() ?? 1 }
}
