import Foundation
import LTM
import TestSupport
import Testing

/// What is validated on, and when.
@Suite struct ValidationTests {
  static let source = """
    model M() {
      let fc = Linear(2, 1)
      func error(x: [B, 2], y: [B]) -> [] { return mse_loss(squeeze(fc(x), axis: 1), y) }
      func largest(x: [B, 2], y: [B]) -> [] { return max(abs(y)) }
    }
    train M {
      minimize  error
      optimizer SGD(lr: 0.05)
      batch     4
      epochs    2
    }
    """

  static func rows(_ count: Int, from first: Int = 0) throws -> [String: Tensor] {
    let places = first..<first + count
    return [
      "x": try #require(Tensor(places.flatMap { [sin(Float($0)), cos(Float($0))] }, shape: [count, 2])),
      "y": try #require(Tensor(places.map { Float($0) / 40 }, shape: [count])),
    ]
  }

  private func train(
    _ options: (inout TrainingOptions) -> Void, lines: String = "", data: TrainingData? = nil
  ) throws -> (validations: [ValidationRecord], result: TrainingResult) {
    let text = Self.source.replacing("epochs    2", with: "epochs    2\n\(lines)")
    var model = try Model(text: text)
    var trainer = try Trainer()
    options(&trainer.options)
    var validations: [ValidationRecord] = []
    let result = try trainer.fit(&model, data: try data ?? TrainingData(train: Self.rows(40))) { event in
      if case .validation(let record) = event { validations.append(record) }
    }
    return (validations, result)
  }

  @Test func aSplitIsValidatedOnAfterEachEpoch() throws {
    let (validations, result) = try train { $0.valSplit = 0.2 }
    #expect(validations.map(\.attempt) == [8, 16])
    #expect(validations.allSatisfy { $0.reports.map(\.key) == ["val_error"] })
    #expect(result.steps == 16)
  }

  @Test func theLastRowsByTimeAreKept() throws {
    let (validations, _) = try train { options in
      (options.valSplit, options.valSplitBy, options.monitor) = (0.1, "time:y", "val_largest")
      options.monitorMode = .max
      options.reportTrain = ["largest"]
    }
    let keys = try #require(validations.first?.reports.map(\.key))
    #expect(keys == ["val_largest", "train_largest"])
    #expect(
      try #require(validations.first).reports.map(\.value)
        == [39.0 / 40, Double(Float(35) / 40)].map { Double(Float($0)) })
  }

  @Test(arguments: [
    ("val_check_interval 3", [3, 6, 9, 12, 15, 18, 20]), ("val_check_interval 0.5", [5, 10, 15, 20]),
    ("check_val_every_n_epoch 2", [20]), ("", [10, 20]),
  ]) func isMadeWhenTheFileSays(_ line: String, _ attempts: [Int]) throws {
    let data = try TrainingData(train: Self.rows(40), validation: Self.rows(10, from: 40))
    let (validations, _) = try train({ $0.monitor = "val_error" }, lines: "  " + line, data: data)
    #expect(validations.map(\.attempt) == attempts)
  }

  @Test func theTrainerWinsOverTheFile() throws {
    let data = try TrainingData(train: Self.rows(40), validation: Self.rows(10, from: 40))
    let lines = "  val_check_interval 3\n  limit_train_batches 0.5\n  monitor val_error"
    let (validations, result) = try train({ $0.valCheckInterval = 4 }, lines: lines, data: data)
    #expect(validations.map(\.attempt) == [4, 8, 10])
    #expect(result.steps == 10)
  }

  @Test func batchesAreLimited() throws {
    let data = try TrainingData(train: Self.rows(40), validation: Self.rows(20, from: 40))
    let (validations, result) = try train(
      { options in
        (options.limitTrainBatches, options.limitValBatches, options.monitor) = (3, 2, "val_largest")
        (options.monitorMode, options.numSanityValSteps) = (.max, 1)
      }, data: data)
    #expect(result.steps == 6)
    #expect(validations.first?.reports.first?.value == Double(Float(47) / 40))
  }

  /// Ten rows in batches of four: two are left, whose mean loss is of them alone.
  @Test(arguments: [Precision.thirtyTwo, .sixteen]) func theLastBatchMayBeSmaller(_ precision: Precision) throws {
    var model = try Model(text: Self.source.replacing("lr: 0.05", with: "lr: 0.0"))
    var trainer = try Trainer(precision: precision)
    (trainer.shuffles, trainer.options.keepLastBatch) = (false, true)
    var losses: [Double] = []
    let rows = try Self.rows(10)
    try trainer.fit(&model, data: TrainingData(train: rows)) { event in
      if case .step(let record) = event { losses.append(record.loss) }
    }
    #expect(losses.count == 6)
    let error = try model.compile("error", policy: trainer.policy, execution: trainer.execution)
    for (index, places) in [0..<4, 4..<8, 8..<10].enumerated() {
      let batch = try Self.rows(places.count, from: places.lowerBound)
      expectClose(
        [losses[index], losses[index + 3]], Array(repeating: try error(batch)[0].tensor.doubles[0], count: 2),
        .relative(1e-3))
    }
  }

  @Test func threadsThatLoadChangeNothing() throws {
    let weights = try [nil, 1, 3].map { (threads: Int?) in
      var model = try Model(contentsOf: DigitsTests.sample, seed: 2)
      var trainer = try Trainer()
      (trainer.maxSteps, trainer.options.loaderThreads, trainer.options.keepLastBatch) = (50, threads, true)
      try trainer.fit(&model)
      return model.weights
    }
    #expect(weights[0] == weights[1] && weights[0] == weights[2])
  }

  @Test func overfittingSeesItsBatchesAlone() throws {
    let (validations, result) = try train { options in
      (options.overfitBatches, options.monitor, options.monitorMode) = (2, "val_largest", .max)
    }
    #expect(result.steps == 4)
    #expect(validations.first?.reports.first?.value == Double(Float(7) / 40))
  }

  @Test func testRowsAreForTheEnd() throws {
    let data = try TrainingData(
      train: Self.rows(40), validation: Self.rows(8, from: 40), test: Self.rows(8, from: 60))
    let (validations, result) = try train({ $0.monitor = "val_error" }, data: data)
    #expect(validations.last?.reports.map(\.key) == ["val_error"])
    #expect(result.reports.map(\.key) == ["test_error"])
    #expect(result.report != validations.last?.reports.first?.value)
  }

  @Test func severalSetsHaveNames() throws {
    let folder = try TemporaryFolder()
    for (name, first) in [("clean", 40), ("noisy", 60)] {
      try TensorFile.write(
        Self.rows(12, from: first).map { ($0.key, $0.value) }, to: folder.file("\(name).safetensors"))
    }
    let places = ["clean", "noisy"].map { "\($0)=" + folder.file("\($0).safetensors") }
    let (validations, _) = try train { options in
      (options.valData, options.monitor) = (places, "val_error/noisy")
    }
    #expect(validations.last?.reports.map(\.key) == ["val_error/clean", "val_error/noisy"])
  }

  @Test func oneBatchOfEverythingWritesNothing() throws {
    let folder = try TemporaryFolder()
    let command = try Command([
      "train", "samples/digits.ltm", "--fast-dev-run", "--save-dir", folder.file("c"), "--logger", "csv", "--save",
      folder.file("w.safetensors"), "--monitor", "val_accuracy", "--patience", "1", "--log-dir", folder.file("log"),
    ])
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.output.contains("after 1 steps"), "\(command.output)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  /// Flags, and what the message must say.
  static let mistakes: [([String], [String])] = [
    (["--val-split", "1.5"], ["'--val-split 1.5' is not understood", "a fraction between 0 and 1"]),
    (["--val-split-by", "chance"], ["random, stratified:KEY, group:KEY, time or time:KEY"]),
    (["--val-split", "0.1", "--val-split-by", "group:person"], ["'person_train'"]),
    (["--val-split", "0.0001"], ["leaves no row to validate on", "1437 rows"]),
    (["--val-check-interval", "0"], ["a whole number of 1 or more, or a fraction"]),
    (["--monitor", "val_f1"], ["there is no metric 'val_f1'", "train_loss, val_accuracy"]),
    (["--monitor", "train_loss", "--patience", "0"], ["'--patience 0'"]),
    (["--patience", "3"], ["patience needs a metric to go by", "--monitor val_loss"]),
    (["--save-top-k", "2"], ["save_top_k needs a metric"]),
    (["--monitor", "val_loss", "--save-top-k", "2"], ["need a folder", "--save-dir"]),
    (["--val-data", "missing.npz"], ["missing.npz"]), (["--logger", "wandb"], ["jsonl, csv, tensorboard"]),
    (["--logger", "csv"], ["a log needs a folder"]), (["--max-time", "soon"], ["90s, 15m"]),
    (
      ["--window", "9"], ["--window cuts a text into rows", "digits.safetensors' holds tensors", "leave out --window"]
    ),
    (["--unseen", "drop"], ["--unseen is what becomes of categories", "holds tensors"]),
    (["--missing", "drop"], ["--missing is what becomes of an empty field"]),
    (["--tokenizer", "t.json"], ["--tokenizer cuts lines", "holds tensors"]),
    (["--data", "README.md", "--window-stride", "5"], ["--window-stride 64 needs --window 129"]),
    (["--report-train", "acuracy"], ["has no entry 'acuracy'"]),
  ]

  @Test(arguments: mistakes) func mistakesSayWhatToWrite(_ flags: [String], _ message: [String]) throws {
    let command = try Command(["train", "samples/digits.ltm", "--max-steps", "1"] + flags)
    #expect(command.status == 1, "\(command.output)")
    for part in message { #expect(command.errors.contains(part), "\(command.errors)") }
  }

  @Test func aWrongLineHasItsPlace() throws {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.source.replacing("epochs    2", with: "val_split 7"))
    for arguments in [["train", "m.ltm", "--data", "d.npz"], ["check", "m.ltm"]] {
      let command = try Command(arguments, in: folder.path)
      #expect(command.status == 1)
      #expect(
        command.errors.contains("m.ltm:10:3") && command.errors.contains("a fraction between"), "\(command.errors)")
    }
  }

  /// The names that a `train` block takes are the trainer's.
  @Test func everyLineIsAnOption() {
    let names = Set(TrainingOptions.fields.map(\.name))
    #expect(Set(TrainingOptions.lines).isSubset(of: names))
    #expect(names.subtracting(TrainingOptions.lines) == ["fast_dev_run", "save_dir", "logger", "log_dir"])
  }
}
