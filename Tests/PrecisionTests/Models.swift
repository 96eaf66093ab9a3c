import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport

/// `mean((linear(x, weight) - y)^2)` with a norm between, two layers: enough for every class of op.
func smallLoss(batch: Int = 4, hidden: Int = 6, isNormalized: Bool = true) throws -> Graph {
  var b = GraphBuilder(name: "loss")
  func dims(_ sizes: Int...) -> [Dim] { sizes.map { Dim($0) } }
  let x = b.input("x", TensorType(.float, dims(batch, 3)), role: .argument)
  let label = b.input("label", TensorType(.i32, dims(batch)), role: .argument)
  let first = b.input("fc1.weight", TensorType(.float, dims(hidden, 3)), role: .parameter)
  let bias = b.input("fc1.bias", TensorType(.float, dims(hidden)), role: .parameter)
  let weight = b.input("norm.weight", TensorType(.float, dims(hidden)), role: .parameter)
  let shift = b.input("norm.bias", TensorType(.float, dims(hidden)), role: .parameter)
  let second = b.input("fc2.weight", TensorType(.float, dims(3, hidden)), role: .parameter)
  b.scope = "fc1"
  var h = b.make(.linear, [x, first, bias])
  b.scope = "norm"
  if isNormalized { h = b.make(.layerNorm, [h, weight, shift], ["eps": .float(1e-5)]) }
  b.scope = "fc2"
  h = b.make(.linear, [b.make(.relu, [h]), second])
  b.scope = ""
  b.location = Location(path: "model.ltm", line: 9, column: 5)
  b.output("result", b.make(.crossEntropy, [h, label]))
  return b.graph
}

func smallParameters(hidden: Int = 6) -> [String: [Double]] {
  var random = SeededGenerator(seed: 7)
  return [
    "fc1.weight": random.numbers(hidden * 3), "fc1.bias": random.numbers(hidden),
    "norm.weight": Array(repeating: 1, count: hidden), "norm.bias": Array(repeating: 0, count: hidden),
    "fc2.weight": random.numbers(3 * hidden),
  ]
}

/// The mean of two products: its gradient is `x / 2`, so that a test chooses it.
func productLoss() -> Graph {
  var b = GraphBuilder(name: "loss")
  let x = b.input("x", TensorType(.float, [2]), role: .argument)
  let w = b.input("w", TensorType(.float, [2]), role: .parameter)
  let running = b.input("seen", TensorType(.float, [2]), role: .state)
  b.scope = "product"
  b.location = Location(path: "model.ltm", line: 3, column: 7)
  let product = b.make(.mul, [x, w])
  b.output("result", b.make(.mean, [product], ["axes": .ints([0]), "keep": .bool(false)]))
  b.output("seen", b.add(running, x), updates: "seen")
  return b.graph
}

/// SGD with momentum; the velocity's decay is 0.5.
let momentum = OptimizerTemplate(name: "SGD", states: [("velocity", .constant(0))]) { shape throws(DiagnosticSet) in
  var b = GraphBuilder(name: "SGD")
  let type = TensorType(.float, shape)
  let weight = b.input("weight", type, role: .parameter)
  let grad = b.input("grad", type, role: .argument)
  let rate = b.input("lr", TensorType(.float, []), role: .control)
  _ = b.input("step", TensorType(.float, []), role: .control)
  let velocity = b.input("velocity", type, role: .optimizerState)
  let new = b.add(b.scale(velocity, by: 0.5), grad)
  b.output("weight", b.sub(weight, b.mul(b.broadcast(rate, to: shape), new)))
  b.output("velocity", new)
  return b.graph
}

/// The part of Adam that matters here: `m / (sqrt(v) + eps)` with a bias correction that reads `step`.
let adam = OptimizerTemplate(name: "Adam", states: [("exp_avg_sq", .constant(0))]) { shape throws(DiagnosticSet) in
  var b = GraphBuilder(name: "Adam")
  let type = TensorType(.float, shape)
  let weight = b.input("weight", type, role: .parameter)
  let grad = b.input("grad", type, role: .argument)
  let rate = b.input("lr", TensorType(.float, []), role: .control)
  let step = b.input("step", TensorType(.float, []), role: .control)
  let square = b.input("exp_avg_sq", type, role: .optimizerState)
  let new = b.add(b.scale(square, by: 0.999), b.scale(b.mul(grad, grad), by: 0.001))
  let correction = b.neg(b.make(.expm1, [b.scale(step, by: -0.0010005003335835344)]))
  b.location = Location(path: "train.ltm", line: 21, column: 40)
  let root = b.make(.sqrt, [b.div(new, b.broadcast(correction, to: shape))])
  let denominator = b.offset(root, by: 1e-8)
  b.output("weight", b.sub(weight, b.mul(b.broadcast(rate, to: shape), b.div(grad, denominator))))
  b.output("exp_avg_sq", new)
  return b.graph
}

/// `lr / (1 + step)`
func decay() -> ScheduleTemplate {
  var b = GraphBuilder(name: "decay")
  let rate = b.input("lr", TensorType(.float, []), role: .control)
  let step = b.input("step", TensorType(.float, []), role: .control)
  _ = b.input("total", TensorType(.float, []), role: .control)
  b.output("lr", b.mul(rate, b.make(.reciprocal, [b.offset(step, by: 1)])))
  return ScheduleTemplate(stages: [.init(name: "decay", moves: ["lr": b.graph])])
}

/// The step of a graph that the front end might have made.
func step(
  _ graph: Graph, _ policy: PrecisionPolicy, optimizer: OptimizerTemplate = momentum, schedule: ScheduleTemplate? = nil,
  replicas: Int = 1
) throws -> StepProgram {
  try buildStep(
    loss: insertCasts(graph, policy).graph, optimizer: optimizer, schedule: schedule, policy: policy,
    replicas: Replicas(count: replicas)
  )
}
