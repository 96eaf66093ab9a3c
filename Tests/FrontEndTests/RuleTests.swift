import Foundation
import LTMFrontEnd
import LTMIR
import TestSupport
import Testing

/// The prelude's optimizers and schedules, held to PyTorch's formulas written out in plain numbers.
@Suite struct RuleTests {
  private let weights = [0.5, -1.25, 2, 0]
  private let gradients = [[0.1, -0.2, 0.3, 1], [-0.5, 0.25, 0, -1], [1, 1, -1, 0.125]]

  private func scalar(_ value: Double) throws -> Tensor { try #require(Tensor([value], shape: [], dtype: .f64)) }
  private func vector(_ values: [Double]) throws -> Tensor {
    try #require(Tensor(values, shape: [values.count], dtype: .f64))
  }

  /// Runs three updates through the interpreter.
  private func run(_ name: String, _ arguments: [String: CompileTimeValue], lr: Double) throws -> [Double] {
    let file = try loaded("")
    let call = RuleCall(name: name, arguments: arguments.map { .init(name: $0.key, value: $0.value) })
    let update = try file.optimizer(call).update(shape: [4])
    let graph = update.graph
    #expect(graph.verify().isEmpty)
    var values = ["weight": weights]
    for state in update.states { values[state.name] = [0, 0, 0, 0] }
    for (index, gradient) in gradients.enumerated() {
      var inputs = try values.mapValues(vector)
      inputs["grad"] = try vector(gradient)
      if graph.input("lr") != nil { inputs["lr"] = try scalar(lr) }
      if graph.input("step") != nil { inputs["step"] = try scalar(Double(index + 1)) }
      for (name, result) in try graph.evaluate(inputs) { values[name] = result.data }
    }
    return try #require(values["weight"])
  }

  /// PyTorch's SGD for one element.
  private func sgd(_ start: Double, _ gradients: [Double], _ p: SGD) -> Double {
    var (w, velocity) = (start, 0.0)
    for (index, gradient) in gradients.enumerated() {
      let g = gradient + p.decay * w
      if p.momentum == 0 {
        w -= p.lr * g
        continue
      }
      velocity = index == 0 ? g : p.momentum * velocity + (1 - p.dampening) * g
      w -= p.lr * (p.nesterov ? g + p.momentum * velocity : velocity)
    }
    return w
  }

  struct SGD: Sendable {
    var lr = 0.1
    var momentum = 0.0
    var dampening = 0.0
    var decay = 0.0
    var nesterov = false
  }

  @Test(arguments: [
    SGD(), SGD(momentum: 0.9), SGD(momentum: 0.9, dampening: 0.5), SGD(decay: 0.01),
    SGD(lr: 0.02, momentum: 0.8, decay: 0.1, nesterov: true),
  ])
  func sgdIsPyTorchs(p: SGD) throws {
    let result = try run(
      "SGD",
      [
        "lr": .float(p.lr), "momentum": .float(p.momentum), "dampening": .float(p.dampening),
        "weight_decay": .float(p.decay), "nesterov": .bool(p.nesterov),
      ], lr: p.lr)
    expectClose(
      result, weights.indices.map { i in sgd(weights[i], gradients.map { $0[i] }, p) }, .absolute(1e-13))
  }

  /// PyTorch's Adam and AdamW for one element.
  private func adam(_ start: Double, _ gradients: [Double], lr: Double, decay: Double, decoupled: Bool) -> Double {
    let (beta1, beta2, eps) = (0.9, 0.999, 1e-8)
    var (w, m, v) = (start, 0.0, 0.0)
    for (index, gradient) in gradients.enumerated() {
      let step = Double(index + 1)
      if decoupled { w -= lr * decay * w }
      let g = decoupled ? gradient : gradient + decay * w
      m = beta1 * m + (1 - beta1) * g
      v = beta2 * v + (1 - beta2) * g * g
      let denominator = v.squareRoot() / (1 - pow(beta2, step)).squareRoot() + eps
      w -= lr / (1 - pow(beta1, step)) * m / denominator
    }
    return w
  }

  @Test(arguments: ["Adam", "AdamW"], [0.0, 0.01])
  func adamIsPyTorchs(name: String, decay: Double) throws {
    let result = try run(name, ["weight_decay": .float(decay)], lr: 0.01)
    let expected = weights.indices.map { i in
      adam(weights[i], gradients.map { $0[i] }, lr: 0.01, decay: decay, decoupled: name == "AdamW")
    }
    // `-expm1(step * log(beta))` and `1 - beta^step` differ in the last places.
    expectClose(result, expected, .absolute(1e-11))
  }

  @Test func statesThatAreNotUsedAreNotKept() throws {
    let file = try loaded("")
    let plain = try file.optimizer(RuleCall(name: "SGD", arguments: [.init(name: "lr", value: .float(1))]))
    #expect(try plain.update(shape: [4]).states.isEmpty)
    #expect(plain.learningRate == 1)
    let adam = try file.optimizer(RuleCall(name: "Adam"))
    #expect(try adam.update(shape: [4]).states.map(\.name) == ["exp_avg", "exp_avg_sq"])
    #expect(adam.learningRate == 1e-3)
  }

  /// Messages about numbers that a dtype cannot hold need the line where the number was written.
  @Test func constantsKnowWhereTheyWereWritten() throws {
    let file = try loaded(
      """
      model M {
        func loss(x: [B]) -> [] { return mean(x) }
      }
      train M {
        minimize loss
        optimizer Adam(eps: 1e-9)
      }
      """)
    let call = try #require(try file.train(for: "M")?.optimizer)
    let graph = try file.optimizer(call).update(shape: [4]).graph
    let eps = try #require(graph.nodes.first { $0.op == .constant && $0.attributes.float("value") == 1e-9 })
    #expect(eps.location?.description == "test.ltm:6:23")
    let usual = try file.optimizer(RuleCall(name: "Adam")).update(shape: [4]).graph
    let other = try #require(usual.nodes.first { $0.op == .constant && $0.attributes.float("value") == 1e-8 })
    #expect(other.location?.path == "prelude.ltm")
  }

  /// What a schedule makes of a rate of 1.
  private func factor(_ name: String, _ arguments: [String: CompileTimeValue], step: Double) throws -> Double {
    let call = RuleCall(name: name, arguments: arguments.map { .init(name: $0.key, value: $0.value) })
    let graph = try #require(try loaded("").schedule(call).stages[0].moves["lr"])
    let given = ["lr": 1, "step": step, "total": 100].filter { graph.input($0.key) != nil }
    return try #require(try graph.evaluate(given.mapValues(scalar))["lr"]?.data.first)
  }

  @Test(arguments: [0.0, 4, 9, 10, 55, 99, 100, 150])
  func schedules(step: Double) throws {
    let rise = min((step + 1) / 10, 1)
    let along = min(max(step - 10, 0) / 90, 1)
    let warm: [String: CompileTimeValue] = ["warmup": .int(10), "floor": .float(0.1)]
    #expect(try factor("constant", [:], step: step) == 1)
    #expect(try factor("constant", ["warmup": .int(10)], step: step) == rise)
    let cosine = rise * (0.1 + 0.9 * 0.5 * (1 + cos(.pi * along)))
    #expect(abs(try factor("cosine", warm, step: step) - cosine) < 1e-14)
    #expect(abs(try factor("linear_decay", warm, step: step) - rise * (1 - 0.9 * along)) < 1e-14)
    let steps = pow(0.5, (step / 30).rounded(.down))
    #expect(abs(try factor("step_decay", ["every": .int(30), "gamma": .float(0.5)], step: step) - steps) < 1e-14)
  }
}
