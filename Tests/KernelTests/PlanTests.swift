import Foundation
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMSupport
import TestSupport
import Testing

@Suite struct PlanTests {
  @Test("a plan computes what its graph does", arguments: samples, [true, false])
  func agrees(_ sample: SampleGraph, _ fuse: Bool) throws {
    let plan = try buildPlan(sample.graph, fuse: fuse)
    #expect(plan.verify() == [])
    let inputs = sample.inputs()
    let expected = try sample.graph.evaluate(inputs)
    expectClose(try plan.evaluate(inputs, rounding: false), expected, sample.graph, relative: { _ in 1e-6 })
    let rounded = try sample.graph.evaluate(inputs, rounding: .everyOp)
    expectClose(try plan.evaluate(inputs), rounded, sample.graph) { dtype in
      switch dtype {
      case .f16: 4e-3
      case .bf16: 3e-2
      // A half on the way may round to its neighbour.
      case .f32: sample.hasHalves ? 4e-3 : 1e-6
      case .f64, .float: 1e-12
      case .i32, .i64, .u8, .bool: 0
      }
    }
  }

  /// 32,771 is a prime: what fills the last part up must be neutral.
  @Test("a long reduction is what it is of numbers far from 0", arguments: [Op.sum, .max, .min, .prod], [-1.0, 1.0])
  func longReductions(_ op: Op, _ sign: Double) throws {
    var b = GraphBuilder(name: "long")
    let x = b.argument("x", .f32, [32_771])
    b.output("y", b.make(op, [x], ["axes": .ints([0]), "keep": .bool(false)]))
    let values = (0..<32_771).map { sign * (op == .prod ? 1 : 2 + Double($0 % 7)) }
    let inputs = ["x": try #require(Tensor(values, shape: [32_771], dtype: .f32))]
    let plan = try buildPlan(b.graph)
    #expect(plan.launches.count == 2)
    expectClose(try #require(plan.evaluate(inputs)["y"]), try #require(b.graph.evaluate(inputs)["y"]), .relative(1e-6))
  }

  @Test(
    "what cannot be counted is refused",
    arguments: [([1 << 20, 1 << 20, 2], "no size that memory could hold"), ([3 << 30], "indices go to 2147483647")])
  func refused(_ shape: [Int], _ message: String) throws {
    var b = GraphBuilder(name: "large")
    let index = b.make(.iota, [], ["shape": .dims(shape.map { Dim($0) }), "axis": .int(0), "dtype": .dtype(.f32)])
    b.output("y", b.sum(index, Array(shape.indices)))
    let error = #expect(throws: DiagnosticSet.self) { try buildPlan(b.graph) }
    #expect(try #require(error).description.contains(message))
  }

  @Test("kernels and plans print as recorded", arguments: samples)
  func goldens(_ sample: SampleGraph) throws {
    let file = root.appending(path: "Tests/KernelTests/Goldens/\(sample.name).txt")
    try expectGolden("\(buildPlan(sample.graph))", file)
  }

  @Test("a model twice as deep has twice the launches, at twice the cost")
  func deep() throws {
    // With a cost that grew with the square of the depth, or its cube, this would take minutes.
    let counts = try [300, 600].map { try buildPlan(deepModel(blocks: $0)).launches.count }
    #expect(abs(counts[1] - 2 * counts[0]) < 20, "\(counts)")
  }

  @Test("weights are constant unless the plan updates them", arguments: [false, true])
  func constants(_ isUpdated: Bool) throws {
    var b = GraphBuilder(name: "constants")
    let x = b.input("x", TensorType(.f32, [4, 8]), role: .argument)
    let w = b.input("w", TensorType(.f32, [4, 8]), role: .parameter)
    let sum = b.add(x, w)
    b.output("y", b.mul(sum, x))
    if isUpdated { b.output("next", sum, updates: "w") }
    let plan = try buildPlan(b.graph)
    #expect(plan.verify() == [])
    let accesses = plan.steps.flatMap(plan.accesses).map { (plan[$0.id].place, $0.access) }
    #expect(accesses.contains { $0 == .input("w") && $1 == .constant } == !isUpdated)
    #expect(!accesses.contains { $0 == .input("x") && $1 == .constant })
  }

  @Test(
    "the patterns that matter are this many kernels",
    arguments: [
      ("softmax", 1), ("layer_norm", 1), ("linear_relu", 1), ("linear_gelu_bf16", 1), ("adam", 2),
      ("attention_scores", 2), ("mlp_step", 18),
      ("gradients", 2),
    ])
  func count(_ name: String, _ launches: Int) throws {
    let sample = try #require(samples.first { $0.name == name })
    let plan = try buildPlan(sample.graph)
    #expect(plan.launches.count == launches, "\(plan)")
  }
}

/// Residual blocks of a norm and a layer with their gradients and updates, which wait for all gradients to be finite.
private func deepModel(blocks: Int) -> Graph {
  SampleGraph("deep") { b in
    let x = b.argument("x", .f32, [8, 16])
    var parameters: [(name: String, value: ValueID)] = []
    func parameter(_ name: String, _ shape: [Int]) -> ValueID {
      parameters.append((name, b.argument(name, .f32, shape, .parameter)))
      return parameters[parameters.count - 1].value
    }
    var hidden = x
    for block in 0..<blocks {
      let (gain, bias) = (parameter("gain\(block)", [16]), parameter("bias\(block)", [16]))
      let norm = b.make(.layerNorm, [hidden, gain, bias], ["eps": .float(1e-5)])
      hidden = b.add(hidden, b.make(.linear, [norm, parameter("w\(block)", [16, 16]), parameter("b\(block)", [16])]))
    }
    let loss = b.sum(b.mul(hidden, hidden), [0, 1])
    let seed = b.argument("scale", .f32, [], .control)
    guard let gradients = try? b.differentiate(loss, withRespectTo: parameters.map(\.value), seed: seed) else { return }
    var finite = b.make(.isFinite, [loss])
    for gradient in gradients {
      let axes = Array(0..<b.type(gradient).rank)
      let all = b.make(.all, [b.make(.isFinite, [gradient])], ["axes": .ints(axes), "keep": .bool(false)])
      finite = b.make(.and, [finite, all])
    }
    for (parameter, gradient) in zip(parameters, gradients) {
      let new = b.sub(parameter.value, b.scale(gradient, by: 0.1))
      let kept = b.select(b.broadcast(finite, to: b.type(new).shape), new, parameter.value)
      b.output(parameter.name, kept, updates: parameter.name)
    }
  }.graph
}

private func expectClose(
  _ values: [String: Reference], _ expected: [String: Reference], _ graph: Graph, relative: (DType) -> Double
) {
  for output in graph.outputs {
    let dtype = graph[output.value].type.dtype
    guard let value = values[output.updates ?? output.name], let wanted = expected[output.name] else {
      Issue.record("output \(output.name) is missing")
      continue
    }
    expectClose(value, wanted, .ofLargest(relative(dtype), least: 1e-3), "\(graph.name).\(output.name): ")
  }
}
