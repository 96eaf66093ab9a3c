import Foundation
import LTMGraphPasses
import LTMIR
import LTMSupport
import OpCases
import TestSupport
import Testing

@Suite("the op table")
struct OpTests {
  @Test("every op but the sources has a case", arguments: Op.allCases)
  func everyOpHasACase(op: Op) {
    #expect(op.isTypedAtCreation || op.isControl || opCases.contains { $0.op == op })
  }

  @Test("an op is told in two files: its name, and its paragraph", arguments: ["melScale", "cumprod"])
  func opIsTwoFiles(name: String) throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardizedFileURL
    var found: [String] = []
    for folder in ["Sources", "passes", "Tests"] {
      let files = FileManager.default.enumerator(at: root.appending(path: folder), includingPropertiesForKeys: nil)
      for case let file as URL in files ?? .init() where file.pathExtension == "swift" && file.path != #filePath {
        if try String(contentsOf: file, encoding: .utf8).contains(name) { found.append(file.lastPathComponent) }
      }
    }
    #expect(found.count == 2 && found.contains("Op.swift"), "\(found)")
  }

  @Test("a gradient is what finite differences give", arguments: opCases)
  func gradientAgreesWithDifferences(opCase: OpCase) throws {
    var (b, inputs, value) = try opCase.builder(.f64)
    guard case .rule = opCase.op.definition.gradient, b.type(value).dtype.isFloating else { return }
    let wanted = inputs.filter { b.type($0).dtype.isFloating }
    guard !wanted.isEmpty else { return }
    let seed = b.input("seed", b.type(value), role: .argument)
    b.output("value", value)
    let gradients = try b.differentiate(value, withRespectTo: wanted, seed: seed)
    for (input, gradient) in zip(wanted, gradients) { b.output("gradient\(input.index)", gradient) }
    var tensors = try opCase.tensors(.f64)
    let shape = try #require(b.type(value).staticShape)
    var random = SeededGenerator(seed: 7)
    let weights = Fill.uniform(-1, 1).numbers(shape.reduce(1, *), &random)
    tensors["seed"] = Tensor(weights, shape: shape, dtype: .f64)
    #expect(b.graph.verify(stage: [.bound, .afterCasts]) == [])
    let results = try b.graph.evaluate(tensors)
    for input in wanted {
      let found = try #require(results["gradient\(input.index)"])
      let expected = try differences(b.graph, tensors, "x\(input.index)", weights)
      // Two numbers that are subtracted have no zero of their own sign.
      expectClose(found, expected, .relative(2e-6).ignoringSignsOfZero)
    }
  }

  /// Central differences of the weighted sum of `value`.
  private func differences(
    _ graph: Graph, _ tensors: [String: Tensor], _ name: String, _ weights: [Double]
  ) throws -> Reference {
    let tensor = try #require(tensors[name])
    let step = 1e-5
    func objective(_ index: Int, _ offset: Double) throws -> Double {
      var moved = tensor.doubles
      moved[index] += offset
      var inputs = tensors
      inputs[name] = Tensor(moved, shape: tensor.shape, dtype: .f64)
      let value = try #require(try graph.evaluate(inputs)["value"])
      return zip(value.data, weights).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let slopes = try (0..<tensor.count).map { (try objective($0, step) - objective($0, -step)) / (2 * step) }
    return Reference(shape: tensor.shape, data: slopes)
  }

  @Test("a gradient has its operand's type at every dtype", arguments: opCases, [DType.f16, .bf16, .f32, .f64, .float])
  func gradientTypes(opCase: OpCase, dtype: DType) throws {
    if opCase.op.definition.precision == .banned, dtype.isHalf { return }
    var (b, inputs, value) = try opCase.builder(dtype)
    let wanted = inputs.filter { b.type($0).dtype.isFloating }
    guard b.type(value).dtype.isFloating else { return }
    let gradients = try b.differentiate(value, withRespectTo: wanted)
    #expect(gradients.map { b.type($0) } == wanted.map { b.type($0) })
    #expect(b.graph.verify(stage: .bound) == [])
  }

  @Test("a decomposition computes what the op's reference does", arguments: opCases)
  func decompositionAgrees(opCase: OpCase) throws {
    var (b, _, value) = try opCase.builder(.f64)
    b.output("value", value)
    let lowered = try GraphPass.decompose.run(b.graph)
    #expect(lowered.verify(stage: .decomposed) == [])
    let tensors = try opCase.tensors(.f64)
    let before = try #require(try b.graph.evaluate(tensors)["value"])
    let after = try #require(try lowered.evaluate(tensors)["value"])
    expectClose(after, before, .relative(1e-12))
  }

  @Test("a decomposition of half rounds as the op does", arguments: opCases, [DType.f16, .bf16])
  func halfDecompositionRoundsOnce(opCase: OpCase, dtype: DType) throws {
    if opCase.op.definition.precision == .banned { return }
    var (b, _, value) = try opCase.builder(dtype)
    b.output("value", value)
    let lowered = try GraphPass.decompose.run(b.graph)
    let tensors = try opCase.tensors(dtype)
    let before = try #require(try b.graph.evaluate(tensors, rounding: .everyOp)["value"])
    let after = try #require(try lowered.evaluate(tensors, rounding: .everyOp)["value"])
    // Steps in f32 may move a value across one rounding boundary of the narrow dtype.
    let ulp = dtype == .f16 ? 0x1p-10 : 0x1p-7
    expectClose(after, before, .relative(b.type(value).dtype == dtype ? ulp : 1e-5))
  }

  @Test("a variance of fewer numbers than its correction is infinite, never negative")
  func overcorrectedVariance() throws {
    for (correction, wanted) in [(3, 1.25 * 4), (4, .infinity), (5, .infinity)] {
      var b = GraphBuilder(name: "variance")
      let x = b.input("x", TensorType(.f32, [4]), role: .argument)
      b.output(
        "value",
        b.make(.variance, [x], ["axes": .ints([0]), "keep": .bool(false), "correction": .int(correction)]))
      let inputs = ["x": try #require(Tensor([1, 2, 3, 4], shape: [4], dtype: .f32))]
      for graph in [b.graph, try GraphPass.decompose.run(b.graph)] {
        #expect(try graph.evaluate(inputs)["value"]?.data == [wanted])
      }
    }
  }

  /// Losses on the right side of their label by a margin: what is left of them is small, and every digit of it counts.
  static let margins: [(loss: Op, x: [Double], target: [Double], value: Double, gradient: [Double])] = [
    (.bceWithLogits, [12], [1], 6.144193477721161e-06, [-6.144174602214718e-06]),
    (.bceWithLogits, [16], [1], 1.1253516843674113e-07, [-1.1253516207787598e-07]),
    (.bceWithLogits, [30], [1], 9.357622968839860e-14, [-9.357622968839299e-14]),
    (.bceWithLogits, [-30], [0], 9.357622968839860e-14, [9.357622968839299e-14]),
    (.bceWithLogits, [-12], [1], 12.000006144193478, [-0.9999938558253978]),
    (.crossEntropy, [16, 0], [0], 1.1253516843674113e-07, [-1.1253516207787598e-07, 1.1253516207787598e-07]),
    (.crossEntropy, [0, 30], [1], 9.357622968839860e-14, [9.357622968839299e-14, -9.357622968839299e-14]),
    (.crossEntropy, [0, 30], [0], 30.000000000000094, [-0.9999999999999064, 0.9999999999999064]),
    (.binaryCrossEntropy, [1e-9], [0], 1e-9, [1]),
  ]

  @Test("a loss keeps its tail in f32", arguments: margins)
  func keepsItsTail(_ item: (loss: Op, x: [Double], target: [Double], value: Double, gradient: [Double])) throws {
    var b = GraphBuilder(name: "margin")
    let isLabel = item.loss == .crossEntropy
    let x = b.input("x", TensorType(.f32, [1, Dim(item.x.count)]), role: .argument)
    let type = isLabel ? TensorType(.i32, [1]) : TensorType(.f32, [1, 1])
    let target = b.input("target", type, role: .argument)
    let loss = b.make(item.loss, [x, target])
    b.output("value", loss)
    b.output("gradient", try b.differentiate(loss, withRespectTo: [x])[0])
    let inputs = [
      "x": try #require(Tensor(item.x, shape: [1, item.x.count], dtype: .f32)),
      "target": try #require(Tensor(item.target, shape: type.staticShape ?? [], dtype: type.dtype)),
    ]
    let results = try GraphPass.decompose.run(b.graph).evaluate(inputs, rounding: .everyOp)
    for (name, wanted) in [("value", [item.value]), ("gradient", item.gradient)] {
      for (found, wanted) in zip(try #require(results[name]).data, wanted) {
        #expect(
          abs(found - wanted) <= 4e-7 * abs(wanted), "\(item.loss.name) \(item.x): \(name) \(found), not \(wanted)")
      }
    }
  }

  @Test("a softmax's logarithm keeps its tail in f32", arguments: [Op.logSoftmax, .logsumexp])
  func tails(_ op: Op) throws {
    var b = GraphBuilder(name: "tail")
    let x = b.input("x", TensorType(.f32, [2]), role: .argument)
    let attributes: Attributes =
      op == .logSoftmax ? ["axis": .int(0)] : ["axes": .ints([0]), "keep": .bool(false)]
    b.output("value", b.make(op, [x], attributes))
    let inputs = ["x": try #require(Tensor([0, -30], shape: [2], dtype: .f32))]
    let value = try #require(
      try GraphPass.decompose.run(b.graph).evaluate(inputs, rounding: .everyOp)["value"]
    ).data[0]
    #expect(abs(abs(value) - 9.357622968839860e-14) < 1e-19, "\(value)")
  }

  @Test("rounding moves a result by half a unit at most", arguments: opCases, [DType.f16, .bf16, .f32])
  func roundingIsOnce(opCase: OpCase, dtype: DType) throws {
    if opCase.op.definition.precision == .banned, dtype.isHalf { return }
    var (b, _, value) = try opCase.builder(dtype)
    b.output("value", value)
    let tensors = try opCase.tensors(dtype)
    let exact = try #require(try b.graph.evaluate(tensors)["value"])
    let rounded = try #require(try b.graph.evaluate(tensors, rounding: .everyOp)["value"])
    expectClose(rounded, Reference(shape: exact.shape, data: exact.data.map(b.type(value).dtype.round)))
  }
}
