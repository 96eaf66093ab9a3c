import LTM
import LTMIR
import TestSupport
import Testing

/// `recompute { ... }`: the same numbers, with less kept.
@Suite struct RecomputeTests {
  private static let source = """
    layer Cell(dim: Int) {
      param w: [dim, dim] = uniform(0.5)
      func call(x: [B, dim], h: [B, dim]) -> [B, dim] { return tanh(linear(h, w) + x) }
    }
    model M(mode: String = "plain") {
      let cell = Cell(4)
      let out = Linear(4, 1)
      state seen: [] = zeros()
      func run(x: [B, T, 4]) -> [B, 4] {
        var h = full([B, 4], 0.0)
        for step in x.along(1) {
          h = if mode == "inside" { recompute { cell(step, h) } } else { cell(step, h) }
        }
        seen <- mean(h)
        return h
      }
      func loss(x: [B, T, 4], y: [B]) -> [] {
        let h = if mode == "outside" || mode == "nested" { recompute { run(x) } } else { run(x) }
        let again = if mode == "nested" { recompute { recompute { tanh(h) } * 2 } } else { tanh(h) * 2 }
        return mean(square(out(again).squeeze(1) - y))
      }
    }
    train M {
      minimize  loss
      optimizer SGD(lr: 0.1)
      batch     8
    }
    """

  private func weights(_ mode: String, _ trainer: Trainer) throws -> [String: Tensor] {
    let folder = try TemporaryFolder()
    var model = try Model(
      contentsOf: folder.write("model.ltm", Self.source),
      arguments: ["mode": ModelArgument(stringLiteral: mode)], seed: 3)
    var random = SeededGenerator(seed: 4)
    let data = TrainingData(train: [
      "x": try #require(Tensor(random.numbers(800, in: -1...1), shape: [40, 5, 4], dtype: .f32)),
      "y": try #require(Tensor(random.numbers(40, in: -1...1), shape: [40], dtype: .f32)),
    ])
    var trainer = trainer
    trainer.maxEpochs = 2
    try trainer.fit(&model, data: data)
    return model.weights
  }

  @Test(arguments: ["inside", "outside", "nested"])
  func givesTheSameWeights(_ mode: String) throws {
    for target in [Target.cpu, .interpreter] {
      let trainer = try Trainer(precision: .sixtyFour, execution: Execution(target: target))
      let (plain, found) = (try weights("plain", trainer), try weights(mode, trainer))
      for (name, tensor) in plain { expectClose(found[name]?.doubles ?? [], tensor.doubles, .relative(1e-13)) }
    }
    for level in [OptLevel.O1, .O2] {
      let trainer = try Trainer(precision: .sixteen, ampLevel: level)
      let (plain, found) = (try weights("plain", trainer), try weights(mode, trainer))
      for (name, tensor) in plain { expectClose(found[name]?.doubles ?? [], tensor.doubles, .relative(5e-3)) }
    }
  }

  @Test("a data file that is not there is a warning of check") func missingData() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("model.ltm", Self.source.replacing("minimize", with: "data \"no.npz\"\n  minimize"))
    let warnings = try Source(contentsOf: path).check().map(\.message)
    #expect(warnings == ["there is no file '\(folder.file("no.npz"))'"])
  }

  /// Blocks whose inner values are four times as wide as what they hand on.
  @Test(arguments: [(Precision.thirtyTwo, OptLevel.O0), (.sixteen, .O1), (.sixteen, .O2)])
  func takesLessMemory(_ precision: Precision, _ level: OptLevel) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "deep.ltm",
      """
      layer Block(dim: Int) {
        let up = Linear(dim, 4 * dim)
        let down = Linear(4 * dim, dim)
        func call(x: [B, dim]) -> [B, dim] { return x + down(gelu(up(x))) }
      }
      model M(again: Bool = true) {
        let blocks = [Block(16) for _ in 0..<8]
        func loss(x: [B, 16]) -> [] {
          var y = x
          for block in blocks { y = if again { recompute { block(y) } } else { block(y) } }
          return mean(square(y))
        }
      }
      train M {
        minimize  loss
        optimizer SGD(lr: 0.1)
      }
      """)
    let bytes = try [true, false].map { again in
      let model = try Model(contentsOf: path, arguments: ["again": ModelArgument(booleanLiteral: again)])
      return try Compilation(
        model: model, policy: PrecisionPolicy(precision, level: level), entry: nil, isTrainingStep: true,
        dimensions: ["B": 512]
      ).plan().arenaBytes
    }
    #expect(bytes[0] * 2 < bytes[1], "\(bytes)")
  }
}
