import Foundation
import LTM
import TestSupport
import Testing

/// An update that itself gives weights that are not finite: the run ends, says so, and no good checkpoint is lost.
@Suite struct UpdateTests {
  /// A model whose optimizer or schedule goes wrong in the update `step` 2, the third.
  static func source(optimizer: String = "SGD(lr: 0.1)", schedule: String = "constant") -> String {
    """
    optimizer Wild(lr: Float) {
      func update(weight, grad, step) {
        return weight - lr / (step - 3) * weight
      }
    }
    schedule broken() {
      func lr(lr, step) {
        return lr * log(2 - step)
      }
    }
    model M() {
      let fc = Linear(4, 2)
      func loss(x: [B, 4], label: i32[B]) -> [] {
        return cross_entropy(fc(x), label)
      }
    }
    train M {
      minimize  loss
      optimizer \(optimizer)
      schedule  \(schedule)
      batch     4
    }
    """
  }

  /// Four batches.
  static func data() throws -> TrainingData {
    TrainingData(train: [
      "x": try #require(Tensor([Float](repeating: 1, count: 64), shape: [16, 4])),
      "label": try #require(Tensor((0..<16).map { Double($0 % 2) }, shape: [16], dtype: .i32)),
    ])
  }

  /// What goes wrong, and what the message must say of it.
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let source: String
    let message: [String]
    var testDescription: String { name }
  }

  static let cases = [
    Case(
      name: "optimizer", source: source(optimizer: "Wild(lr: 0.1)"),
      message: ["model.ltm:19:13: error: step 2: div in the optimizer made 'fc.", "it stands at", "model.ltm:3"]),
    Case(
      name: "schedule", source: source(schedule: "broken"),
      message: ["model.ltm:20:13: error: step 2: log in the schedule made 'fc.", "it stands at", "model.ltm:8"]),
  ]

  /// Three updates: the loss of none is bad, so that only the save can notice. Six: the fourth meets the weights.
  @Test(arguments: cases, [["32", "O0"], ["16", "O2"], ["bf16", "O1"]])
  func endsTheRun(_ item: Case, _ flags: [String]) throws {
    for steps in [3, 6] {
      let folder = try TemporaryFolder()
      let saved = folder.file("good.safetensors")
      var model = try Model(contentsOf: try folder.write("model.ltm", item.source))
      var trainer = Trainer(
        policy: try PrecisionPolicy(precision: flags[0], level: flags[1]), execution: try Execution())
      trainer.savePath = saved
      trainer.maxSteps = 2
      try trainer.fit(&model, data: Self.data())
      let good = try Data(contentsOf: URL(filePath: saved))
      let before = model.weights
      trainer.maxSteps = steps
      trainer.resumePath = saved
      var records: [StepRecord] = []
      let error = #expect(throws: LTMError.self) {
        try trainer.fit(&model, data: Self.data()) {
          if case .step(let record) = $0 { records.append(record) }
        }
      }
      let text = try #require(error).description
      for part in item.message + ["the loss and every gradient were finite", "good.safetensors"] {
        #expect(text.contains(part), "\(text)")
      }
      #expect(records.count == (steps == 3 ? 1 : 2))
      #expect(try Data(contentsOf: URL(filePath: saved)) == good)
      #expect(model.weights == before)
    }
  }

  @Test func aLayersStateIsBlamedOnTheLayer() throws {
    let folder = try TemporaryFolder()
    let source = """
      model M() {
        let norm = BatchNorm(4)
        let fc = Linear(4, 2)
        func loss(x: [B, 4], label: i32[B]) -> [] {
          return cross_entropy(fc(norm(x)), label)
        }
      }
      train M {
        minimize  loss
        optimizer SGD(lr: 0.1)
        batch     1
      }

      """
    var model = try Model(contentsOf: try folder.write("model.ltm", source))
    let error = #expect(throws: LTMError.self) { try Trainer().fit(&model, data: Self.data()) }
    let text = try #require(error).description
    #expect(text.contains("model.ltm:5"), "\(text)")
    #expect(text.contains("variance in norm made the state 'norm.running_var' non-finite"), "\(text)")
    #expect(text.contains("a larger batch has one"), "\(text)")
  }

  @Test func noRunGoesOnFromWeightsThatAreNotFinite() throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("good.safetensors")
    let source = try folder.write("model.ltm", Self.source())
    var model = try Model(contentsOf: source)
    var trainer = try Trainer()
    (trainer.savePath, trainer.maxSteps) = (saved, 2)
    try trainer.fit(&model, data: Self.data())
    let bad = folder.file("bad.safetensors")
    try TensorFile.write(
      try TensorFile.names(saved).map { name in
        let tensor = try TensorFile.read("\(saved):\(name)")
        guard name == "fc.bias" else { return (name, tensor) }
        return (name, try #require(Tensor([.nan, 1], shape: [2], dtype: .f32)))
      }, to: bad)
    trainer.resumePath = bad
    let error = #expect(throws: LTMError.self) { try trainer.fit(&model, data: Self.data()) }
    #expect(try #require(error).description.contains("'fc.bias' is not finite"))
  }

  @Test(arguments: ["SGD(0.1)", "SGD(lr: 0.1)"]) func aRateFromOutsideTakesThePlaceOfTheWrittenOne(_ call: String)
    throws
  {
    func trained(_ call: String, rate: Double?) throws -> [String: Tensor] {
      let folder = try TemporaryFolder()
      var model = try Model(contentsOf: try folder.write("model.ltm", Self.source(optimizer: call)))
      var trainer = try Trainer()
      (trainer.learningRate, trainer.maxSteps) = (rate, 2)
      try trainer.fit(&model, data: Self.data())
      return model.weights
    }
    #expect(try trained(call, rate: 0.25) == trained("SGD(lr: 0.25)", rate: nil))
    #expect(try trained(call, rate: nil) != trained(call, rate: 0.25))
  }
}
