import LTM
import TestSupport
import Testing

/// Convolutions and pools, trained as a whole.
@Suite struct ConvolutionTests {
  static let sample = Command.root + "/samples/cnn.ltm"

  @Test("the sample on the digits as images", arguments: DigitsTests.recipes.dropLast())
  func trainsAtEveryLevel(_ precision: Precision, _ level: OptLevel) throws {
    var model = try Model(contentsOf: Self.sample, arguments: ["width": 16], seed: 1)
    var trainer = try Trainer(precision: precision, ampLevel: level)
    trainer.maxEpochs = 4
    let accuracy = try #require(try trainer.fit(&model).report)
    #expect(accuracy >= 0.965, "\(accuracy)")
  }

  // MARK: PyTorch's curves (`scripts/reference/cnn.py`)

  static let folder = Command.root + "/Tests/Fixtures/cnn-small/"

  static let recipes: [ReferenceTests.Recipe] = [
    .init(optimizer: "sgd", precision: .sixtyFour, level: .O0, peer: nil, bound: 1e-10),
    .init(optimizer: "sgd", precision: .thirtyTwo, level: .O0, peer: nil, bound: 2e-6),
    .init(optimizer: "sgd", precision: .sixteen, level: .O1, peer: "amp-f16", bound: 0),
    .init(optimizer: "sgd", precision: .sixteen, level: .O2, peer: "amp-f16", bound: 0),
    .init(optimizer: "sgd", precision: .bf16, level: .O1, peer: "amp-bf16", bound: 0),
    .init(optimizer: "sgd", precision: .bf16, level: .O2, peer: "amp-bf16", bound: 0),
  ]

  @Test("twenty steps from PyTorch's weights on its batches", arguments: recipes)
  func curveFollowsFloat64(_ recipe: ReferenceTests.Recipe) throws {
    let curves = try ReferenceTests.curves(in: Self.folder)
    let exact = try #require(curves["f64"])
    var model = try Model(contentsOf: Self.folder + "cnn.ltm")
    try model.load(weightsFrom: Self.folder + "init.safetensors")
    var trainer = try Trainer(precision: recipe.precision, ampLevel: recipe.level)
    trainer.shuffles = false
    var losses: [Double] = []
    try trainer.fit(&model) { if case .step(let record) = $0 { losses.append(record.loss) } }
    let peer = try recipe.peer.map { try #require(curves[$0]) }
    let bound = peer.map { 2 * (zip($0, exact).map { abs($0 - $1) }.max() ?? 0) } ?? recipe.bound
    expectClose(losses, exact, .absolute(bound))
  }
}
