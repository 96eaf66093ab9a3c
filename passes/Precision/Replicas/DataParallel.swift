import LTMIR

// Several replicas of a step, each on its share of the batch: what they must agree on goes through an `all_reduce`, so that
// weights, optimizer state and loss scale stay the same on all. One replica alone has none of these nodes.

/// The replicas of a step, alike but for their rows.
package struct Replicas: Hashable, Sendable {
  /// How many there are.
  package let count: Int
  /// Which of them a graph is for; `nil` where they all run one program and know their number by themselves.
  package let rank: Int?
  /// Into how many parts a window of batches is cut, whose sums are then the same bits on any number of ranks; `nil` where that
  /// is not asked for.
  package let parts: Int?
  /// Whether masters and the optimizer's state are divided among them.
  package let shardsOptimizer: Bool

  /// One alone.
  package static let one = Replicas(count: 1)

  package init(count: Int, rank: Int? = nil, parts: Int? = nil, shardsOptimizer: Bool = false) {
    (self.count, self.rank, self.parts, self.shardsOptimizer) = (count, rank, parts, shardsOptimizer)
  }
}

extension Graph {
  /// The graph with the random numbers of a batch's rows drawn by their place in the whole batch, of which each replica has a
  /// part: together they draw what one alone would.
  func drawingRows(of replicas: Replicas) -> Graph {
    mapBodies { $0.sharingRows(replicas) }.sharingRows(replicas)
  }

  private func sharingRows(_ replicas: Replicas) -> Graph {
    var result = self
    for index in nodes.indices where nodes[index].attributes["rows"] != nil {
      result.nodes[index].attributes["replicas"] = .int(replicas.count)
      if let rank = replicas.rank { result.nodes[index].attributes["replica"] = .int(rank) }
    }
    return result
  }
}

extension Graph {
  /// The graph of one of several replicas: what is asked of all ranks is asked.
  func joiningRanks(_ replicas: Replicas) -> Graph {
    guard replicas.count > 1 else { return self }
    return mapBodies { $0.withCollectives(replicas) }.withCollectives(replicas)
  }

  private func withCollectives(_ replicas: Replicas) -> Graph {
    var result = self
    for (index, node) in nodes.enumerated() {
      switch node.op {
      case .sumOverRanks:
        result.nodes[index].op = .allReduce
        result.nodes[index].attributes = ["replicas": .int(replicas.count), "operation": .word("sum")]
      case .rankCount:
        result.nodes[index].op = .constant
        (result.nodes[index].operands, result.nodes[index].attributes) = ([], ["value": .float(Double(replicas.count))])
      default: break
      }
    }
    return result
  }
}

extension StepBuilder {
  /// Where this replica's gradients start. Its loss is a mean over its own rows, which are a part of the batch: from that part of
  /// the scale, each value of the backward pass is as large as it is in one process, and overflows where that does.
  mutating func ownPart(ofScale scale: ValueID) -> ValueID {
    guard replicas.count > 1, replicas.parts == nil else { return scale }
    return builder.scale(scale, by: 1 / Double(replicas.count))
  }

  /// What makes the gradients of all replicas that of the whole batch: the sum of those that started at a part of the scale.
  var gradientOperation: CollectiveOperation { isScaled && !isJoined ? .sum : .mean }

  /// Makes each gradient that of the whole batch, or this rank's part of it, and asks whether all are finite: of scaled ones
  /// when they are joined, since their sum overflows where one process's does; of others before, since the mean of finite
  /// numbers is finite.
  mutating func joinGradients() {
    wholeLoss = replicas.count == 1 ? loss : meanOverReplicas(loss)
    guard gradientOperation == .sum, replicas.count > 1 else {
      foundInf = onAnyReplica(checkFiniteness(of: loss, gradients))
      joinEach()
      return
    }
    joinEach()
    let found = checkFiniteness(of: wholeLoss, gradients)
    foundInf = shards.isEmpty ? found : onAnyReplica(found)
  }

  private mutating func joinEach() {
    guard replicas.count > 1 else { return }
    gradients = gradients.indices.map { index in
      shards[index] == nil ? wholeGradient(gradients[index]) : partOfGradient(gradients[index])
    }
  }

  /// The whole batch's gradient, in the accumulator's dtype. Ranks send 16 bits as 16 bits, which are added in f32 and rounded
  /// once; what cores send is f32, and a sum of it is rounded likewise.
  private mutating func wholeGradient(_ gradient: ValueID) -> ValueID {
    let dtype = builder.type(gradient).dtype
    let sent = replicas.rank == nil ? builder.cast(gradient, to: dtype.accumulator) : gradient
    let reason = "the gradient of the rows of \(replicas.count) \(replicas.rank == nil ? "replicas" : "ranks")"
    var whole = allReduce(sent, gradientOperation, reason)
    if gradientOperation == .sum { whole = builder.cast(whole, to: dtype) }
    return builder.cast(whole, to: dtype.accumulator)
  }

  /// A value's mean over the replicas, in the accumulator's dtype.
  mutating func meanOverReplicas(_ value: ValueID) -> ValueID {
    let wide = builder.cast(value, to: builder.type(value).dtype.accumulator)
    return allReduce(wide, .mean, "the mean over \(replicas.count) \(replicas.rank == nil ? "replicas" : "ranks")")
  }

  /// Whether a flag holds on any replica.
  mutating func onAnyReplica(_ flag: ValueID) -> ValueID { allReduce(flag, .sum, "what one replica skips, all skip") }

  /// A count's sum over the replicas.
  mutating func sumOverReplicas(_ count: ValueID) -> ValueID { allReduce(count, .sum, "the count of all replicas") }

  /// The first replica's value: running statistics, which every replica takes of its own rows.
  mutating func ofFirstReplica(_ value: ValueID) -> ValueID {
    allReduce(value, .first, "state is the first replica's")
  }

  private mutating func allReduce(_ value: ValueID, _ operation: CollectiveOperation, _ reason: String) -> ValueID {
    guard replicas.count > 1, !isJoined else { return value }
    let saved = builder.reason
    builder.reason = reason
    defer { builder.reason = saved }
    return builder.make(
      .allReduce, [value], ["replicas": .int(replicas.count), "operation": .word(operation.rawValue)])
  }
}
