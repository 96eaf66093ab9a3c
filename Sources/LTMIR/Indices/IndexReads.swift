import LTMSupport

/// A place where an op reads integers as indices into something of known size.
package struct IndexRead: Sendable, Hashable {
  /// The op that reads them.
  package let op: Op
  /// The integers.
  package var indices: ValueID
  /// Valid are 0 up to, not including, this.
  package let count: Int
  /// Where the op was written.
  package let location: Location?

  /// The same read in a graph of other sizes.
  package var anywhere: IndexRead {
    var read = self
    read.indices = ValueID(0)
    return read
  }

  /// What to say where a run met `outside` such indices.
  package func warning(outside: Int) -> Diagnostic {
    var warning = Diagnostic(
      .warning,
      "\(outside) \(outside == 1 ? "index" : "indices") of '\(op.name)' lay outside of its \(count) \(things) in this run",
      notes: [consequence + "; valid are 0 to \(count - 1)"])
    warning.location = location
    return warning
  }

  /// What an index points to.
  package var things: String { op.indexedThings }

  /// What the op does with an index outside.
  package var consequence: String {
    switch op {
    case .crossEntropy: "a label outside adds 0 to the loss, and has no gradient"
    case .scatterAdd: "an index outside adds to the nearest row"
    case .writeAt: "what begins outside is written at the nearest place"
    case _: "an index outside reads the nearest row"
    }
  }
}

extension Graph {
  /// Every place where integers are read as indices; none where the size is symbolic.
  package var indexReads: [IndexRead] {
    nodes.compactMap { node in
      guard let (operand, size) = indexed(node), let count = size.constant else { return nil }
      return IndexRead(op: node.op, indices: operand, count: count, location: node.location)
    }
  }

  /// The reads of indices that are known before anything runs and lie outside, as messages.
  package var knownIndexProblems: [Diagnostic] {
    var problems = DiagnosticSet(nodes.flatMap { node in node.bodies.flatMap(\.knownIndexProblems) })
    let reads = indexReads
    if reads.isEmpty { return problems.all }
    let known = KnownIntegers(self, of: reads.map(\.indices))
    for read in reads {
      guard let values = known.values(of: read.indices) else { continue }
      let outside = values.filter { $0 < 0 || $0 >= Double(read.count) }
      guard let first = outside.first else { continue }
      var problem = Diagnostic(
        .error,
        "'\(read.op.name)' has \(read.count) \(read.things), and \(outside.count) of its \(values.count) indices "
          + "\(outside.count == 1 ? "is" : "are") outside: \(Int(first))\(outside.count == 1 ? "" : ", ...")",
        notes: ["valid are 0 to \(read.count - 1)"])
      problem.location = read.location
      problems.add(problem)
    }
    return problems.all
  }

  /// The reads whose indices are neither known, nor an argument that is checked as it is given, nor bound to be inside: what
  /// only a run can tell.
  package var computedIndexReads: [IndexRead] {
    let reads = indexReads
    if reads.isEmpty { return [] }
    let known = KnownIntegers(self, of: reads.map(\.indices))
    var seen: Set<IndexRead> = []
    return reads.filter { read in
      guard argument(behind: read.indices) == nil else { return false }
      if let range = known.range(of: read.indices), range.lowerBound >= 0, range.upperBound < Double(read.count) {
        return false
      }
      return seen.insert(read).inserted
    }
  }

  /// The operand that the op reads as indices, and the size of what they point into.
  private func indexed(_ node: Node) -> (operand: ValueID, size: Dim)? {
    func shape(_ operand: Int) -> [Dim] { self[node.operands[operand]].type.shape }
    switch node.op {
    case .crossEntropy: return shape(0).last.map { (node.operands[1], $0) }
    case .gather, .scatterAdd, .takeAlongAxis:
      guard let axis = node.attributes.int("axis"), shape(0).indices.contains(axis) else { return nil }
      return (node.operands[1], shape(0)[axis])
    case .writeAt where node.attributes.bool("wraps") == false:
      guard let axis = node.attributes.int("axis"), shape(0).indices.contains(axis),
        let starts = shape(0)[axis].subtracting(shape(1)[axis])?.adding(1)
      else { return nil }
      return (node.operands[2], starts)
    case _: return nil
    }
  }

  /// The argument whose elements a value holds, all of them and no others.
  func argument(behind value: ValueID) -> String? {
    var value = value
    while true {
      let node = self[value]
      switch node.op {
      case .reshape, .transpose, .broadcast, .stopGradient: value = node.operands[0]
      case .cast where !self[node.operands[0]].type.dtype.isFloating: value = node.operands[0]
      case .input: return inputs.first { $0.value == value && $0.role == .argument }?.name
      case _: return nil
      }
    }
  }
}

extension Graph {
  /// The name of the output that counts, of the read of that number.
  package static func outsideCount(_ number: Int) -> String { "outside/\(number)" }

  /// The graph with an output for each of its ``computedIndexReads``, in their order.
  package var countingOutside: Graph {
    let reads = computedIndexReads
    guard !reads.isEmpty, !outputs.contains(where: { $0.name == Graph.outsideCount(0) }) else { return self }
    var builder = GraphBuilder(self)
    for (number, read) in reads.enumerated() {
      builder.location = read.location
      builder.output(Graph.outsideCount(number), builder.countOutside(read))
    }
    return builder.graph
  }
}

extension GraphBuilder {
  /// How many of a read's indices lie outside, an i32.
  package mutating func countOutside(_ read: IndexRead) -> ValueID {
    let type = type(read.indices)
    let below = make(.less, [read.indices, constant(0, type)])
    let above = make(.greaterEqual, [read.indices, constant(Double(read.count), type)])
    let outside = cast(make(.or, [below, above]), to: .i32)
    return type.rank == 0 ? outside : sum(outside, Array(0..<type.rank))
  }
}

extension Op {
  /// What its indices point to.
  package var indexedThings: String {
    switch self {
    case .crossEntropy: "classes"
    case .writeAt: "places to begin at"
    case _: "rows"
    }
  }
}
