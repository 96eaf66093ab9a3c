import LTMGraphPasses
import LTMIR
import TestSupport
import Testing

@Suite("random numbers in loops") struct RandomScanTests {
  /// h' = tanh(dropout(h) * w + x * noise), 6 times: h is carried, the index says which numbers are drawn.
  private func network() throws -> (RandomSource, ValueID, [ValueID]) {
    var source = RandomSource()
    let row = TensorType(.f64, [5])
    let (w, h) = (
      source.b.input("w", row, role: .argument), source.b.input("h", row, role: .argument)
    )
    let x = source.b.input("x", TensorType(.f64, [6, 5]), role: .argument)
    let key = source.key(1)
    let indices = source.b.make(.iota, [], ["shape": .dims([6]), "axis": .int(0), "dtype": .dtype(.i32)])
    let body = try Graph.body(
      "cell", [("key", TensorType(.i32, [4])), ("w", row), ("h", row), ("x", row), ("index", TensorType(.i32, []))]
    ) { (b, v) throws(OpError) in
      let keys = [2, 3].map { b.make(.foldKey, [v[0], v[4]], ["stream": .int($0)]) }
      let dropped = b.make(.dropout, [v[2], keys[0]], ["p": .float(0.5)])
      let noise = b.make(
        .uniform, [keys[1]],
        ["shape": .dims([5]), "low": .float(0), "high": .float(1), "dtype": .dtype(.f64)])
      return [b.make(.tanh, [b.add(b.mul(dropped, v[1]), b.mul(v[3], noise))])]
    }
    let results = try source.b.control(
      .scan, [key, w, h, x, indices],
      ["constants": .int(2), "carried": .int(1), "length": .dim(6), "reversed": .bool(false)], bodies: [body])
    let loss = source.b.sum(source.b.mul(results[0], results[0]), [0])
    return (source, loss, [w, h, x])
  }

  private func inputs(_ source: RandomSource) throws -> [String: Tensor] {
    var random = SeededGenerator(seed: 4)
    var inputs = try source.inputs
    for (name, shape) in [("w", [5]), ("h", [5]), ("x", [6, 5])] {
      let numbers = random.numbers(shape.reduce(1, *))
      let tensor = try #require(Tensor(numbers, shape: shape, dtype: .f64))
      inputs[name] = tensor
    }
    return inputs
  }

  @Test("a scan's gradient draws what the scan drew, and nothing of it is kept")
  func gradient() throws {
    var (source, loss, wanted) = try network()
    var unrolled = GraphBuilder(try GraphPass.inlineBodies.run(source.b.graph.with(output: loss)))
    let own = try unrolled.differentiate(
      unrolled.graph.outputs[0].value, withRespectTo: ["w", "h", "x"].compactMap { unrolled.graph.input($0)?.value })
    for (index, value) in own.enumerated() { unrolled.output("\(index)", value) }
    for (index, value) in try source.b.differentiate(loss, withRespectTo: wanted).enumerated() {
      source.b.output("\(index)", value)
    }
    let graph = source.b.graph
    #expect(graph.verify(stage: [.bound, .afterCasts]) == [])
    let (found, expected) = (try graph.evaluate(inputs(source)), try unrolled.graph.evaluate(inputs(source)))
    for index in 0..<3 {
      let (own, wanted) = (try #require(found["\(index)"]), try #require(expected["\(index)"]))
      expectClose(own, wanted, .relative(1e-12).ignoringSignsOfZero)
    }
    let scans = graph.nodes.filter { $0.op == .scan }
    try #require(scans.count == 2)
    #expect(scans[0].types.allSatisfy { $0.dtype == .f64 }, "\(scans[0].types)")
    #expect(scans[1].bodies[0].nodes.count { $0.op == .foldKey } == 2)
    #expect(scans[1].bodies[0].nodes.contains { $0.op == .dropout })
    // Of the forward pass: what each round gave, and what it took; no mask and no noise.
    #expect(scans[0].furtherTypes.count <= 3, "\(scans[0].types)")
  }

  @Test("each round draws numbers of its own")
  func rounds() throws {
    var source = RandomSource()
    let draws = try (0..<3).map { number in
      try source.sample(.uniform, [4], stream: 2, number: number)
    }
    #expect(Set(draws).count == 3)
  }
}

extension Graph {
  fileprivate func with(output value: ValueID) -> Graph {
    var graph = self
    graph.outputs = [GraphOutput(name: "loss", value: value)]
    return graph
  }
}
