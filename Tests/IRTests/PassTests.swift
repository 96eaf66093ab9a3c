import Foundation
import LTMGraphPasses
import LTMIR
import LTMSupport
import TestSupport
import Testing

private let passes: [GraphPass] = [.simplify, .commonSubexpressions, .deadCode, .decompose, .sinkTransposes]
private let goldens = root.appending(path: "passes/Graph/Goldens")

/// Names of golden files as `pass/case.ltir`.
private let goldenNames: [String] = passes.flatMap { pass in
  let folder = goldens.appending(path: pass.name)
  let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
  return files.filter { $0.hasSuffix(".ltir") }.sorted().map { "\(pass.name)/\($0)" }
}

@Suite("graph passes")
struct PassTests {
  @Test("every pass has golden files", arguments: passes.map(\.name))
  func everyPassHasGoldens(name: String) { #expect(goldenNames.contains { $0.hasPrefix(name + "/") }) }

  @Test("before and after", arguments: goldenNames)
  func golden(name: String) throws {
    let pass = try #require(passes.first { name.hasPrefix($0.name + "/") })
    let url = goldens.appending(path: name)
    let mark = "// after \(pass.name):\n"
    let text = try String(contentsOf: url, encoding: .utf8)
    let before = text.components(separatedBy: mark)[0]
    let graph = try Graph.parse(before, path: name)
    #expect(graph.verify() == [])
    let after = try pass.run(graph)
    #expect(after.verify() == [])
    try expectGolden(before + mark + after.text, url)
  }

  @Test("a second run changes nothing", arguments: passes.map(\.name), 0..<20)
  func idempotent(name: String, seed: Int) throws {
    let pass = try #require(passes.first { $0.name == name })
    let once = try pass.run(try stepGraph(seed: UInt64(seed)))
    #expect(try pass.run(once) == once)
  }

  @Test(
    "passes that keep every bit keep every bit", arguments: ["simplify", "common-subexpressions", "dead-code"], 0..<40)
  func keepsBits(name: String, seed: Int) throws {
    let pass = try #require(passes.first { $0.name == name })
    let graph = try stepGraph(seed: UInt64(seed))
    let after = try pass.run(graph)
    #expect(after.verify(stage: [.afterCasts, .bound]) == [])
    let inputs = randomInputs(graph, seed: UInt64(seed))
    let before = try graph.evaluate(inputs, rounding: .everyOp).mapValues { $0.data.map(\.canonicalBits) }
    #expect(try after.evaluate(inputs, rounding: .everyOp).mapValues { $0.data.map(\.canonicalBits) } == before)
  }

  private static let probes: [Double] = [
    0, -0.0, 1, -3, 0.1, 1.5, 255, 300, -129, 65504, 65536, 16_777_217, 2_147_483_647, 5e-8, 1e-40, .infinity,
    -.infinity, .nan,
  ]

  /// Simplified, a graph of one input computes the same bits from whatever its dtype can hold.
  private func expectSimplified(_ dtype: DType, _ context: String, _ build: (inout GraphBuilder, ValueID) -> ValueID)
    throws
  {
    var b = GraphBuilder(name: "g")
    let x = b.input("x", TensorType(dtype, [Dim(Self.probes.count)]), role: .argument)
    b.output("y", build(&b, x))
    let inputs = ["x": try #require(Tensor(Self.probes, shape: [Self.probes.count], dtype: dtype))]
    let after = try GraphPass.simplify.run(b.graph).evaluate(inputs, rounding: .everyOp)
    expectClose(
      try #require(after["y"]), try #require(try b.graph.evaluate(inputs, rounding: .everyOp)["y"]), .exact,
      "\(context): ")
  }

  @Test("division by a power of two keeps every bit", arguments: [DType.f16, .bf16, .f32, .f64])
  func powersOfTwo(dtype: DType) throws {
    for exponent in -30...30 {
      for divisor in [scalbn(1.0, exponent), -scalbn(1.0, exponent)] where dtype.round(divisor) == divisor {
        try expectSimplified(dtype, "x / \(divisor) in \(dtype)") { b, x in b.div(x, b.fill(divisor, like: x)) }
      }
    }
  }

  @Test("a cast of a cast keeps every bit", arguments: DType.allCases.filter { $0 != .float })
  func casts(first: DType) throws {
    let dtypes = DType.allCases.filter { $0 != .float }
    for second in dtypes {
      for third in dtypes {
        try expectSimplified(first, "\(first) to \(second) to \(third)") { b, x in
          b.cast(b.cast(x, to: second), to: third)
        }
      }
    }
  }

  @Test("decompose keeps values", arguments: 0..<40)
  func decomposeKeepsValues(seed: Int) throws {
    let graph = try stepGraph(seed: UInt64(seed))
    let after = try GraphPass.decompose.run(graph)
    #expect(after.verify(stage: [.afterCasts, .bound, .decomposed]) == [])
    let inputs = randomInputs(graph, seed: UInt64(seed))
    let before = try graph.evaluate(inputs)
    for (name, value) in try after.evaluate(inputs) {
      let expected = try #require(before[name])
      expectClose(value, expected, .relative(1e-9), name)
    }
  }

  /// A random graph with gradients, as passes see it.
  private func stepGraph(seed: UInt64) throws -> Graph {
    var b = GraphBuilder(randomGraph(seed: seed))
    let output = b.graph.outputs[0].value
    let wanted = b.graph.inputs.map(\.value)
    for (index, gradient) in try b.differentiate(output, withRespectTo: wanted).enumerated() {
      b.output("gradient\(index)", gradient)
    }
    return b.graph
  }

  @Test("the pipeline dumps each stage under a number, and ends decomposed")
  func pipeline() throws {
    var names: [String] = []
    let graph = try PassPipeline.lowering.run(try stepGraph(seed: 3), stage: [.afterCasts, .bound], firstNumber: 4) {
      file, text in
      names.append(file)
      #expect((try? Graph.parse(text)) != nil)
    }
    #expect(
      names == [
        "04-dead-code.ltir", "05-decompose.ltir", "06-sink-transposes.ltir", "07-simplify.ltir",
        "08-common-subexpressions.ltir", "09-dead-code.ltir",
      ])
    #expect(graph.verify(stage: [.afterCasts, .bound, .decomposed]) == [])
  }

  @Test("a pass that breaks the graph is named, with what it was given")
  func culprit() throws {
    let bad = GraphPass("bad", "drops all outputs' nodes") { (graph) throws(DiagnosticSet) in
      var graph = graph
      graph.nodes.removeAll()
      return graph
    }
    let graph = try stepGraph(seed: 1)
    #expect(
      performing: { _ = try PassPipeline([.init(.deadCode), .init(bad)]).run(graph) },
      throws: { error in
        guard let failure = error as? PassFailure else { return false }
        return failure.pass == "bad" && failure.violations.contains { $0.rule == "graph_c1" }
          && (try? Graph.parse(failure.reproducer)) == (try? GraphPass.deadCode.run(graph))
          && failure.description.contains("pass `bad`") && failure.diagnostic.severity == .internalError
          && failure.diagnostic.message.contains("graph_c1")
      })
  }
}

extension Double {
  /// The bits, with all NaNs alike.
  fileprivate var canonicalBits: UInt64 { isNaN ? Double.nan.bitPattern : bitPattern }
}
