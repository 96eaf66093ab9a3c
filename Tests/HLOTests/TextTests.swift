import Foundation
import LTMHLO
import LTMIR
import LTMSupport
import TestSupport
import Testing

@Suite("StableHLO text")
struct TextTests {
  /// A half linear layer with its gradient's sum, a master's update and names that MLIR would not take.
  static func graph() throws -> Graph {
    var b = GraphBuilder(name: "step 1")
    let x = b.input("x", TensorType(.bf16, [2, 3]), role: .argument)
    let weight = b.input("fc1.weight", TensorType(.bf16, [4, 3]), role: .parameter)
    let master = b.input("master/fc1.weight", TensorType(.f32, [4, 3]), role: .master)
    b.scope = "fc1"
    b.location = Location(path: "samples/\"odd\".ltm", line: 7, column: 12)
    let h = b.contract(x, weight, [1], [1])
    b.scope = ""
    let total = b.sum(h, [0, 1])
    let top = b.make(.argmax, [h], ["axis": .int(1), "keep": .bool(false)])
    let scale = b.cast(total, to: .f32)
    let new = b.sub(master, b.broadcast(scale, to: [4, 3]))
    b.output("master/fc1.weight", new, updates: "master/fc1.weight")
    b.output("fc1.weight", b.cast(new, to: .bf16), updates: "fc1.weight")
    b.output("top", top)
    return b.graph
  }

  @Test("reads as recorded")
  func golden() throws {
    try expectGolden(stableHLO(Self.graph()), root.appending(path: "Tests/HLOTests/Goldens/step.mlir"))
  }

  @Test(
    "asks for all digits of what is no bf16",
    arguments: [(DType.bf16, "DEFAULT"), (.f16, "HIGHEST"), (.f32, "HIGHEST"), (.f64, "HIGHEST")])
  func precision(dtype: DType, asked: String) throws {
    var b = GraphBuilder(name: "product")
    let x = b.input("x", TensorType(dtype, [2, 3]), role: .argument)
    b.output("y", b.contract(x, x, [1], [1]))
    #expect(try stableHLO(b.graph).contains("precision = [\(asked), \(asked)]"))
  }

  @Test("parses and verifies", .enabled(if: StableHLOTools.missing == nil, "\(StableHLOTools.missing ?? "")"))
  func parses() throws {
    let outcome = try StableHLOTools.evaluate([Job(name: "step", module: try stableHLO(Self.graph()), run: false)])[
      "step"]
    #expect(outcome?.error == nil, "\(outcome?.error ?? "")")
  }

  @Test(
    "is refused for a graph that is not ready",
    arguments: [
      (TensorType(.float, [2]), "graph_c8"), (TensorType(.f32, [Dim(symbol: "B")]), "graph_c9"),
      (TensorType(.f32, [2]), "graph_c10"),
    ])
  func unready(type: TensorType, rule: String) throws {
    var b = GraphBuilder(name: "f")
    let x = b.input("x", type, role: .argument)
    b.output("y", b.make(.relu, [x]))
    let error = #expect(throws: DiagnosticSet.self) { try stableHLO(b.graph) }
    #expect(error?.description.contains(rule) == true)
  }

  @Test("keeps the names of inputs apart from those of regions and of each other")
  func names() throws {
    var b = GraphBuilder(name: "f")
    let names = ["a", "v4", "x y", "x/y", "é", "4"]
    let inputs = names.map { b.input($0, TensorType(.f32, [3]), role: .argument) }
    let sum = inputs.dropFirst().reduce(inputs[0]) { b.add($0, $1) }
    b.output("top", b.make(.argmax, [sum], ["axis": .int(0), "keep": .bool(false)]))
    let text = try stableHLO(b.graph)
    for name in ["%a_2:", "%v4:", "%x_y:", "%x_y_2:", "%_:", "%_4:"] {
      #expect(text.contains(name), "\(name) in \(text)")
    }
    if StableHLOTools.missing == nil {
      let outcome = try StableHLOTools.evaluate([Job(name: "f", module: text, run: false)])["f"]
      #expect(outcome?.error == nil, "\(outcome?.error ?? "")")
    }
  }
}
