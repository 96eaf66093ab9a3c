import ArgumentParser
import Foundation
import LTM
import LTMRuntime

/// `ltm train`
struct TrainCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Trains a model as its train block says; every line of it can be overridden.",
    discussion: """
      ltm train samples/digits.ltm --precision 16 --amp-level O2
      ltm train samples/digits.ltm --precision bf16 --epochs 5 --save w.safetensors
      ltm train samples/digits.ltm --precision bf16 --epochs 9 --resume w.safetensors
      ltm train samples/digits.ltm --optimizer 'SGD(lr: 0.1, momentum: 0.9)'
      ltm train samples/digits.ltm --val-split 0.1 --monitor val_loss --patience 5
      ltm train samples/digits.ltm --logger csv --log-dir runs/first

      After 'mpirun -np 4' or 'srun -N 8' several processes train together, by MPI: each has its share of every batch.
      """)

  @OptionGroup var source: SourceArgument
  @OptionGroup(title: "Precision") var precision: PrecisionOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Update") var update: UpdateOptions
  @OptionGroup(title: "Rows") var rows: RowOptions
  @OptionGroup(title: "Validation") var validation: ValidationOptions
  @OptionGroup(title: "Stopping") var stopping: StoppingOptions
  @OptionGroup(title: "Checkpoints") var checkpoints: CheckpointOptions
  @OptionGroup(title: "Logs") var logs: LogOptions
  @OptionGroup(title: "Target") var target: TargetOptions
  @OptionGroup(title: "Ranks") var ranks: RankOptions

  @Option(help: ArgumentHelp("The entry to minimize.", valueName: "name")) var minimize: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("An entry to report over the test data; may be given several times.", valueName: "name"))
  var report: [String] = []
  @Flag(help: "Report nothing, as data without test rows needs it.") var noReport = false
  @Option(parsing: .unconditional, help: ArgumentHelp("Passes over the training data.", valueName: "number"))
  var epochs: Int?
  @Option(parsing: .unconditional, help: ArgumentHelp("Tries after which training ends.", valueName: "number"))
  var maxSteps: Int?
  @Option(parsing: .unconditional, help: ArgumentHelp("Rows of a batch.", valueName: "number")) var batch: Int?
  @Option(parsing: .unconditional, help: ArgumentHelp("The learning rate.", valueName: "number")) var lr: Double?
  @Option(
    help: ArgumentHelp(
      "The data: .safetensors, .npz, .npy, .pt or .csv; a folder of CLASS/NAME.png or .jpg, or a .list of such; a text, with --window or --tokenizer.",
      valueName: "file")) var data: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "The key in the data that a parameter takes, as image=x for x_train and x_test; may be given several times.",
      valueName: "name=key"))
  var field: [String] = []
  @Flag(inversion: .prefixedNo, help: "Give each epoch an order of its own. Default: yes.") var shuffle: Bool?
  @OptionGroup(title: "Initial weights") var weights: WeightOptions
  @Option(help: ArgumentHelp("Where to write a checkpoint, after each epoch and at the end.", valueName: "file"))
  var save: String?
  @Option(
    help: ArgumentHelp(
      "A checkpoint to go on from, bit for bit under the same flags; with --save-dir also its last or its best one.",
      valueName: "file|last|best"))
  var resume: String?
  @Option(
    help: ArgumentHelp(
      "Where to write one JSON line per step; after those that are there with --resume.", valueName: "file")) var log:
    String?
  @Option(help: ArgumentHelp("A folder for the text of every compiler stage, numbered.", valueName: "folder"))
  var dump: String?
  @Flag(help: "Say at the end how long batches, steps, validation, checkpoints and logs took.") var profiler = false
  @Flag(help: "The largest batch that fits into memory, by the plan of the step, in place of --batch.")
  var autoScaleBatchSize = false
  @Flag(help: "Results are the same bits in every run, with this flag or without it.") var deterministic = false
  @OptionGroup var printing: PrintOptions
  @Flag(name: .shortAndLong, help: "Print nothing but errors.") var quiet = false

  var isQuiet: Bool { quiet || printing.json }

  func run() throws {
    guard let communicator = try ranks.communicator() else { return try train(nil) }
    try communicator.run { try train(communicator) }
  }

  private func train(_ communicator: Communicator?) throws {
    let isFirst = communicator?.isFirst ?? true
    let isQuiet = isQuiet || !isFirst
    guard weights.weights == nil || resume == nil else {
      throw LTMError(
        "--weights and --resume both say where the weights come from",
        notes: ["--resume goes on with a run, --weights starts one"])
    }
    guard report.isEmpty || !noReport else { throw LTMError("--report and --no-report contradict each other") }
    let policy = try precision.policy(for: target.parsed())
    var loaded = try model.load(source, update)
    if let minimize { try loaded.setTrainLine("minimize \(minimize)") }
    if noReport || !report.isEmpty { try loaded.setReports(report) }
    try requireSeparateFiles(of: loaded)
    if let log { try StepLog.check(log) }
    try weights.load(into: &loaded)
    var trainer = try trainer(policy, communicator)
    if autoScaleBatchSize {
      guard batch == nil else { throw LTMError("--batch and --auto-scale-batch-size both say how large a batch is") }
      trainer.batchSize = try trainer.largestBatch(loaded)
      if !isQuiet { printNote("batch \(trainer.batchSize ?? 1): the largest that fits, by the plan of the step") }
    }
    let view = TrainingView(isQuiet: isQuiet, logPath: isFirst ? log : nil, appends: resume != nil)
    if !isQuiet {
      printNote(policy.description)
      trainer.execution.device.map { printNote($0) }
      communicator.map { printNote($0.description) }
    }
    let result = try trainer.train(consume loaded) { try view.show($0) }
    if isFirst { try view.finish(result, isJSON: printing.json, saved: save) }
    if profiler && isFirst { printNote(result.profile) }
    if profiler, let communicator { printNote(communicator.summary) }
    if result.wasStopped { throw ExitCode(130) }
  }

  /// Throws where a file that is written is one that is read, before anything runs.
  private func requireSeparateFiles(of model: Model) throws {
    let inputs = files([
      ("--data", data), ("--tokenizer", rows.tokenizer), weights.file, ("--pjrt-plugin", target.plugin.pjrtPlugin),
    ])
    let outputs =
      files([("--save", save), ("--log", log)]) + (dump.map { [FileUse("--dump", $0, isDump: true)] } ?? [])
    try checkFiles(outputs, inputs: model.sourceFiles + inputs)
    guard let resume, checkpoints.saveDir == nil || !["last", "best"].contains(resume) else { return }
    // A run may be saved in the file that it came from.
    let isSavedThere = save.map { isSameFile($0, resume) } ?? false
    try checkFiles(isSavedThere ? Array(outputs.dropFirst()) : outputs, inputs: files([("--resume", resume)]))
  }

  private func trainer(_ policy: PrecisionPolicy, _ communicator: Communicator?) throws -> Trainer {
    var trainer = Trainer(policy: policy, execution: try target.execution(communicator))
    trainer.maxEpochs = epochs
    trainer.maxSteps = maxSteps
    trainer.batchSize = batch
    trainer.learningRate = lr
    trainer.seed = model.seed
    trainer.shuffles = shuffle
    trainer.dataPath = data
    trainer.dataFields = try named(field, flag: "--field image=x")
    trainer.resumePath = resume
    trainer.savePath = save
    trainer.dumpPath = dump
    trainer.options = try
      (rows.given + validation.given + stopping.given + checkpoints.given + logs.given + ranks.given).options()
    trainer.stopRequested = Interrupt.watch()
    return trainer
  }
}
