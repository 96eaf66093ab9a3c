import LTMGraphPasses
import LTMIR
import LTMSupport
import Testing

@Suite("ops with bodies")
struct ControlTests {
  private static func type(_ shape: [Int], _ dtype: DType = .f64) -> TensorType {
    TensorType(dtype, shape.map { Dim($0) })
  }

  /// A recurrent cell: h' = tanh(x U + h W), y = h' * s. Constants U, W, s; carried h and a counter; scanned x.
  private static func cell(_ rows: Int, _ inputs: Int, _ width: Int, _ dtype: DType = .f64) throws(OpError) -> Graph {
    try Graph.body(
      "cell",
      [
        ("u", type([inputs, width], dtype)), ("w", type([width, width], dtype)), ("s", type([], dtype)),
        ("h", type([rows, width], dtype)), ("n", type([], .i32)), ("x", type([rows, inputs], dtype)),
      ]
    ) { (b, v) throws(OpError) in
      let sum = b.add(b.make(.matmul, [v[5], v[0]]), b.make(.matmul, [v[3], v[1]]))
      let next = b.make(.tanh, [sum])
      let count = b.add(v[4], b.constant(1, type([], .i32)))
      let scaled = b.mul(next, b.broadcast(v[2], to: b.type(next).shape))
      return [next, count, scaled]
    }
  }

  /// The sum of squares of all outputs and of the last state, over `length` steps.
  private static func network(_ length: Int, reversed: Bool, _ dtype: DType = .f64) throws -> GraphBuilder {
    var b = GraphBuilder(name: "network")
    let shapes = [[2, 3], [3, 3], [], [2, 3], [length, 2, 2]]
    let inputs = zip(["u", "w", "s", "h", "x"], shapes).map { b.input($0, type($1, dtype), role: .argument) }
    let zero = b.constant(0, type([], .i32))
    let results = try b.control(
      .scan, inputs[0...2] + [inputs[3], zero, inputs[4]],
      ["constants": .int(3), "carried": .int(2), "length": .dim(Dim(length)), "reversed": .bool(reversed)],
      bodies: [cell(2, 2, 3, dtype)])
    let squares = [results[0], results[2]].map { b.sum(b.mul($0, $0), Array(0..<b.type($0).rank)) }
    b.output("loss", b.add(squares[0], squares[1]))
    b.output("count", results[1])
    b.output("y", results[2])
    return b
  }

  private static func values(_ length: Int) throws -> [String: Tensor] {
    func made(_ shape: [Int], _ seed: Double) throws -> Tensor {
      let count = shape.reduce(1, *)
      let numbers = (0..<count).map { 0.9 * ((Double($0) + 1) * seed).truncatingRemainder(dividingBy: 1) - 0.4 }
      return try #require(Tensor(numbers, shape: shape, dtype: .f64))
    }
    return [
      "u": try made([2, 3], 0.37), "w": try made([3, 3], 0.71), "s": try made([], 0.83), "h": try made([2, 3], 0.59),
      "x": try made([length, 2, 2], 0.413),
    ]
  }

  /// Gradients of the loss with respect to all inputs, as further outputs.
  private static func withGradients(_ b: GraphBuilder) throws -> Graph {
    var b = b
    let names = b.graph.inputs.map(\.name)
    let inputs = b.graph.inputs.map(\.value)
    let loss = b.graph.outputs[0].value
    for (name, gradient) in zip(names, try b.differentiate(loss, withRespectTo: inputs)) {
      b.output("gradient.\(name)", gradient)
    }
    return b.graph
  }

  private static func close(_ a: [Double], _ b: [Double], _ tolerance: Double) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance * max(1, abs($1)) }
  }

  @Test("a scan runs its body for each index, forward and reversed", arguments: [false, true])
  func scan(reversed: Bool) throws {
    var b = GraphBuilder(name: "sums")
    let x = b.input("x", Self.type([4]), role: .argument)
    let body = try Graph.body("add", [("sum", Self.type([])), ("x", Self.type([]))]) { (b, v) throws(OpError) in
      let next = b.add(v[0], v[1])
      return [next, next]
    }
    let results = try b.control(
      .scan, [b.constant(0, Self.type([])), x],
      ["constants": .int(0), "carried": .int(1), "length": .dim(4), "reversed": .bool(reversed)], bodies: [body])
    b.output("last", results[0])
    b.output("all", results[1])
    let tensor = try #require(Tensor([1, 2, 3, 4], shape: [4], dtype: .f64))
    let outputs = try b.graph.evaluate(["x": tensor])
    #expect(outputs["last"]?.data == [10])
    #expect(outputs["all"]?.data == (reversed ? [10, 9, 7, 4] : [1, 3, 6, 10]))
  }

  @Test("a while runs until its condition is false")
  func whileLoop() throws {
    var b = GraphBuilder(name: "doubling")
    let (limit, x) = (
      b.input("limit", Self.type([]), role: .argument), b.input("x", Self.type([]), role: .argument)
    )
    let inputs = [(name: "limit", type: Self.type([])), (name: "x", type: Self.type([]))]
    let condition = try Graph.body("below", inputs) { (b, v) throws(OpError) in [b.make(.less, [v[1], v[0]])] }
    let body = try Graph.body("double", inputs) { (b, v) throws(OpError) in [b.add(v[1], v[1])] }
    b.output(
      "result", try b.control(.while, [limit, x], ["constants": .int(1)], bodies: [condition, body])[0])
    #expect(b.graph.verify().isEmpty)
    let given = ["limit": 100.0, "x": 3].mapValues { Tensor([$0], shape: [], dtype: .f64) }
    let outputs = try b.graph.evaluate(try given.mapValues { try #require($0) })
    #expect(outputs["result"]?.data == [192])
    #expect(throws: OpError.self) {
      var b = b
      _ = try b.differentiate(b.graph.outputs[0].value, withRespectTo: [x])
    }
  }

  @Test("the text form reads back to an equal graph, bodies in bodies included")
  func text() throws {
    let graph = try Self.withGradients(Self.network(3, reversed: false))
    #expect(graph.verify() == [])
    #expect(try Graph.parse(graph.text) == graph)
    var outer = GraphBuilder(name: "outer")
    let operands = graph.inputs.map { outer.input($0.name, graph[$0.value].type, role: .argument) }
    _ = try outer.control(.call, operands, bodies: [graph])
    #expect(try Graph.parse(outer.graph.text) == outer.graph)
  }

  @Test("gradients through a scan are those of finite differences", arguments: [1, 4], [false, true])
  func finiteDifferences(length: Int, reversed: Bool) throws {
    let network = try Self.network(length, reversed: reversed)
    let graph = try Self.withGradients(network)
    #expect(graph.verify() == [])
    let given = try Self.values(length)
    let outputs = try graph.evaluate(given)
    for (name, tensor) in given {
      let gradient = try #require(outputs["gradient.\(name)"]).data
      for index in tensor.doubles.indices {
        let step = 1e-5
        let losses = try [step, -step].map { offset in
          var numbers = tensor.doubles
          numbers[index] += offset
          var moved = given
          moved[name] = Tensor(numbers, shape: tensor.shape, dtype: .f64)
          return try #require(try network.graph.evaluate(moved)["loss"]).data[0]
        }
        let slope = (losses[0] - losses[1]) / (2 * step)
        #expect(abs(slope - gradient[index]) < 1e-7 * max(1, abs(slope)), "\(name)[\(index)]")
      }
    }
  }

  @Test("unrolled, a scan and its gradient give the same numbers", arguments: [false, true])
  func unrolled(reversed: Bool) throws {
    let graph = try Self.withGradients(Self.network(5, reversed: reversed))
    let flat = try GraphPass.inlineBodies.run(graph)
    #expect(flat.verify(stage: [.bound]) == [])
    #expect(!flat.nodes.contains { $0.op.isControl })
    let given = try Self.values(5)
    let (looped, straight) = (try graph.evaluate(given), try flat.evaluate(given))
    #expect(looped == straight)
    #expect(looped["count"]?.data == [5])
  }

  @Test("calls and checkpoints have the gradients of their bodies", arguments: [Op.call, .checkpoint])
  func calls(op: Op) throws {
    let flat = try Self.withGradients(Self.network(3, reversed: false))
    let inner = try Self.network(3, reversed: false).graph
    var b = GraphBuilder(name: "outer")
    let operands = inner.inputs.map { b.input($0.name, inner[$0.value].type, role: .argument) }
    let results = try b.control(op, operands, bodies: [inner])
    for (output, result) in zip(inner.outputs, results) { b.output(output.name, result) }
    let graph = try Self.withGradients(b)
    #expect(graph.verify() == [])
    let given = try Self.values(3)
    let (expected, found) = (try flat.evaluate(given), try graph.evaluate(given))
    for (name, value) in expected { #expect(Self.close(found[name]?.data ?? [], value.data, 1e-13), "\(name)") }
    let unrolled = try GraphPass.inlineBodies.run(graph).evaluate(given)
    #expect(unrolled == found)
    // A checkpoint keeps nothing but its operands.
    let kept = graph.nodes.first { $0.op == op }?.types.count ?? 0
    #expect(op == .call ? kept > inner.outputs.count : kept == inner.outputs.count)
  }

  @Test("what is recomputed is not merged with the forward pass")
  func recomputation() throws {
    var b = GraphBuilder(name: "recomputed")
    let x = b.input("x", Self.type([4]), role: .argument)
    let body = try Graph.body("twice", [("x", Self.type([4]))]) { (b, v) throws(OpError) in
      [b.make(.tanh, [b.make(.tanh, [v[0]])])]
    }
    let y = try b.control(.checkpoint, [x], bodies: [body])[0]
    b.output("y", y)
    let seed = b.input("seed", Self.type([4]), role: .argument)
    for gradient in try b.differentiate([(y, seed)], withRespectTo: [x]).compactMap({ $0 }) {
      b.output("gradient", gradient)
    }
    var lowered = b.graph
    for pass in [
      GraphPass.inlineBodies, .deadCode, .decompose, .simplify, .commonSubexpressions, .deadCode, .simplify,
      .commonSubexpressions,
    ] { lowered = try pass.run(lowered) }
    #expect(lowered.verify(stage: [.bound, .decomposed]) == [])
    // The gradient of a tanh reads its operand: of the two, the first is computed again.
    #expect(lowered.nodes.count { $0.op == .tanh } == 3)
    // And not before the gradient is there.
    var waits = [Bool](repeating: false, count: lowered.nodes.count)
    waits[try #require(lowered.input("seed")).value.index] = true
    for (index, node) in lowered.nodes.enumerated() where node.operands.contains(where: { waits[$0.index] }) {
      waits[index] = true
    }
    #expect(lowered.values.count { lowered[$0].op == .tanh && waits[$0.index] } == 1)
    let given = [
      "x": try #require(Tensor([-1, 0, 0.5, 2], shape: [4], dtype: .f64)),
      "seed": try #require(Tensor([1, 2, 3, 4], shape: [4], dtype: .f64)),
    ]
    let (plain, low) = (try b.graph.evaluate(given), try lowered.evaluate(given))
    for (name, value) in plain { #expect(Self.close(low[name]?.data ?? [], value.data, 1e-13), "\(name)") }
  }

  @Test("gradients of constants of a scan over halves are summed in f32")
  func sumsOfHalves() throws {
    let graph = try Self.withGradients(Self.network(4, reversed: false, .f16))
    #expect(graph.verify() == [])
    let scans = graph.nodes.filter { $0.op == .scan }
    let form = try LoopForm(try #require(scans.last))
    let carried = scans[1].types.prefix(form.carried)
    #expect(carried.map(\.dtype) == [.f16, .f32, .f32, .f32])
  }

  @Test("passes go into bodies")
  func passes() throws {
    let graph = try Self.withGradients(Self.network(4, reversed: true))
    let given = try Self.values(4)
    let expected = try graph.evaluate(given)
    var lowered = graph
    for pass in [GraphPass.deadCode, .decompose, .simplify, .commonSubexpressions, .deadCode] {
      lowered = try pass.run(lowered)
      #expect(try pass.run(lowered) == lowered, "\(pass.name)")
    }
    #expect(lowered.verify(stage: [.bound, .decomposed]) == [])
    #expect(!lowered.nodes.flatMap(\.bodies).flatMap(\.nodes).contains { $0.op == .matmul })
    for (name, value) in try lowered.evaluate(given) {
      #expect(Self.close(value.data, expected[name]?.data ?? [], 1e-13), "\(name)")
    }
  }

  @Test("what breaks a rule of bodies is named")
  func rules() throws {
    let graph = try Self.network(3, reversed: false).graph
    let scan = try #require(graph.nodes.firstIndex { $0.op == .scan })
    func broken(_ change: (inout Node) -> Void) -> [String] {
      var copy = graph
      change(&copy.nodes[scan])
      return copy.verify().map(\.rule)
    }
    #expect(broken { $0.bodies = [] }.contains("graph_c6"))
    #expect(broken { $0.attributes["carried"] = .int(9) }.contains("graph_c6"))
    #expect(broken { $0.attributes["length"] = .dim(4) }.contains("graph_c6"))
    #expect(broken { $0.furtherTypes.removeLast() }.contains("graph_c6"))
    #expect(broken { $0.bodies[0].inputs[0].role = .parameter }.contains("graph_c11"))
    #expect(broken { $0.bodies[0].nodes[8].operands = [ValueID(50)] }.contains("graph_c11"))
    #expect(broken { $0.bodies[0].outputs.swapAt(0, 1) }.contains("graph_c6"))
    var other = graph
    other.nodes[graph.nodes.count - 1].bodies = [graph]
    #expect(other.verify().map(\.rule).contains("graph_c11"))
  }

  @Test("symbolic dimensions are bound in bodies too")
  func binding() throws {
    var b = GraphBuilder(name: "symbolic")
    let (batch, steps) = (Dim(symbol: "B"), Dim(symbol: "T"))
    let x = b.input("x", TensorType(.f64, [steps, batch]), role: .argument)
    let row = TensorType(.f64, [batch])
    let body = try Graph.body("add", [("sum", row), ("x", row)]) { (b, v) throws(OpError) in [b.add(v[0], v[1])] }
    let zeros = b.zeros(row)
    b.output(
      "result",
      try b.control(
        .scan, [zeros, x], ["constants": .int(0), "carried": .int(1), "length": .dim(steps)], bodies: [body])[0])
    let bound = try b.graph.bound(["B": 2, "T": 3])
    #expect(bound.verify(stage: .bound) == [])
    let tensor = try #require(Tensor([1, 2, 3, 4, 5, 6], shape: [3, 2], dtype: .f64))
    #expect(try b.graph.evaluate(["x": tensor])["result"]?.data == [9, 12])
  }
}
