import LTMFrontEnd
import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// What a run will do, with every default in place.
struct TrainingPlan {
  let data: RunData
  let options: TrainingOptions
  let batchSize: Int
  /// Programs that share each batch, alike but for their rows.
  let replicas: Replicas
  let seed: UInt64
  let totalAttempts: Int
  let shuffles: Bool
  let learningRate: Double
  /// The rate from outside, which a resumed run keeps.
  private let rateGiven: Double?
  /// The sizes of the loss's symbolic dimensions, for one replica.
  let sizes: [String: Int]
  /// The same for a last batch that is smaller; `nil` where there is none.
  let sizesOfLast: [String: Int]?
  /// The rows of a last batch that is smaller, for one replica; 0 where there is none.
  private let rowsOfLast: Int
  /// The rows of a batch, for one replica.
  private let share: Int
  let checkpoint: SafetensorsFile?
  /// What the data's categories are, in the order of their numbers.
  let categories: [String: [String]]?
  /// What ended up as the number of step attempts, for messages.
  let limitText: String
  var batches: BatchWindows

  /// - Parameter options: the trainer's over the file's.
  init(
    _ trainer: Trainer, _ model: Model, _ data: TrainingData?, _ options: TrainingOptions
  ) throws(LTMError) {
    self.options = options
    let settings = model.settings
    guard let minimize = settings?.minimize?.value else {
      throw LTMError(
        "\(model.path) does not say what to minimize", notes: ["add a 'train \(model.name) { minimize loss }' block"])
    }
    let resumed = try trainer.resumedFile(options)
    checkpoint = try reporting { try resumed.map { try Checkpoint.open($0) } }
    let saved = checkpoint?.metadata ?? [:]
    seed = trainer.seed ?? saved["ltm.seed"].flatMap { UInt64($0) } ?? model.seed
    let batchGiven = trainer.batchSize ?? (model.linesGiven.contains("batch") ? settings?.batch?.value : nil)
    batchSize = batchGiven ?? saved["ltm.batch"].flatMap { Int($0) } ?? settings?.batch?.value ?? 32
    try model.checkCarries(
      options, keepsLast: options.keepLastBatch ?? false, replicas: trainer.execution.replicas)
    let graph = try model.graph(minimize, training: true)
    var graphs = [graph]
    for loss in settings?.losses.dropFirst() ?? [] { graphs.append(try model.graph(loss.entry.value, training: true)) }
    var fields = try DataFields(trainer, model, graphs, options)
    fields.categories = SavedCategories.read(saved) ?? fields.categories
    let (dataset, others) = try reporting { [fields] in
      let dataset = try fields.dataset(data)
      return (dataset, try fields.others(than: dataset))
    }
    categories = dataset.categories ?? fields.categories
    self.data = try RunData(dataset, others, options, batch: batchSize, seed: seed)
    let (rows, weights) = (self.data.train.count, self.data.weights)
    if let steps = options.truncatedBpttSteps { try self.data.train.checkPlaces(steps, self.data.path) }
    let followsText = options.truncatedBpttSteps != nil
    shuffles =
      options.overfitBatches == nil && !followsText
      && (trainer.shuffles ?? saved[Self.shufflesKey].flatMap { Bool($0) } ?? true)
    let (batchSize, seed, shuffles) = (batchSize, seed, shuffles)
    let batches = try reporting {
      try BatchSequence(
        rows: rows, batch: batchSize, seed: seed, shuffles: shuffles, weights: weights,
        keepsLast: options.keepLastBatch ?? false, followsText: followsText,
        limit: { options.limitTrainBatches?.of($0) ?? $0 })
    }
    let window = settings?.accumulate?.value ?? 1
    guard options.sameBits != true || batches.lastRows == 0 else {
      throw LTMError(
        "a smaller last batch, of \(batches.lastRows) rows, is not cut into the parts that the same bits need",
        notes: ["leave out keep_last_batch or --same-bits"])
    }
    guard window == 1 || batches.lastRows == 0 else {
      throw LTMError(
        "the last batch of an epoch has \(batches.lastRows) rows, and batches that make one update together have equally many",
        notes: ["leave out keep_last_batch or the accumulation, or choose a batch that divides the rows"])
    }
    self.batches = BatchWindows(batches, of: window)
    let replicas = trainer.execution.replicas(
      parts: options.sameBits == true ? options.batchParts ?? 8 : nil, shardsOptimizer: options.shard == .optimizer)
    self.replicas = replicas
    guard replicas.parts == nil || trainer.execution.tpuCores == 1 else {
      throw LTMError(
        "several TPU cores do not promise the same bits", notes: ["one core does, and ranks on the target cpu"])
    }
    let windowRows = batchSize * window
    try reporting { try replicas.checkParts(rows: windowRows, window: window) }
    share = if let parts = replicas.parts { windowRows / parts } else { try Self.share(of: batchSize, replicas) }
    let share = share
    let shapes = self.data.train.shapes.mapValues { [share] + $0.dropFirst() }
    sizes = try Self.bind(graph, shapes, from: self.data.path)
    if batches.lastRows > 0 {
      let rows = try Self.share(of: batches.lastRows, replicas)
      sizesOfLast = try Self.bind(graph, shapes.mapValues { [rows] + $0.dropFirst() }, from: self.data.path)
      rowsOfLast = rows
    } else {
      rowsOfLast = 0
      sizesOfLast = nil
    }
    // An optimizer that is given anew has a rate of its own.
    let savedRate = model.linesGiven.contains("optimizer") ? nil : saved[Self.rateKey].flatMap { Double($0) }
    rateGiven = trainer.learningRate ?? savedRate
    learningRate = try Self.learningRate(rateGiven, model)
    (totalAttempts, limitText) = try TrainingLength(trainer, model, options).attempts(self.batches)
  }

  /// The sizes of an entry's symbolic dimensions, for one replica; `nil` where no last batch is smaller, and one is meant.
  func sizes(of entry: String, _ model: Model, isLast: Bool) throws(LTMError) -> [String: Int]? {
    let rows = isLast ? rowsOfLast : share
    guard rows > 0 else { return nil }
    let shapes = data.train.shapes.mapValues { [rows] + $0.dropFirst() }
    return try Self.bind(try model.graph(entry, training: true), shapes, from: data.path)
  }

  /// The rows that each replica gets of a batch.
  static func share(of batch: Int, _ replicas: Replicas) throws(LTMError) -> Int {
    let count = replicas.count
    guard batch.isMultiple(of: count) else {
      let lower = batch - batch % count
      throw LTMError(
        "a batch of \(batch) rows cannot be split evenly over \(count) \(replicas.rank == nil ? "cores" : "ranks")",
        notes: ["choose a multiple of \(count), \(lower > 0 ? lower : count) say"])
    }
    return batch / count
  }

  /// The rows of an attempt: of each batch its share, for one replica after the other where this process feeds them all.
  mutating func rows(of attempt: Int) -> ArraySlice<Int32> {
    let all = batches.rows(of: attempt)
    if replicas.parts != nil, let rank = replicas.rank {
      let share = all.count / replicas.count
      return all.dropFirst(rank * share).prefix(share)
    }
    let size = all.count / batches.length
    let share = size / replicas.count
    let fed = replicas.rank.map { [$0] } ?? Array(0..<replicas.count)
    guard share < size, fed.count == 1 || batches.length > 1 else { return all }
    return fed.flatMap { replica in
      (0..<batches.length).flatMap { all.dropFirst($0 * size + replica * share).prefix(share) }
    }[...]
  }

  /// Whether an attempt's rows are those of a last batch that is smaller.
  func isLast(_ rows: ArraySlice<Int32>) -> Bool { replicas.parts == nil && rows.count < share }

  /// The sizes of symbolic dimensions for a batch of the data.
  private static func bind(
    _ graph: Graph, _ shapes: [String: [Int]], from path: String
  ) throws(LTMError) -> [String: Int] {
    do {
      return try graph.bindings(shapes)
    } catch {
      throw LTMError(
        DiagnosticSet(
          error.all.map { problem in
            var problem = problem
            problem.notes.append("this is a batch of '\(path)'")
            return problem
          }))
    }
  }

  private static func learningRate(_ given: Double?, _ model: Model) throws(LTMError) -> Double {
    let rate = try model.optimizer(learningRate: given).learningRate
    guard rate.isFinite, rate >= 0 else {
      throw LTMError("the learning rate \(rate) is not a finite number of 0 or more")
    }
    return rate
  }

  /// Throws where there is nothing that a report could be taken over.
  func checkReports(_ model: Model) throws(LTMError) {
    guard data.validation.isEmpty, data.test == nil, let name = model.reportNames.first else { return }
    throw LTMError(
      "'\(name)' cannot be reported: '\(data.path)' has no test rows",
      notes: [
        "give it test rows (x_test beside x_train, or a column 'split' in a .csv), or report nothing, with --no-report",
        "--val-split 0.1 keeps some of its rows for validation, and --val-data names another file",
      ])
  }

  /// Throws for a label that is no class and an index that is no row, in the data to train or to test on.
  func checkIndices(_ model: Model) throws(LTMError) {
    let sizes = sizes
    let entries = (model.settings?.losses ?? []).map { ($0.entry.value, true) }
    var limits: [IndexLimit] = []
    for (entry, training) in entries + model.reportNames.map({ ($0, false) }) {
      let graph = try model.graph(entry, training: training)
      // A report may have sizes of its own.
      limits += ((try? graph.bound(sizes)) ?? graph).indexLimits
    }
    for limit in limits {
      for split in data.splits {
        let tensor = split.tensors[limit.input]
        if let problem = tensor.flatMap({ limit.problem(in: $0, from: data.path) }) { throw LTMError(problem) }
      }
    }
  }
}

extension TrainingPlan {
  private static let rateKey = "ltm.lr"
  static let lossScaleKey = "ltm.loss_scale"
  private static let shufflesKey = "ltm.shuffles"

  /// What a checkpoint keeps of how the run was asked for, so that a resumed one is the same.
  func metadata(_ model: Model, _ policy: PrecisionPolicy, _ loop: String) -> [String: String] {
    var texts = [
      LoopState.key: loop,
      "ltm.version": LTMVersion.current, "ltm.model": model.name, "ltm.seed": "\(seed)", "ltm.batch": "\(batchSize)",
      Self.shufflesKey: "\(shuffles)", "ltm.precision": policy.precision.rawValue, "ltm.level": policy.level.name,
    ]
    texts[Self.lossScaleKey] = policy.level.lossScale.description
    texts[Self.rateKey] = rateGiven.map { "\($0)" }
    texts[SavedCategories.key] = categories.map(SavedCategories.text)
    return texts
  }

  /// A warning where the checkpoint was written at another precision or level.
  func warningOfPrecision(_ policy: PrecisionPolicy) -> Diagnostic? {
    guard let precision = checkpoint?.metadata["ltm.precision"], let level = checkpoint?.metadata["ltm.level"],
      (precision, level) != (policy.precision.rawValue, policy.level.name)
    else { return nil }
    return Diagnostic(
      .warning,
      "the checkpoint was written at precision \(precision), \(level), and this run is at precision "
        + "\(policy.precision), \(policy.level.name)",
      notes: ["the weights go on, but not bit for bit"])
  }
}
