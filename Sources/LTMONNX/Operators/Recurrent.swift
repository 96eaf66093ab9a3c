import LTMIR

// Recurrent layers: a function of the written file for each kind, called once for each direction.

extension OperatorTable {
  static let recurrent: [String: OperatorRow] = [
    "LSTM": OperatorRow { call throws in try call.recurrent(gates: 4, activations: ["Sigmoid", "Tanh", "Tanh"]) },
    "GRU": OperatorRow { call throws in try call.recurrent(gates: 3, activations: ["Sigmoid", "Tanh"]) },
    "RNN": OperatorRow { call throws in try call.recurrent(gates: 1, activations: ["Tanh"]) },
  ]
}

extension NodeCall {
  fileprivate func recurrent(gates: Int, activations standard: [String]) throws -> [Value] {
    let direction = string("direction", "forward")
    let count = direction == "bidirectional" ? 2 : 1
    try requirePlain((0..<count).flatMap { _ in standard })
    let isBatchFirst = int("layout", 0) == 1
    let given = try input(0)
    guard given.rank == 3, let hidden = try input(2).shape.last else {
      throw ImportProblem("its operands have other ranks")
    }
    let x = named(isBatchFirst ? try transpose(given, [1, 0, 2]) : given)
    try requireWholeLength(x)
    var parts: [[Value]] = []
    for number in 0..<count {
      let isReversed = direction == "reverse" || number == 1
      parts.append(try oneDirection(number, x, hidden, gates, isReversed: isReversed, isBatchFirst: isBatchFirst))
    }
    return try parts[0].indices.map { result in
      // Directions stand side by side: behind the steps in the outputs, first in the last states.
      let place = result == 0 ? 1 : 0
      let all = try parts.map { try unsqueezed($0[result], place) }
      let joined = all.count == 1 ? all[0] : try apply(.concat, all, ["axis": .int(place)])
      guard isBatchFirst else { return joined }
      return try transpose(joined, result == 0 ? [2, 0, 1, 3] : [1, 0, 2])
    }
  }

  private func requirePlain(_ activations: [String]) throws {
    let given = (strings("activations") ?? activations).map { $0.lowercased() }
    guard given == activations.map({ $0.lowercased() }), float("clip") == nil, !flag("input_forget"), optional(7) == nil
    else { throw ImportProblem("activations of its own, clipping, peepholes and coupled gates are not imported") }
  }

  private func requireWholeLength(_ x: Value) throws {
    guard optional(4) != nil else { return }
    guard let lengths = try integers(4, "sequence_lens"), lengths.allSatisfy({ Dim($0) == x.shape[0] }) else {
      throw ImportProblem("sequences of unequal lengths are not imported")
    }
  }

  private func unsqueezed(_ x: Value, _ axis: Int) throws -> Value {
    var shape = x.shape
    shape.insert(1, at: axis)
    return try reshape(x, shape)
  }

  /// One direction's row of an operand that has one for each.
  private func row(_ value: Value, _ number: Int, axis: Int = 0) throws -> Value {
    let one = try slice(value, axis: axis, from: Dim(number), to: Dim(number + 1))
    return try reshape(one, value.shape.enumerated().filter { $0.offset != axis }.map(\.element))
  }

  private func oneDirection(
    _ number: Int, _ x: Value, _ hidden: Dim, _ gates: Int, isReversed: Bool, isBatchFirst: Bool
  ) throws -> [Value] {
    let width = try dim(hidden.multiplied(by: Dim(gates)))
    let (w, r) = (try row(try input(1), number), try row(try input(2), number))
    let bias = try optional(3).map { try row($0, number) }
    let (wb, rb) =
      try bias.map {
        (
          try slice($0, axis: 0, from: 0, to: width),
          try slice($0, axis: 0, from: width, to: try dim(width.multiplied(by: 2)))
        )
      }
      ?? (full([width], 0, like: x), full([width], 0, like: x))
    let stateShape = [x.shape[1], hidden]
    func named(_ value: Value, _ what: String) -> Value {
      guard case .constant(let constant) = value.content, constant.isComputed || constant.shape != [] else {
        return value
      }
      let path = node.name.isEmpty ? node.op : node.name
      let text = isReversed ? "\(path)/\(what)_reverse" : "\(path)/\(what)"
      return Value(value.type, value.element, .constant(constant.with(name: text)))
    }
    func state(_ index: Int) throws -> Value {
      try optional(index).map { try row($0, number, axis: isBatchFirst ? 1 : 0) } ?? full(stateShape, 0, like: x)
    }
    var operands = [x, named(w, "w"), named(r, "r")]
    var results = [TensorType(x.dtype, [x.shape[0]] + stateShape), TensorType(x.dtype, stateShape)]
    let helper: Helper
    switch gates {
    case 4:
      operands += [named(try add(wb, rb), "bias"), try state(5), try state(6)]
      results.append(TensorType(x.dtype, stateShape))
      helper = isReversed ? .lstmReversed : .lstm
    case 3:
      operands += [named(wb, "wb"), named(rb, "rb"), try state(5)]
      let isLate = flag("linear_before_reset")
      helper = isLate ? (isReversed ? .gruLateReversed : .gruLate) : (isReversed ? .gruReversed : .gru)
    default:
      operands += [named(try add(wb, rb), "bias"), try state(5)]
      helper = isReversed ? .rnnReversed : .rnn
    }
    guard x.dtype == .float else { throw ImportProblem("a recurrent layer of \(x.dtype) is not imported") }
    builder.use(helper)
    let call = Expression.call(helper.rawValue, try builder.all(operands), [])
    return builder.bind(call, results.map { ($0, x.element) }, op: node.op)
  }
}
