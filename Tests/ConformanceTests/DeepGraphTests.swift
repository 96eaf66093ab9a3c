import LTMGraphPasses
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMSupport
import TestSupport
import Testing

/// Equal blocks are planned once, and compute what they did.
@Suite struct DeepGraphTests {
  private func inputs(_ graph: Graph) throws -> [String: Tensor] {
    var tensors: [String: Tensor] = [:]
    for (number, input) in graph.inputs.enumerated() {
      let shape = try #require(graph[input.value].type.staticShape)
      let values = (0..<shape.reduce(1, *)).map { Double(($0 * 29 + number * 7) % 19) / 24 - 0.35 }
      let tensor: Tensor = try #require(Tensor(values, shape: shape, dtype: graph[input.value].type.dtype))
      tensors[input.name] = tensor
    }
    return tensors
  }

  @Test(arguments: Subject.present)
  fileprivate func agrees(_ subject: Subject) throws {
    let graph = try lowered(deepStep(blocks: 6, odd: 2))
    let given = try inputs(graph)
    let found = try run(graph, on: subject.backend(), given)
    let exact = try graph.evaluate(given, rounding: .none)
    expectAgreement(found, exact, "\(subject)") { _ in .rounding(steps: 400) }
  }

  @Test("twice the blocks are the same kernels and bodies") func sharing() throws {
    let plans = try [8, 16].map { try buildPlan(lowered(deepStep(blocks: $0))) }
    #expect(plans[0].bodies.count == plans[1].bodies.count && plans[0].bodies.count >= 3)
    #expect(plans[0].kernels.count == plans[1].kernels.count)
    for plan in plans { #expect(plan.verify() == [], "\(plan)") }
    let given = try inputs(deepStep(blocks: 8))
    let exact = try lowered(deepStep(blocks: 8)).evaluate(given, rounding: .none)
    for (name, value) in try plans[0].evaluate(given, rounding: false) {
      expectClose(value, try #require(exact[name]), .relative(1e-11), "\(name): ")
    }
  }

  @Test("updates stay in place, and checks stay with the products that they look at") func inPlace() throws {
    let plan = try buildPlan(lowered(deepStep(blocks: 8)))
    let updates = plan.bodies.filter { body in body.parameters.contains { $0.access == .readWrite } }
    #expect(updates.map(\.frame.steps.count) == [1], "\(plan)")
    let calls = plan.steps.compactMap { if case .loop(let loop) = $0 { loop } else { nil } }
    #expect(calls.map(\.isCall).contains(false) == false)
    #expect(calls.filter { plan.bodies[$0.body] == updates.first }.count == 8)
    let checks = plan.bodies.filter { body in body.frame.buffers.contains { $0.dtype == .bool && $0.shape.isEmpty } }
    #expect(checks.count == 2, "the blocks' backward pass gives a truth, the update reads one: \(plan)")
  }

  @Test("few blocks, and one that is another, stay where they are") func others() throws {
    let few = try buildPlan(lowered(deepStep(blocks: 3)))
    #expect(few.bodies.isEmpty)
    let mixed = try buildPlan(lowered(deepStep(blocks: 6, odd: 2)))
    let forward = try #require(mixed.bodies.first)
    let calls = mixed.steps.count { if case .loop(let loop) = $0 { mixed.bodies[loop.body] == forward } else { false } }
    #expect(calls == 4 || calls == 5, "\(mixed)")
  }

  @Test("recomputed blocks give the same, and keep only what they are given") func recomputation() throws {
    let blocks = 12
    func loss(_ recomputes: Bool) throws -> Graph {
      var b = GraphBuilder(name: "loss")
      let type = TensorType(.f32, [8, 16])
      var h = b.input("x", type, role: .argument)
      let weights = (0..<blocks).map { b.input("blocks.\($0).w", TensorType(.f32, [16, 16]), role: .parameter) }
      for (number, weight) in weights.enumerated() {
        b.scope = "blocks.\(number)"
        let up = b.make(.tanh, [b.make(.matmul, [h, weight])])
        let down = b.make(.tanh, [b.make(.matmul, [up, weight])])
        h = b.add(h, b.make(.tanh, [b.mul(down, up)]))
      }
      b.scope = ""
      b.output("loss", b.sum(b.mul(h, h), [0, 1]))
      var c = GraphBuilder(recomputes ? try GraphPass.recomputeBlocks.run(b.graph) : b.graph)
      #expect(c.graph.verify() == [])
      let values = c.graph.inputs.filter { $0.role == .parameter }
      for (input, gradient) in zip(
        values, try c.differentiate(c.graph.outputs[0].value, withRespectTo: values.map(\.value)))
      {
        c.output("gradient/\(input.name)", gradient)
      }
      return try lowered(c.graph)
    }
    let (kept, recomputed) = (try loss(false), try loss(true))
    let checkpoints = recomputed.nodes.filter { $0.op == .checkpoint }
    #expect(checkpoints.count == 2 * blocks)
    let given = try inputs(kept)
    let exact = try kept.evaluate(given, rounding: .none)
    for subject in Subject.present {
      let found = try run(recomputed, on: subject.backend(), given)
      expectAgreement(found, exact, "\(subject)") { _ in .rounding(steps: 400) }
    }
    let (many, few) = (try buildPlan(kept), try buildPlan(recomputed))
    #expect(few.activationBytes * 3 < many.activationBytes, "\(few.activationBytes) of \(many.activationBytes)")
    #expect(few.bodies.count <= 3)
  }
}
