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

  /// Two layers in both directions with dropout between them and lengths that differ, whose last segment is a shorter one.
  private static let recurrent = """
    model M(T: Int = 17, padded: Bool = true) {
      let lstm = LSTM(3, 4, 2, bidirectional: true, dropout: 0.2)
      let out = Linear(4, 1)
      func states(x: [B, T, 3], lengths: i32[B]) -> ([B, T, 8], [4, B, 4], [4, B, 4]) {
        return if padded { lstm.padded(x, lengths) } else { lstm(x) }
      }
      func loss(x: [B, T, 3], lengths: i32[B], y: [B]) -> [] {
        let (all, h, _) = states(x, lengths)
        return mean(square(out(h[1]).squeeze(1) - y)) + mean(square(all[..<, 1]))
      }
    }
    train M {
      minimize  loss
      optimizer SGD(lr: 0.1)
      batch     8
    }
    """

  private func recurrentWeights(
    _ recomputation: Recomputation, steps: Int, padded: Bool, _ trainer: Trainer
  ) throws -> [String: Tensor] {
    let folder = try TemporaryFolder()
    var model = try Model(
      contentsOf: folder.write("model.ltm", Self.recurrent),
      arguments: ["T": ModelArgument(integerLiteral: steps), "padded": ModelArgument(booleanLiteral: padded)], seed: 3)
    model.recomputation = recomputation
    var random = SeededGenerator(seed: 4)
    let lengths = (0..<16).map { Double($0 % steps + 1) }
    let data = TrainingData(train: [
      "x": try #require(Tensor(random.numbers(48 * steps, in: -1...1), shape: [16, steps, 3], dtype: .f32)),
      "lengths": try #require(Tensor(lengths, shape: [16], dtype: .i32)),
      "y": try #require(Tensor(random.numbers(16, in: -1...1), shape: [16], dtype: .f32)),
    ])
    var trainer = trainer
    trainer.maxEpochs = 2
    try trainer.fit(&model, data: data)
    return model.weights
  }

  @Test("loops by segments give the same weights", arguments: [8, 9, 12, 17, 23], [true, false])
  func loopsBySegments(_ steps: Int, _ padded: Bool) throws {
    let trainer = try Trainer(precision: .sixtyFour)
    let plain = try recurrentWeights([], steps: steps, padded: padded, trainer)
    for recomputation in [Recomputation.loops, [.loops, .blocks]] {
      let found = try recurrentWeights(recomputation, steps: steps, padded: padded, trainer)
      for (name, tensor) in plain { expectClose(found[name]?.doubles ?? [], tensor.doubles, .relative(1e-12)) }
    }
  }

  @Test("loops by segments in half precision", arguments: [OptLevel.O1, .O2], [Precision.sixteen, .bf16])
  func loopsInHalf(_ level: OptLevel, _ precision: Precision) throws {
    let trainer = try Trainer(precision: precision, ampLevel: level)
    let plain = try recurrentWeights([], steps: 17, padded: true, trainer)
    let found = try recurrentWeights(.loops, steps: 17, padded: true, trainer)
    for (name, tensor) in plain { expectClose(found[name]?.doubles ?? [], tensor.doubles, .absolute(4e-3)) }
  }

  /// What is not the input, once more by steps, grows with the square root of the number of iterations.
  @Test func loopsTakeTheSquareRoot() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "model.ltm",
      """
      model M() {
        let lstm = LSTM(3, 32)
        func loss(x: [B, T, 3]) -> [] {
          let (_, h, _) = lstm(x)
          return mean(square(h))
        }
      }
      train M {
        minimize  loss
        optimizer SGD(lr: 0.1)
      }
      """)
    let bytes = try [256, 1024].map { steps in
      var model = try Model(contentsOf: path)
      model.recomputation = .loops
      let plan = try Compilation(
        model: model, policy: PrecisionPolicy(.thirtyTwo), entry: nil, isTrainingStep: true,
        dimensions: ["B": 16, "T": steps]
      ).plan()
      return plan.arenaBytes - 4 * 16 * steps * 3
    }
    #expect(bytes[0] > 0 && Double(bytes[1]) < 2.1 * Double(bytes[0]), "\(bytes)")
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
