import Foundation
import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

@Suite("insert-casts")
struct CastTests {
  static let files = (try? FileManager.default.contentsOfDirectory(atPath: castGoldens.path))?.sorted() ?? []

  @Test("before and after", arguments: files)
  func golden(_ name: String) throws {
    let file = castGoldens.appending(path: name)
    let parts = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "// after\n")
    let header = try #require(parts[0].split(separator: "\n").first)
    let policy = try policy(String(header.dropFirst("// precision ".count)))
    let result = try insertCasts(Graph.parse(parts[0], path: name), policy)
    #expect(result.graph.verify(stage: .afterCasts).isEmpty)
    #expect(result.rules.count == result.graph.nodes.count)
    #expect(try insertCasts(result.graph, policy).graph == result.graph, "a second run changes nothing")
    try expectGolden(parts[0] + "// after\n" + result.graph.text, file)
  }

  @Test func theGoldensAreThere() { #expect(Self.files.count >= 15) }

  static let lines = [
    "32 O0", "64 O0", "16 O0", "16 O1", "bf16 O1", "16 O2", "bf16 O2", "16 O3", "bf16 O3", "16 O2 keep-f32=b",
    "16 O1 op-class=exp:half,matmul:float32", "16 O2 cast-outputs=as-is", "16 O2 cast-inputs=f32",
  ]

  @Test("random graphs: no float left, legal, unchanged by a second run", arguments: lines)
  func random(_ line: String) throws {
    let policy = try policy(line)
    for seed in 0..<60 {
      let graph = randomGraph(seed: UInt64(seed))
      #expect(graph.verify().isEmpty)
      let result = try insertCasts(graph, policy).graph
      #expect(result.verify(stage: .afterCasts).isEmpty, "seed \(seed)")
      #expect(try insertCasts(result, policy).graph == result, "seed \(seed)")
      try expectPinsKept(graph, result)
      expectPinsWide(result, pinned: Set(graph.inputs.filter { graph[$0.value].type.dtype != .float }.map(\.name)))
      expectSharedCasts(result)
    }
  }

  /// Pinned inputs and outputs have the dtype that they were given.
  private func expectPinsKept(_ before: Graph, _ after: Graph) throws {
    for (old, new) in zip(before.inputs, after.inputs) where before[old.value].type.dtype != .float {
      #expect(before[old.value].type == after[new.value].type)
    }
    for (old, new) in zip(before.outputs, after.outputs) where before[old.value].type.dtype != .float {
      #expect(before[old.value].type == after[new.value].type)
    }
  }

  /// No pass narrows what is pinned: an input, or what the file itself casts.
  private func expectPinsWide(_ graph: Graph, pinned: Set<String>) {
    let inputs = Set(graph.inputs.filter { pinned.contains($0.name) }.map(\.value))
    for cast in graph.nodes where cast.op == .cast && cast.reason != nil {
      let source = graph[cast.operands[0]]
      guard inputs.contains(cast.operands[0]) || source.op == .cast && source.reason == nil else { continue }
      #expect(DType.widest(source.type.dtype, cast.type.dtype) == cast.type.dtype, "\(source.type) to \(cast.type)")
    }
  }

  /// Ops of several operands, of which the one at an index is pinned.
  static let mixed: [(op: Op, shapes: [[Dim]], pinned: Int, attributes: Attributes)] = [
    (.matmul, [[2, 2], [2, 2]], 1, [:]), (.matmul, [[2, 2], [2, 2]], 0, [:]),
    (.linear, [[2, 2], [2, 2], [2]], 1, [:]), (.linear, [[2, 2], [2, 2], [2]], 2, [:]),
    (.concat, [[2, 2], [2, 2]], 1, ["axis": .int(0)]), (.maximum, [[2, 2], [2, 2]], 1, [:]),
    (.pow, [[2, 2], [2, 2]], 1, [:]), (.layerNorm, [[2, 2], [2], [2]], 0, ["eps": .float(1e-5)]),
    (.layerNorm, [[2, 2], [2], [2]], 1, ["eps": .float(1e-5)]), (.rmsNorm, [[2, 2], [2]], 1, ["eps": .float(1e-5)]),
    (.batchNorm, [[2, 2], [2], [2], [2], [2]], 4, ["eps": .float(1e-5)]), (.mseLoss, [[2, 2], [2, 2]], 1, [:]),
  ]

  @Test(
    "a pinned operand decides, at every level", arguments: mixed,
    ["16 O1", "bf16 O1", "16 O2", "bf16 O2", "16 O3", "bf16 O3", "32 O0"])
  func mixedOperands(
    _ item: (op: Op, shapes: [[Dim]], pinned: Int, attributes: Attributes), _ line: String
  ) throws {
    for dtype in [DType.f32, .f16, .bf16] {
      var b = GraphBuilder(name: "mixed")
      let operands = item.shapes.enumerated().map { index, shape in
        b.input(
          "x\(index)", TensorType(index == item.pinned ? dtype : .float, shape),
          role: index == 0 ? .argument : .parameter)
      }
      b.output("result", try b.apply(item.op, operands, item.attributes))
      let result = try insertCasts(b.graph, policy(line)).graph
      #expect(result.verify(stage: .afterCasts).isEmpty)
      try expectPinsKept(b.graph, result)
      expectPinsWide(result, pinned: ["x\(item.pinned)"])
    }
  }

  /// `seen <- (seen + mean(x^2)) / 2` of what a product gives, which the loss reads too.
  private func watched(_ dtype: DType) -> Graph {
    var b = GraphBuilder(name: "loss")
    let x = b.input("x", TensorType(.float, [4, 1]), role: .argument)
    let w = b.input("w", TensorType(.float, [1, 1]), role: .parameter)
    let seen = b.input("seen", TensorType(dtype, [1]), role: .state)
    let gram = b.input("gram", TensorType(dtype, [1, 1]), role: .state)
    let h = b.make(.relu, [b.make(.matmul, [x, w])])
    let mean = b.make(.mean, [b.mul(h, h)], ["axes": .ints([0]), "keep": .bool(false)])
    b.output("result", b.make(.mean, [b.make(.matmul, [h, w])], ["axes": .ints([0, 1]), "keep": .bool(false)]))
    b.output("seen", b.scale(b.add(seen, mean), by: 0.5), updates: "seen")
    b.output("gram", b.add(gram, b.make(.matmul, [b.transpose(h, [1, 0]), h])), updates: "gram")
    return b.graph
  }

  @Test(
    "what feeds a state in f32 is computed in f32", arguments: ["16 O1", "bf16 O1", "16 O2", "16 O3", "bf16 O3"],
    [DType.float, .f32])
  func states(_ line: String, _ dtype: DType) throws {
    let policy = try policy(line)
    let graph = try insertCasts(watched(dtype), policy).graph
    #expect(graph.verify(stage: .afterCasts).isEmpty)
    // Squares of 300 are beyond f16, and 300.5^2 has more digits than bf16.
    let argument = try #require(graph.input("x"))
    let inputs = [
      "x": try tensor([300, 200, 300, 100], [4, 1], graph[argument.value].type.dtype),
      "w": try tensor([1], [1, 1], graph[try #require(graph.input("w")).value].type.dtype),
      "seen": try tensor([1], [1], .f32), "gram": try tensor([1], [1, 1], .f32),
    ]
    let results = try graph.evaluate(inputs, rounding: .everyOp)
    #expect(results["seen"]?.data == [28750.5])
    #expect(results["gram"]?.data == [230001])
    // What the loss reads beside a state is as the level has it.
    let relu = try #require(graph.nodes.first { $0.op == .relu })
    #expect(relu.type.dtype == policy.half)
  }

  @Test("a state pinned to half is fed in half") func halfStates() throws {
    let graph = try insertCasts(watched(.f16), policy("16 O3")).graph
    #expect(graph.nodes.filter { $0.op == .mul }.allSatisfy { $0.type.dtype == .f16 })
  }

  /// No value is cast twice to one dtype, and every cast says why.
  private func expectSharedCasts(_ graph: Graph) {
    let casts = graph.nodes.filter { $0.op == .cast && $0.reason != nil }
    #expect(Set(casts.map { [$0.operands[0].index, $0.type.dtype.hashValue] }).count == casts.count)
    #expect(casts.allSatisfy { $0.operands.count == 1 && graph[$0.operands[0]].type.dtype != $0.type.dtype })
  }

  @Test("uniform levels keep what a graph computes", arguments: ["64 O0"])
  func uniformKeepsValues(_ line: String) throws {
    var random = SeededGenerator(seed: 3)
    for seed in 0..<20 {
      let graph = randomGraph(seed: UInt64(seed), isPinned: false)
      var inputs: [String: Tensor] = [:]
      for input in graph.inputs { inputs[input.name] = try tensor(random.numbers(16), [4, 4], .f64) }
      let before = try graph.evaluate(inputs)
      let after = try insertCasts(graph, policy(line)).graph.evaluate(inputs, rounding: .everyOp)
      for (name, value) in before { expectClose(try #require(after[name]), value, .exact, "\(name), seed \(seed): ") }
    }
  }

  @Test func aBannedOpOnHalfIsAnErrorThatNamesTheRemedy() throws {
    var b = GraphBuilder(name: "loss")
    let x = b.input("x", TensorType(.float, [4, 4]), role: .argument)
    let w = b.input("w", TensorType(.float, [4, 4]), role: .parameter)
    let y = b.input("y", TensorType(.f32, [4, 4]), role: .argument)
    b.location = Location(path: "model.ltm", line: 6, column: 10)
    let p = b.make(.sigmoid, [b.make(.matmul, [x, w])])
    b.output("result", b.make(.binaryCrossEntropy, [p, y]))
    let error = #expect(throws: DiagnosticSet.self) { try insertCasts(b.graph, policy("16 O2")) }
    let text = try #require(error).description
    #expect(text.hasPrefix("model.ltm:6:10: error: binary_cross_entropy on f16"))
    #expect(text.contains("bce_with_logits"))
    #expect(try insertCasts(b.graph, policy("32 O0")).graph.verify(stage: .afterCasts).isEmpty)
  }

  @Test func aPatternThatMatchesNothingIsAWarningWithASuggestion() throws {
    let warnings = try insertCasts(smallLoss(), policy("16 O2 keep-f32=nrom")).warnings
    #expect(warnings.map(\.message) == ["keep-f32: no layer of 'loss' matches 'nrom'; did you mean 'norm'?"])
  }

  @Test func atInferenceAWeightIsCastWhenItIsLoaded() throws {
    let graph = try inferenceGraph(smallLoss(), policy("16 O1"))
    #expect(graph.verify(stage: .afterCasts).isEmpty)
    let weights = graph.inputs.filter { $0.role == .parameter }.map { "\($0.name) \(graph[$0.value].type.dtype)" }
    #expect(
      weights == ["fc1.weight f16", "fc1.bias f16", "norm.weight f32", "norm.bias f32", "fc2.weight f16"])
    let inputs = Set(graph.inputs.filter { $0.role == .parameter }.map(\.value))
    #expect(!graph.nodes.contains { $0.op == .cast && inputs.contains($0.operands[0]) })
  }

  @Test func deepChainsOfLiteralsDoNotRecurse() throws {
    var b = GraphBuilder(name: "deep")
    var scalar = b.constant(1, TensorType(.float, []))
    for _ in 0..<50_000 { scalar = b.add(scalar, scalar) }
    b.output("result", scalar)
    #expect(try insertCasts(b.graph, policy("16 O2")).graph.verify(stage: .afterCasts).isEmpty)
  }
}

/// Ops of every class over 4 by 4 values, with pins and literals among them.
func randomGraph(seed: UInt64, isPinned: Bool = true) -> Graph {
  var random = SeededGenerator(seed: seed)
  var b = GraphBuilder(name: "random")
  let shape: [Dim] = [4, 4]
  func pick(_ dtypes: [DType]) -> DType { isPinned ? dtypes.randomElement(using: &random) ?? .float : .float }
  var values = (0..<4).map { index in
    b.input(
      "p\(index)", TensorType(pick([.float, .float, .f32, .f16, .f64]), shape), role: index < 2 ? .argument : .parameter
    )
  }
  let unary: [Op] = [.relu, .exp, .tanh, .softmax, .sigmoid, .gelu, .neg]
  let binary: [Op] = [.add, .mul, .maximum, .matmul]
  for index in 0..<24 {
    b.scope = ["a", "b", "b.c"][index % 3]
    let x = values[Int.random(in: 0..<values.count, using: &random)]
    let y = values[Int.random(in: 0..<values.count, using: &random)]
    let choice = Int.random(in: 0..<12, using: &random)
    let made: ValueID? =
      switch choice {
      case 0..<4:
        unary.randomElement(using: &random).flatMap { op in
          try? b.apply(op, [x], op == .softmax ? ["axis": .int(1)] : [:])
        }
      case 4..<8: binary.randomElement(using: &random).flatMap { try? b.apply($0, [x, y]) }
      case 8: b.broadcast(b.sum(x, [1], keep: true), to: shape)
      case 9: try? b.apply(.mul, [x, b.fill(0.5, like: x)])
      case 10: b.transpose(x, [1, 0])
      case _:
        isPinned ? b.cast(x, to: pick([.f16, .f32, .bf16])) : try? b.apply(.where, [b.make(.less, [x, x]), x, x])
      }
    if let made { values.append(made) }
  }
  for (index, value) in values.suffix(3).enumerated() { b.output("r\(index)", value) }
  return b.graph
}
