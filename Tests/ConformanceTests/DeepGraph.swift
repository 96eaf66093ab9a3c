import LTMIR

/// A deep model's training step: equal blocks with weights of their own, gradients, a check of each, and updates in place.
func deepStep(blocks: Int, width: Int = 5, odd: Int? = nil) throws(OpError) -> Graph {
  func type(_ shape: [Int]) -> TensorType { TensorType(.f32, shape.map { Dim($0) }) }
  var b = GraphBuilder(name: "step")
  let x = b.input("x", type([3, width]), role: .argument)
  let weights = (0..<blocks).map { b.input("blocks.\($0).weight", type([width, width]), role: .parameter) }
  let moments = (0..<blocks).map {
    b.input("optimizer/blocks.\($0).weight/m", type([width, width]), role: .optimizerState)
  }
  var h = x
  for (number, weight) in weights.enumerated() {
    b.scope = "blocks.\(number).norm"
    let mean = b.make(.mean, [h], ["axes": .ints([1]), "keep": .bool(true)])
    let centred = b.sub(h, b.broadcast(mean, to: [3, Dim(width)], axes: [0, 1]))
    let next = b.make(.tanh, [b.make(.matmul, [centred, weight])])
    h = b.add(h, number == odd ? b.mul(next, next) : b.mul(next, h))
  }
  b.scope = ""
  let loss = b.sum(b.mul(h, h), [0, 1])
  b.output("loss", loss)
  let gradients = try b.differentiate(loss, withRespectTo: weights)
  var isFinite = b.make(.isFinite, [loss])
  for gradient in gradients {
    let all = b.make(.all, [b.make(.isFinite, [gradient])], ["axes": .ints([0, 1]), "keep": .bool(false)])
    isFinite = b.make(.and, [isFinite, all])
  }
  b.output("finite", isFinite)
  let foundInf = b.make(.not, [isFinite])
  for (number, (weight, gradient)) in zip(weights, gradients).enumerated() {
    b.scope = "optimizer/blocks.\(number).weight"
    let old = moments[number]
    let moment = b.add(b.scale(old, by: 0.75), b.scale(gradient, by: 0.25))
    let root = b.make(.sqrt, [b.add(b.mul(moment, moment), b.fill(1, like: moment))])
    let new = b.sub(weight, b.make(.div, [b.scale(moment, by: 0.125), root]))
    let skipped = b.broadcast(foundInf, to: b.type(weight).shape)
    b.output(
      "optimizer/blocks.\(number).weight/m", b.select(skipped, old, moment),
      updates: "optimizer/blocks.\(number).weight/m")
    b.output("blocks.\(number).weight", b.select(skipped, weight, new), updates: "blocks.\(number).weight")
  }
  return b.graph
}
