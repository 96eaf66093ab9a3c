import LTM
import LTMIR
import LTMPrecision
import LTMSupport
import OpCases
import Testing

/// A step that is made again op by op, to find the op to blame.
@Suite struct ReplayTests {
  /// Blocks of a norm, a product and an activation, and a loss that has no value: the logarithm of what is below 0.
  private func step(depth: Int, replicas: Int = 1) throws -> StepProgram {
    var b = GraphBuilder(name: "loss")
    var h = b.input("x", TensorType(.float, [4, 8]), role: .argument)
    for index in 0..<depth {
      let weight = b.input("w\(index)", TensorType(.float, [8, 8]), role: .parameter)
      let scale = b.input("s\(index)", TensorType(.float, [8]), role: .parameter)
      b.scope = "block\(index)"
      let normal = b.make(.rmsNorm, [h, scale], ["eps": .float(1e-6)])
      h = b.add(h, b.make(.gelu, [b.make(.linear, [normal, weight])]))
    }
    b.scope = "head"
    let value = b.make(.log, [b.offset(b.neg(b.mul(h, h)), by: -1)])
    b.output("result", b.make(.mean, [value], ["axes": .ints([0, 1]), "keep": .bool(false)]))
    let policy = try PrecisionPolicy(.sixteen, level: .O2)
    let cast = try insertCasts(b.graph, policy).graph
    return try buildStep(loss: cast, optimizer: plain, policy: policy, replicas: Replicas(count: replicas))
  }

  private let plain = OptimizerTemplate(name: "SGD", states: []) { shape throws(DiagnosticSet) in
    var b = GraphBuilder(name: "SGD")
    let weight = b.input("weight", TensorType(.float, shape), role: .parameter)
    b.output("weight", b.sub(weight, b.input("grad", TensorType(.float, shape), role: .argument)))
    return b.graph
  }

  private func replay(_ program: StepProgram, on subject: Subject) throws -> Replay {
    let graph = program.graph
    let inputs = randomTensors(graph, [:], seed: 1)
    var replay = Replay(graph, try subject.backend())
    try replay.run(to: graph.checkedValues) { (input) throws(LTMError) in
      guard let tensor = inputs[input.name] else { throw LTMError("no \(input.name)") }
      // The rows of all replicas.
      guard graph.replicas > 1, input.role == .argument else { return tensor }
      let rows = [tensor.shape[0] * graph.replicas] + tensor.shape.dropFirst()
      return Tensor(
        dtype: tensor.dtype, shape: Array(rows), bytes: (0..<graph.replicas).flatMap { _ in tensor.bytes }) ?? tensor
    }
    return replay
  }

  /// One replica alone would find a number that the other drew.
  @Test("each replica draws its own rows again", arguments: [Subject.interpreter, .cpu])
  func draws(_ subject: Subject) throws {
    let key = try #require(seedKey(11))
    func graph(minus number: Double, replicas: Int) -> Graph {
      var b = GraphBuilder(name: "draws")
      let seed = b.input(Graph.seed, TensorType(.i32, [4]), role: .control)
      let drawn = b.make(
        .uniform, [b.make(.foldKey, [seed], ["stream": .int(3)])],
        [
          "shape": .dims([Dim(4 / replicas), 3]), "low": .float(0), "high": .float(1), "dtype": .dtype(.f32),
          "rows": .int(0), "replicas": .int(replicas),
        ])
      b.output("value", b.offset(drawn, by: -number))
      return b.graph
    }
    let whole = try #require(try graph(minus: 0, replicas: 1).evaluate([Graph.seed: key], rounding: .everyOp)["value"])
    for place in [1, 10] {
      let graph = graph(minus: whole.data[place], replicas: 2)
      var replay = Replay(graph, try subject.backend())
      try replay.run(to: graph.checkedValues) { (_) throws(LTMError) in key }
      #expect(replay.facts[graph.outputs[0].value]?.contains(.zero) == true)
    }
  }

  @Test("the op is found on every target", arguments: Subject.allCases.filter { $0.missing == nil })
  func found(_ subject: Subject) throws {
    for replicas in [1, 2] {
      let program = try step(depth: 2, replicas: replicas)
      let replay = try replay(program, on: subject)
      let message = try #require(
        blame(program.graph, step: 0, lossScale: 65536) { replay.facts[$0] ?? [] }
      ).rendered()
      #expect(message.contains("step 0: log in head made the first NaN"), "\(message)")
    }
  }

  @Test func opsThatAreAlikeShareAProgram() throws {
    let counts = try [2, 4, 8].map { try replay(step(depth: $0), on: .cpu).programCount }
    #expect(counts[0] == counts[1] && counts[1] == counts[2], "\(counts)")
  }

  @Test("every value is as the reference interpreter has it")
  func values() throws {
    let program = try step(depth: 2)
    let inputs = randomTensors(program.graph, [:], seed: 1)
    let values = try program.graph.evaluateAll(inputs, rounding: .everyOp)
    let facts = try replay(program, on: .cpu).facts
    #expect(facts.count > 10)
    for (value, facts) in facts where program.graph[value].type.dtype.isFloating {
      let data = values[value.index].data
      #expect(facts.contains(.nan) == data.contains(where: \.isNaN), "\(program.graph[value].op) \(value)")
      #expect(facts.contains(.zero) == data.contains(0), "\(program.graph[value].op) \(value)")
      #expect(
        facts.contains(.negative) == data.contains { $0.isFinite && $0 < 0 }, "\(program.graph[value].op) \(value)")
    }
  }
}
