import LTMIR

// Several replicas of a step, each on its share of the batch: what they must agree on goes through an `all_reduce`, so that
// weights, optimizer state and loss scale stay the same on all. One replica alone has none of these nodes.

extension Graph {
  /// The graph with the random numbers of a batch's rows drawn by their place in the whole batch, of which each replica has a
  /// part: together they draw what one alone would.
  func drawingRows(of replicas: Int) -> Graph {
    mapBodies { $0.sharingRows(replicas) }.sharingRows(replicas)
  }

  private func sharingRows(_ replicas: Int) -> Graph {
    var result = self
    for index in nodes.indices where nodes[index].attributes["rows"] != nil {
      result.nodes[index].attributes["replicas"] = .int(replicas)
    }
    return result
  }
}

extension StepBuilder {
  /// A value's mean over the replicas, in the accumulator's dtype. Divided before it is summed, so that it overflows only
  /// where one replica's value does.
  mutating func meanOverReplicas(_ value: ValueID) -> ValueID {
    let wide = builder.cast(value, to: builder.type(value).dtype.accumulator)
    guard replicas > 1 else { return wide }
    return allReduce(
      builder.div(wide, builder.fill(Double(replicas), like: wide)), "the mean over \(replicas) replicas")
  }

  /// Whether a flag holds on any replica.
  mutating func onAnyReplica(_ flag: ValueID) -> ValueID {
    replicas > 1 ? allReduce(flag, "what one replica skips, all skip") : flag
  }

  /// A count's sum over the replicas.
  mutating func sumOverReplicas(_ count: ValueID) -> ValueID {
    replicas > 1 ? allReduce(count, "the count of all replicas") : count
  }

  /// The first replica's value: running statistics, which every replica takes of its own rows.
  mutating func ofFirstReplica(_ value: ValueID) -> ValueID {
    replicas > 1 ? allReduce(value, first: true, "state is the first replica's") : value
  }

  private mutating func allReduce(_ value: ValueID, first: Bool = false, _ reason: String) -> ValueID {
    let saved = builder.reason
    builder.reason = reason
    defer { builder.reason = saved }
    return builder.make(.allReduce, [value], ["replicas": .int(replicas), "first": .bool(first)])
  }
}
