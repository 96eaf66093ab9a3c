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

  static let reduceScatter = OpDefinition(
    "Of the sum or the mean of the replicas' values, in the order of memory, the part of this replica: as many elements for "
      + "each, zeros behind the last.", isCallable: false,
    signature: [
      OpParameter("x", .tensor), OpParameter("replicas", .int), OpParameter("operation", .word(["sum", "mean"])),
    ], precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let count = try replicaCount(attributes)
      guard ["sum", "mean"].contains(attributes.word("operation")) else {
        throw OpError("what is divided among replicas is their values' sum or mean")
      }
      guard let elements = types[0].staticShape.flatMap(elementCount) else {
        throw OpError("the size of what is divided among replicas is known")
      }
      return TensorType(types[0].dtype, [Dim(shareOfReplica(elements, count))])
    },
    evaluate: { x, attributes, _ in OpDefinition.reduceScatter([x[0]], attributes)[0] }, gradient: .none,
    lowering: .structural { attributes, _ in
      .reduceScatter(replicas: attributes[int: "replicas"], CollectiveOperation(proved: attributes))
    })

  static let allGather = OpDefinition(
    "The parts of all replicas, one after the other, the same on each.", isCallable: false,
    signature: [OpParameter("x", .tensor), OpParameter("replicas", .int)], precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      let count = try replicaCount(attributes)
      guard types[0].rank == 1, let size = types[0].shape[0].constant else {
        throw OpError("a part of a replica has one dimension")
      }
      return TensorType(types[0].dtype, [Dim(size * count)])
    },
    evaluate: { x, attributes, type in
      Reference(shape: type.boundShape, data: (0..<attributes[int: "replicas"]).flatMap { _ in x[0].data })
    },
    gradient: .none,
    lowering: .structural { attributes, _ in .allGather(replicas: attributes[int: "replicas"]) })

  static let sumOverRanks = OpDefinition(
    "The sum of what the ranks of a training run have, the same on each; in one process, the value. Its gradient is the sum of "
      + "theirs.", signature: [OpParameter("x", .tensor)], precision: .follow, infer: elementwise(1, .floats),
    evaluate: { x, _, _ in x[0] }, gradient: .rule { b, _, _, g in [b.make(.sumOverRanks, [g])] },
    lowering: .decompose { _, node in node.operands[0] })

  static let rankCount = OpDefinition(
    "How many ranks share the batch that a value is made of: 1 in one process.", signature: [OpParameter("x", .tensor)],
    precision: .follow,
    infer: { (types, _) throws(OpError) in
      try requireCount(types, 1...1)
      return TensorType(try joinedDType(types, .floats), [])
    },
    evaluate: { _, _, _ in Reference(shape: [], data: [1]) }, gradient: .none,
    lowering: .decompose { b, node in b.constant(1, node.type) })

  /// The reference over several replicas: the part of each.
  static func reduceScatter(_ operands: [Reference], _ attributes: Attributes) -> [Reference] {
    let replicas = attributes[int: "replicas"]
    let (count, share) = (operands[0].data.count, shareOfReplica(operands[0].data.count, replicas))
    let divisor = CollectiveOperation(proved: attributes) == .mean ? Double(operands.count) : 1
    let joined = (0..<count).map { index in operands.reduce(0) { $0 + $1.data[index] } / divisor }
    let padded = joined + [Double](repeating: 0, count: share * replicas - count)
    let parts = (0..<replicas).map { Array(padded[$0 * share..<($0 + 1) * share]) }
    return operands.indices.map { Reference(shape: [share], data: parts[$0]) }
  }

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

/// The elements of a replica's part of an array.
package func shareOfReplica(_ elements: Int, _ replicas: Int) -> Int { (elements + replicas - 1) / replicas }

private func replicaCount(_ attributes: Attributes) throws(OpError) -> Int {
  let replicas = try attributes.required("replicas", attributes.int("replicas"))
  guard replicas > 0 else { throw OpError("\(replicas) replicas: at least 1 is needed") }
  return replicas
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
