import Foundation
import LTMFrontEnd
import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport
import TestSupport
import Testing

/// The small MLP of `samples/mlp.ltm` against PyTorch's curves, in the interpreter.
@Suite("PyTorch's curves")
struct CurveTests {
  /// Our precision and level, PyTorch's recipe, and what may lie between us and f64: a bound, or twice what PyTorch leaves.
  static let recipes: [(line: String, recipe: String, bound: Double?)] = [
    ("64 O0", "f64", 1e-10), ("32 O0", "f32", nil), ("16 O1", "amp-f16", nil), ("bf16 O1", "amp-bf16", nil),
    ("16 O2", "o2-f16", nil), ("bf16 O2", "o2-bf16", nil),
  ]
  private static let fixture = castGoldens.appending(path: "../../../Tests/Fixtures/mlp-small").standardizedFileURL

  @Test("stays as near to f64 as PyTorch's recipe, twice over", arguments: ["sgd", "adam"], recipes.indices)
  func curve(_ optimizer: String, _ index: Int) throws {
    let (line, recipe, bound) = Self.recipes[index]
    let curves = try JSON(parsing: Array(Data(contentsOf: Self.fixture.appending(path: "curves.json"))))
    func curve(_ name: String) throws -> [Double] {
      try #require(curves["\(optimizer).\(name)"]?.elements).compactMap(\.doubleValue)
    }
    let (exact, theirs) = (try curve("f64"), try curve(recipe))
    let ours = try losses(policy(line), optimizer, count: exact.count)
    let peer = zip(exact, theirs).map { abs($0 - $1) }.max() ?? 0
    expectClose(ours, exact, .absolute(bound ?? max(2 * peer, optimizer == "adam" ? 1e-4 : 2e-6)), "\(line): ")
  }

  private func losses(_ policy: PrecisionPolicy, _ name: String, count: Int) throws -> [Double] {
    let sample = castGoldens.appending(path: "../../../samples/mlp.ltm").standardizedFileURL
    let file = try load(path: sample.path) { Array(try Data(contentsOf: URL(filePath: $0))) }
    let sizes: [String: CompileTimeValue] = ["inputs": .int(32), "hidden": .int(48)]
    let loss = try file.instantiate(model: "MLP", arguments: sizes).graph(entry: "loss", training: true)
    let rate = name == "adam" ? 1e-3 : 0.01
    var call = RuleCall(name: name == "adam" ? "Adam" : "SGD", arguments: [.init(name: "lr", value: .float(rate))])
    if name == "sgd" { call.set("momentum", .float(0.9)) }
    let optimizer = try file.optimizer(call)
    let program = try buildStep(
      loss: insertCasts(loss.bound(["B": 32]), policy).graph, optimizer: optimizer.template(), policy: policy)
    let initial = try SafetensorsFile(path: Self.fixture.appending(path: "init.safetensors").path)
    var parameters: [String: [Double]] = [:]
    for name in initial.names { parameters[name] = try initial.tensor(name).doubles }
    var machine = try StepMachine(program, parameters: parameters, rate: rate)
    let argument = try #require(program.graph.input("x"))
    let batches = try SafetensorsFile(path: Self.fixture.appending(path: "batches.safetensors").path)
    let (x, y) = (try batches.tensor("x_train").doubles, try batches.tensor("y_train").doubles)
    return try (0..<count).map { step in
      let rows = Array(x[step * 32 * 32..<(step + 1) * 32 * 32])
      let outputs = try machine.run([
        "x": tensor(rows, [32, 32], program.graph[argument.value].type.dtype),
        "y": tensor(Array(y[step * 32..<(step + 1) * 32]), [32], .i32),
      ])
      #expect(outputs["found_inf"] == [0])
      return try #require(outputs["loss"])[0]
    }
  }
}
