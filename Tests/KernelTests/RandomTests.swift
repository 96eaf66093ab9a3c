import LTMGraphPasses
import LTMIR
import LTMKernelPasses
import LTMKernels
import Testing

@Suite("random numbers in kernels") struct RandomKernelTests {
  /// The step of a layer with dropout, `rows` by 64: value and gradients.
  private func plan(_ op: Op) throws -> Plan {
    var b = GraphBuilder(name: "step")
    let key = b.input("key", TensorType(.i32, [4]), role: .control)
    let x = b.argument("x", .f32, [32, 64])
    let w = b.argument("w", .f32, [64, 64])
    let stream = b.make(.foldKey, [key], ["stream": .int(11)])
    let hidden = b.make(.tanh, [b.make(.linear, [x, w])])
    let drawn: ValueID
    if op == .dropout {
      drawn = b.make(.dropout, [hidden, stream], ["p": .float(0.5)])
    } else {
      let attributes: Attributes = ["mean": .float(0), "std": .float(1), "low": .float(0), "high": .float(1)]
      var own: Attributes = ["shape": .dims([32, 64]), "dtype": .dtype(.f32)]
      for parameter in op.definition.signature {
        if let value = attributes[parameter.name] { own[parameter.name] = value }
      }
      drawn = b.mul(hidden, b.make(op, [stream], own))
    }
    let loss = b.sum(b.mul(drawn, drawn), [0, 1])
    b.output("loss", loss)
    for (index, gradient) in try b.differentiate(loss, withRespectTo: [x, w]).enumerated() {
      b.output("gradient\(index)", gradient)
    }
    return try buildPlan(try PassPipeline.lowering.run(b.graph, stage: [.bound, .afterCasts]))
  }

  @Test("whoever reads random numbers draws them: none are stored", arguments: [Op.dropout, .uniform, .normal])
  func nothingIsStored(_ op: Op) throws {
    let plan = try plan(op)
    #expect(plan.verify() == [])
    // Keys are four words; masks would be bools or i32, noise an f32 of its own.
    for buffer in plan.buffers where !buffer.dtype.isFloating { #expect(buffer.shape == [4], "\(buffer)") }
    let drawing = plan.kernels.filter { kernel in
      kernel.expressions.contains { if case .apply(.philox, _, _) = $0 { true } else { false } }
    }
    #expect(drawing.count >= 2)
    for kernel in drawing where kernel.buffers.contains(where: { $0.shape != [4] && $0.access.writes }) {
      #expect(kernel.buffers.contains { $0.dtype == .f32 && !$0.access.writes }, "it only draws: \(kernel)")
    }
  }
}
