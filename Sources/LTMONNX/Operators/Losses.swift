import LTMIR

// Losses over classes on axis 1, with weights and a label that does not count.

extension OperatorTable {
  static let losses: [String: OperatorRow] = [
    "NegativeLogLikelihoodLoss": .one { call throws in try call.likelihood(try call.named(0)) },
    "SoftmaxCrossEntropyLoss": OperatorRow { call throws in
      let logs = call.named(try call.apply(.logSoftmax, [try call.input(0)], ["axis": .int(1)]))
      return [try call.likelihood(logs), logs]
    },
  ]
}

extension NodeCall {
  fileprivate func likelihood(_ logs: Value) throws -> Value {
    guard logs.rank >= 2 else { throw ImportProblem("its operand is \(shapeText(logs.shape))") }
    let labels = named(try cast(try input(1), .int64))
    let ignored = try int("ignore_index").map { try compare(.equal, labels, Double($0)) }.map(named)
    let safe = try ignored.map { try choose($0, number(0, like: labels), labels) } ?? labels
    let places = try reshape(safe, [labels.shape[0], 1] + labels.shape.dropFirst())
    let picked = try apply(.takeAlongAxis, [logs, places], ["axis": .int(1)])
    var loss = try unary(.neg, try reshape(picked, labels.shape))
    var weight = try optional(2).map { try apply(.gather, [$0, safe], ["axis": .int(0)]) }
    if let ignored {
      let one = try weight ?? full(labels.shape, 1, like: logs)
      weight = try choose(ignored, number(0, like: logs), one)
    }
    weight = weight.map(named)
    if let weight { loss = try mul(loss, weight) }
    let all: Attributes = ["axes": .ints(Array(0..<labels.rank)), "keep": .bool(false)]
    switch string("reduction", "mean") {
    case "none": return loss
    case "sum": return try apply(.sum, [loss], all)
    default:
      guard let weight else { return try apply(.mean, [loss], all) }
      return try div(try apply(.sum, [loss], all), try apply(.sum, [weight], all))
    }
  }
}
