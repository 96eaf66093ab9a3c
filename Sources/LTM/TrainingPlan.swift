import LTMFrontEnd
import LTMIR
import LTMRuntime
import LTMSupport

/// What a run will do, with every default in place.
struct TrainingPlan {
  let dataset: Dataset
  let batchSize: Int
  /// Programs that share each batch, alike but for their rows.
  let replicas: Int
  let seed: UInt64
  let totalAttempts: Int
  let learningRate: Double
  /// The sizes of the loss's symbolic dimensions, for one replica.
  let sizes: [String: Int]
  let checkpoint: Checkpoint?
  var batches: BatchSequence

  init(_ trainer: Trainer, _ model: Model, _ data: TrainingData?) throws(LTMError) {
    let settings = model.settings
    guard let minimize = settings?.minimize?.value else {
      throw LTMError(
        "\(model.path) does not say what to minimize", notes: ["add a 'train \(model.name) { minimize loss }' block"])
    }
    checkpoint = try reporting { try trainer.resumePath.map { try Checkpoint(path: $0) } }
    let saved = checkpoint?.metadata ?? [:]
    seed = trainer.seed ?? saved["ltm.seed"].flatMap { UInt64($0) } ?? model.seed
    batchSize = trainer.batchSize ?? saved["ltm.batch"].flatMap { Int($0) } ?? settings?.batch?.value ?? 32
    let graph = try reporting { try model.program.graph(entry: minimize, training: true) }
    let full = trainer.policy.full
    dataset = try reporting { try Self.dataset(trainer, model, data, graph, full) }
    let rows = dataset.train.count
    let (batchSize, seed) = (batchSize, seed)
    let batches = try reporting {
      try BatchSequence(rows: rows, batch: batchSize, seed: seed, shuffles: trainer.shuffles)
    }
    self.batches = batches
    replicas = trainer.execution.tpuCores
    let share = try Self.share(of: batchSize, replicas)
    let shapes = dataset.train.tensors.mapValues { [share] + $0.shape.dropFirst() }
    sizes = try reporting { try graph.bindings(shapes) }
    learningRate = try Self.learningRate(trainer, model)
    totalAttempts = try Self.total(trainer, settings, batches)
  }

  /// The rows that each replica gets of a batch.
  static func share(of batch: Int, _ replicas: Int) throws(LTMError) -> Int {
    guard batch.isMultiple(of: replicas) else {
      let lower = batch - batch % replicas
      throw LTMError(
        "a batch of \(batch) rows cannot be split evenly over \(replicas) cores",
        notes: ["choose a multiple of \(replicas), \(lower > 0 ? lower : replicas) say"])
    }
    return batch / replicas
  }

  private static func learningRate(_ trainer: Trainer, _ model: Model) throws(LTMError) -> Double {
    let rate = try model.optimizer(learningRate: trainer.learningRate).learningRate
    guard rate.isFinite, rate >= 0 else {
      throw LTMError("the learning rate \(rate) is not a finite number of 0 or more")
    }
    return rate
  }

  private static func total(
    _ trainer: Trainer, _ settings: TrainSettings?, _ batches: BatchSequence
  ) throws(LTMError) -> Int {
    let epochs =
      trainer.maxEpochs ?? settings?.epochs?.value ?? (trainer.maxSteps ?? settings?.steps?.value == nil ? 1 : Int.max)
    guard epochs > 0 else { throw LTMError("\(epochs) epochs: at least 1 is needed") }
    let (product, overflow) = epochs.multipliedReportingOverflow(by: batches.batchesPerEpoch)
    let limit = trainer.maxSteps ?? (trainer.maxEpochs == nil ? settings?.steps?.value : nil) ?? Int.max
    guard limit > 0 else { throw LTMError("\(limit) steps: at least 1 is needed") }
    let total = min(overflow ? Int.max : product, limit)
    guard total <= Int(Int32.max) else { throw LTMError("\(total) steps are more than the step counter holds") }
    return total
  }

  /// The rows, by parameter of the loss. Undecided floats come in the run's full precision.
  private static func dataset(
    _ trainer: Trainer, _ model: Model, _ data: TrainingData?, _ graph: Graph, _ full: DType
  ) throws -> Dataset {
    let report = try model.reportName.map { try model.program.graph(entry: $0, training: false) }
    func dtype(_ parameter: String) -> DType? {
      let readers = [graph, report].compactMap { $0 }
      let dtypes = readers.compactMap { reader in reader.input(parameter).map { reader[$0.value].type.dtype } }
      return dtypes.first.map { $0 == .float ? full : $0 }
    }
    if let data {
      let names = graph.inputs.filter { $0.role == .argument }.map(\.name)
      return try Dataset(
        name: "the data given", train: data.train, test: data.test,
        fields: names.map { DataField(parameter: $0, key: $0, dtype: dtype($0)) })
    }
    let settings = model.settings
    guard let path = trainer.dataPath ?? settings?.data?.value else {
      throw LTMError("no data is given", notes: ["name a file with --data, or in the train block's 'data' line"])
    }
    let written = settings?.fields.map { (parameter: $0.parameter, key: $0.key) } ?? []
    // Where the file maps nothing, a parameter takes what has its own name.
    let same = graph.inputs.filter { $0.role == .argument }.map { (parameter: $0.name, key: $0.name) }
    return try Dataset(
      path: path,
      fields: (written.isEmpty ? same : written).map {
        DataField(parameter: $0.parameter, key: $0.key, dtype: dtype($0.parameter))
      })
  }

  /// Throws for a label that is no class and an index that is no row, in the data to train or to test on.
  func checkIndices(_ model: Model) throws(LTMError) {
    guard let minimize = model.settings?.minimize?.value else { return }
    let sizes = sizes
    let graph = try reporting { try model.program.graph(entry: minimize, training: true).bound(sizes) }
    for limit in graph.indexLimits {
      for split in [dataset.train, dataset.test].compactMap({ $0 }) {
        let tensor = split.tensors[limit.input]
        if let problem = tensor.flatMap({ limit.problem(in: $0, from: dataset.path) }) { throw LTMError(problem) }
      }
    }
  }
}
