import LTMGraphPasses
import LTMIR
import LTMKernelPasses
import LTMKernels
import TestSupport
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

  /// How the numbers of a small tensor are read.
  enum Reader: CaseIterable { case product, transposedProduct, broadcast, scatter }

  @Test("what would be drawn again and again is drawn once", arguments: Reader.allCases)
  func readOften(_ reader: Reader) throws {
    var b = GraphBuilder(name: "often")
    let key = b.input("key", TensorType(.i32, [4]), role: .control)
    let noise = b.make(
      .normal, [key],
      ["shape": .dims([8, 8]), "mean": .float(0), "std": .float(2), "dtype": .dtype(.f32)])
    let x = b.argument("x", .f32, [64, 8])
    let result: ValueID
    switch reader {
    case .product: result = b.make(.matmul, [x, noise])
    case .transposedProduct:
      result = b.make(.matmul, [x, b.make(.transpose, [noise], ["permutation": .ints([1, 0])])])
    case .broadcast:
      let wide = b.make(.reshape, [x], ["shape": .dims([8, 8, 8])])
      result = b.add(wide, b.broadcast(noise, to: [8, 8, 8]))
    case .scatter:
      let rows = b.input("rows", TensorType(.i32, [8]), role: .argument)
      result = b.make(.scatterAdd, [x, rows, noise], ["axis": .int(0)])
    }
    b.output("y", result)
    let graph = try PassPipeline.lowering.run(b.graph, stage: [.bound, .afterCasts])
    let plan = try buildPlan(graph)
    let drawing = plan.kernels.filter { kernel in
      kernel.expressions.contains { if case .apply(.philox, _, _) = $0 { true } else { false } }
    }
    #expect(drawing.count == 1 && drawing[0].buffers.allSatisfy { $0.shape.reduce(1, *) <= 64 }, "\(drawing)")
    var inputs = ["key": try #require(seedKey(3))]
    for input in graph.inputs where input.role == .argument {
      let type = graph[input.value].type
      let shape = try #require(type.staticShape)
      inputs[input.name] = Tensor((0..<shape.reduce(1, *)).map { Double($0 % 8) }, shape: shape, dtype: type.dtype)
    }
    let (found, expected) = (try plan.evaluate(inputs), try graph.evaluate(inputs, rounding: .everyOp))
    expectClose(try #require(found["y"]), try #require(expected["y"]), .relative(1e-5, least: 1e-3))
  }
}
