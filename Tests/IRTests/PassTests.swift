import Foundation
import LTMGraphPasses
import LTMIR
import LTMSupport
import Testing

private let passes: [GraphPass] = [.simplify, .commonSubexpressions, .deadCode, .decompose]
private let goldens = repository.appending(path: "passes/Graph/Goldens")

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

  @Test("decompose keeps values", arguments: 0..<40)
  func decomposeKeepsValues(seed: Int) throws {
    let graph = try stepGraph(seed: UInt64(seed))
    let after = try GraphPass.decompose.run(graph)
    #expect(after.verify(stage: [.afterCasts, .bound, .decomposed]) == [])
    let inputs = randomInputs(graph, seed: UInt64(seed))
    let before = try graph.evaluate(inputs)
    for (name, value) in try after.evaluate(inputs) {
      let expected = try #require(before[name])
      #expect(agree(value, expected, tolerance: 1e-9))
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
        "04-inline-bodies.ltir", "05-dead-code.ltir", "06-decompose.ltir", "07-simplify.ltir",
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
