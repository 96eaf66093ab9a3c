import LTMIR

// A convolution of each channel with what came before, whose last inputs are handed on.

extension OperatorTable {
  static let causal: [String: OperatorRow] = [
    "CausalConvWithState": OperatorRow { call throws in
      let (x, weight) = (try call.input(0), try call.input(1))
      guard x.rank == 3, weight.rank == 3, let channels = x.shape[1].constant, let taps = weight.shape[2].constant
      else {
        throw ImportProblem("its operands are \(shapeText(x.shape)) and \(shapeText(weight.shape))")
      }
      var padded = x
      if let past = call.optional(3), taps > 1 {
        padded = try call.apply(.concat, [past, x], ["axis": .int(2)])
      } else if taps > 1 {
        padded = try call.apply(
          .pad, [x], ["axis": .int(2), "low": .int(taps - 1), "high": .int(0), "value": .float(0)])
      }
      padded = call.named(padded)
      let result = try call.apply(
        .conv1d, [padded, weight] + (call.optional(2).map { [$0] } ?? []), ["groups": .int(channels)])
      let isActivated = call.string("activation", "none") != "none"
      let output = isActivated ? try call.unary(.silu, result) : result
      guard call.node.outputs.count > 1, taps > 1 else { return [output] }
      let start = try call.dim(padded.shape[2].subtracting(Dim(taps - 1)))
      return [output, try call.slice(padded, axis: 2, from: start, to: padded.shape[2])]
    }
  ]
}
