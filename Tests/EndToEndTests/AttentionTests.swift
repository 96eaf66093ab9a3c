import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// Twenty steps of a small GPT from PyTorch's initial weights on its batches, against its curves (`scripts/reference/gpt.py`).
@Suite("a GPT beside PyTorch's") struct AttentionTests {
  static let folder = Command.root + "/Tests/Fixtures/gpt-small/"

  /// Ours, and PyTorch's recipe whose own distance, twice, is allowed: the largest of nine runs that begin a millionth apart,
  /// since twenty steps make much of what 16 bits round away. Without one the bound is a number.
  struct Recipe: CustomTestStringConvertible, Sendable {
    let precision: Precision
    let level: OptLevel
    var peer = ""
    var bound = 0.0
    var testDescription: String { "\(precision) \(level.name)" }
  }

  static let recipes = [
    Recipe(precision: .sixtyFour, level: .O0, bound: 1e-10), Recipe(precision: .thirtyTwo, level: .O0, bound: 3e-5),
    Recipe(precision: .sixteen, level: .O1, peer: "amp-f16"), Recipe(precision: .sixteen, level: .O2, peer: "o2-f16"),
    Recipe(precision: .bf16, level: .O1, peer: "amp-bf16"), Recipe(precision: .bf16, level: .O2, peer: "o2-bf16"),
  ]

  @Test(arguments: recipes) func curveFollowsFloat64(_ recipe: Recipe) throws {
    let json = try JSON(parsing: Array(Data(contentsOf: URL(filePath: Self.folder + "curves.json"))))
    func curve(_ name: String) throws -> [Double] {
      try #require(json[name]?.elements).compactMap(\.doubleValue)
    }
    let exact = try curve("f64")
    var model = try Model(contentsOf: Self.folder + "gpt.ltm")
    try model.load(weightsFrom: Self.folder + "init.safetensors")
    var trainer = try Trainer(precision: recipe.precision, ampLevel: recipe.level)
    trainer.shuffles = false
    var losses: [Double] = []
    try trainer.fit(&model) { if case .step(let record) = $0 { losses.append(record.loss) } }
    let theirs = json["spread"]?[recipe.peer]?.doubleValue
    expectClose(losses, exact, .absolute(theirs.map { 2 * $0 } ?? recipe.bound))
  }

  @Test("rotary positions turn pairs, and the layer is the op") func prelude() throws {
    let source = """
      model M {
        let mix = MultiheadAttention(8, 2, causal: true)
        func turned(x: [B, H, T, 4], positions: i32[T]) -> [B, H, T, 4] { return rotary(x, positions) }
        func mixed(x: [B, T, 8]) -> [B, T, 8] { return mix(x) }
      }
      """
    let folder = try TemporaryFolder()
    let model = try Model(contentsOf: try folder.write("m.ltm", source), seed: 1)
    #expect(
      Set(model.parameters.map(\.name)) == [
        "mix.in_proj_weight", "mix.in_proj_bias", "mix.out_proj.weight", "mix.out_proj.bias",
      ])
    let x = try #require(Tensor([1, 0, 0, 1, 1, 0, 0, 1], shape: [1, 1, 2, 4], dtype: .f32))
    let positions = try #require(Tensor([0, 3], shape: [2], dtype: .i32))
    let turned = try model.compile("turned")(["x": x, "positions": positions])[0].tensor.doubles
    let slow = 3 * pow(10000, -0.5)
    expectClose(
      turned, [1, 0, 0, 1, cos(3), -sin(slow), sin(3), cos(slow)], .absolute(1e-6))
    let mixed = try model.compile("mixed")
    #expect(!mixed.draws)
    let rows = try #require(Tensor((0..<80).map { sin(Float($0)) }, shape: [1, 10, 8]))
    let first = try mixed(["x": rows])[0].tensor.doubles
    // What comes later changes nothing before.
    let other = try #require(
      Tensor(rows.doubles.enumerated().map { $0 < 40 ? $1 : 1 }, shape: [1, 10, 8], dtype: .f32))
    #expect(try Array(mixed(["x": other])[0].tensor.doubles.prefix(40)) == Array(first.prefix(40)))
  }
}
