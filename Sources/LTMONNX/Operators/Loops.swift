import LTMIR

// Control flow. A graph in the language has no branch and no loop whose end data decides: an `If` that is not decided at import
// computes both branches and chooses, and loops whose rounds are known are written out, round after round.

extension OperatorTable {
  static let control: [String: OperatorRow] = [
    "If": OperatorRow { call throws in try call.branches() },
    "Loop": OperatorRow { call throws in try call.loop() },
    "Scan": OperatorRow { call throws in try call.scan() },
  ]
}

extension NodeCall {
  private func graph(_ name: String) throws -> ONNXGraph {
    guard case .graph(let graph)? = node.attributes[name] else { throw ImportProblem("it has no graph '\(name)'") }
    return graph
  }

  fileprivate func branches() throws -> [Value] {
    let condition = try input(0)
    if let known = condition.uniform { return try run(try graph(known != 0 ? "then_branch" : "else_branch"), []) }
    let (yes, no) = (try run(try graph("then_branch"), []), try run(try graph("else_branch"), []))
    guard yes.count == no.count else { throw ImportProblem("its branches give \(yes.count) and \(no.count) results") }
    let chosen = named(try reshape(condition, []))
    return try zip(yes, no).map { a, b in
      guard a.type == b.type else {
        throw ImportProblem(
          "its condition is computed when the model runs, and its branches give \(a.type) and \(b.type)")
      }
      return try choose(chosen, a, b)
    }
  }

  fileprivate func loop() throws -> [Value] {
    let body = try graph("body")
    let limit = try integers(0, "the number of rounds")?.first
    var carried: [Value] = []
    for index in inputs.indices.dropFirst(2) { carried.append(try input(index)) }
    guard body.inputs.count == carried.count + 2, body.outputs.count >= carried.count + 1 else {
      throw ImportProblem("its body takes \(body.inputs.count) values and gives \(body.outputs.count)")
    }
    let goesOn = Constant(name: "", .bool, [1], shape: []).map { Value($0) }
    var condition = optional(1) ?? goesOn
    var stacks = [[Value]](repeating: [], count: body.outputs.count - carried.count - 1)
    var round = 0
    while limit.map({ round < $0 }) ?? true {
      guard let known = condition?.uniform, let goesOn else {
        throw ImportProblem("whether another round follows is computed when the model runs")
      }
      if known == 0 { break }
      try builder.writeOut(body)
      let results = try run(body, [Value(sizes: [Dim(round)], shape: []).settled, goesOn] + carried)
      condition = results[0]
      carried = Array(results.dropFirst().prefix(carried.count))
      for (index, value) in results.dropFirst(carried.count + 1).enumerated() { stacks[index].append(value) }
      round += 1
    }
    return try carried + stacks.map { try stacked($0, axis: 0) }
  }

  fileprivate func scan() throws -> [Value] {
    guard opset >= 9 else { throw ImportProblem("its form of opset 8 is not imported") }
    let (body, count) = (try graph("body"), int("num_scan_inputs", 0))
    guard count >= 1, count <= inputs.count, body.inputs.count == inputs.count else {
      throw ImportProblem("it scans \(count) of \(inputs.count) operands, and its body takes \(body.inputs.count)")
    }
    var carried: [Value] = []
    for index in 0..<inputs.count - count { carried.append(try input(index)) }
    guard body.outputs.count >= carried.count else {
      throw ImportProblem("its body gives \(body.outputs.count) values, and \(carried.count) are carried")
    }
    var scanned: [(value: Value, axis: Int, isReversed: Bool)] = []
    for index in 0..<count {
      let value = try self.named(carried.count + index)
      let axis = try self.axis(entry("scan_input_axes", index), rank: value.rank)
      scanned.append((value, axis, entry("scan_input_directions", index) == 1))
    }
    let length = scanned[0].value.shape[scanned[0].axis]
    guard scanned.allSatisfy({ $0.value.shape[$0.axis] == length }) else {
      throw ImportProblem("it scans operands of different lengths")
    }
    guard let rounds = length.constant else {
      throw ImportProblem("its \(ExpressionText.text(length)) rounds have to be known at import, by --dim say")
    }
    var stacks = [[Value]](repeating: [], count: body.outputs.count - carried.count)
    for round in 0..<rounds {
      try builder.writeOut(body)
      let slices = try scanned.map { try element($0.value, $0.isReversed ? rounds - 1 - round : round, axis: $0.axis) }
      let results = try run(body, carried + slices)
      carried = Array(results.prefix(carried.count))
      for (index, value) in results.dropFirst(carried.count).enumerated() { stacks[index].append(value) }
    }
    return try carried
      + stacks.enumerated().map { index, values in
        let isReversed = entry("scan_output_directions", index) == 1
        let axis = try self.axis(entry("scan_output_axes", index), rank: (values.first?.rank ?? 0) + 1)
        return try stacked(isReversed ? values.reversed() : values, axis: axis)
      }
  }

  private func entry(_ name: String, _ index: Int) -> Int {
    guard let all = ints(name), all.indices.contains(index) else { return 0 }
    return all[index]
  }

  /// What lies at one index of an axis.
  private func element(_ x: Value, _ index: Int, axis: Int) throws -> Value {
    let one = try slice(x, axis: axis, from: Dim(index), to: Dim(index + 1))
    return try reshape(one, x.shape.enumerated().filter { $0.offset != axis }.map(\.element))
  }

  /// What each round gave, side by side.
  private func stacked(_ values: [Value], axis: Int) throws -> Value {
    guard let first = values.first else { throw ImportProblem("a result of no round has no elements") }
    guard values.allSatisfy({ $0.type == first.type }) else {
      throw ImportProblem("its rounds give results of different shapes")
    }
    var shape = first.shape
    shape.insert(1, at: axis)
    let rows = try values.map { try reshape($0, shape) }
    return rows.count == 1 ? rows[0] : try apply(.concat, rows, ["axis": .int(axis)], element: first.element)
  }
}
