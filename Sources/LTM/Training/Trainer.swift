import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// Trains a model:
///
///     var model = try Model(contentsOf: "digits.ltm")
///     let trainer = try Trainer(precision: .sixteen, ampLevel: .O2)
///     let result = try trainer.fit(&model)
///
/// Whatever is left `nil` is what the file's `train` block says.
public struct Trainer: Sendable {
  /// The precision and the level, every property decided.
  public let policy: PrecisionPolicy
  /// Where to train.
  public let execution: Execution
  /// Passes over the training data. Default: the file's `epochs`, else 1. With this or `maxSteps` given, what the file says
  /// of either does not count.
  public var maxEpochs: Int?
  /// Tries, skipped ones included, after which training ends whatever the epochs say.
  public var maxSteps: Int?
  /// Rows of a batch. Default: the file's `batch`, else 32.
  public var batchSize: Int?
  /// The learning rate, in place of the optimizer's `lr`.
  public var learningRate: Double?
  /// The seed of the data's order and of random numbers. Default: the checkpoint's, else the model's own.
  public var seed: UInt64?
  /// Whether each epoch has an order of its own; otherwise the data's. Default: the checkpoint's, else yes.
  public var shuffles: Bool?
  /// The data file, in place of the `train` block's.
  public var dataPath: String?
  /// For a parameter the key of its tensor in the data, in place of the `train` block's.
  public var dataFields: [String: String] = [:]
  /// A checkpoint to go on from; `last` or `best` is that of the folder `options.saveDir`, where there is one.
  public var resumePath: String?
  /// Where to write a checkpoint when training ends, and after each epoch.
  public var savePath: String?
  /// How it goes about it: validation, stopping, checkpoints, logs.
  public var options = TrainingOptions()
  /// A folder for a text of every compiler stage.
  public var dumpPath: String?
  /// Asked between steps; `true` ends training after the step, as Ctrl-C does.
  public var stopRequested: @Sendable () -> Bool = { false }

  /// Decides how 16 bits are used. `configureAmp` overrides properties of the level, each on its own: what
  /// `configure_apex` was for. `gpus: 1` trains on a GPU; `tpuCores` on that many cores of the target `tpu`, each batch
  /// split among them; an `execution` says it more fully.
  public init(
    precision: Precision = .thirtyTwo, ampLevel: OptLevel? = nil, configureAmp: [OptLevelSetting] = [],
    onNonfinite: NonfinitePolicy? = nil, gpus: Int? = nil, tpuCores: Int? = nil, execution: Execution? = nil
  ) throws(LTMError) {
    guard [gpus != nil, tpuCores != nil, execution != nil].count(where: { $0 }) <= 1 else {
      throw LTMError(
        "only one of gpus, tpuCores and execution can be given",
        notes: ["an execution says it all: Execution(target: .cuda, gpus: 1), Execution(target: .tpu, tpuCores: 8)"])
    }
    let target: Target = gpus != nil ? .cuda : tpuCores != nil ? .tpu : .cpu
    let execution =
      if let execution { execution } else { try Execution(target: target, tpuCores: tpuCores, gpus: gpus) }
    let policy = try reporting {
      try PrecisionPolicy(
        precision, level: ampLevel, overrides: configureAmp, onNonfinite: onNonfinite, sixteen: execution.target.sixteen
      )
    }
    self.init(policy: policy, execution: execution)
  }

  /// Trains under a policy that is decided already.
  public init(policy: PrecisionPolicy, execution: Execution) {
    self.policy = policy
    self.execution = execution
  }

  /// Trains on the file's data, or on `data`; the model then holds the trained weights, also when an error ends it: those
  /// of the last good step. Where an update made them non-finite, the model stays as it was.
  @discardableResult
  public func fit(
    _ model: inout Model, data: TrainingData? = nil, observer: (TrainingEvent) throws -> Void = { _ in }
  ) throws(LTMError) -> TrainingResult {
    var run = try TrainingRun(self, model, data, keepsWeights: true)
    model = run.model
    let result = Result { () throws(LTMError) in try run.train(observer) }
    do {
      // Of values that are divided among ranks none has all, and the others may not be asked.
      if !run.isRuined, (try? result.get()) != nil || !run.isDivided { try run.store(in: &model) }
    } catch {
      // A device that failed gives nothing back: why it failed is the better message.
      _ = try result.get()
      throw error
    }
    return try result.get()
  }

  /// The same without giving the trained weights back, for a caller who has them saved: a second copy of them, or of those
  /// that the run begins with, would be the peak of the memory.
  package func train(
    _ model: consuming Model, observer: (TrainingEvent) throws -> Void = { _ in }
  ) throws(LTMError) -> TrainingResult {
    var run = try TrainingRun(self, consume model, nil, keepsWeights: false)
    return try run.train(observer)
  }
}

/// What happens while a model trains.
public enum TrainingEvent: Sendable {
  /// Everything is compiled; training is about to begin.
  case started(TrainingOverview)
  /// One try is done.
  case step(StepRecord)
  /// What is reported was evaluated.
  case validation(ValidationRecord)
  /// One pass over the data is done.
  case epoch(EpochRecord)
  /// Something is worth a word, and training goes on.
  case warning(Diagnostic)
  /// The run is over, and the op to blame is looked for: so many of the step's ops have been made again, of so many.
  case replaying(done: Int, of: Int)
}

/// What is about to be trained.
public struct TrainingOverview: Sendable {
  /// Tries to be made in all, those before a resume included.
  public let totalSteps: Int
  /// Tries of one pass over the data.
  public let stepsPerEpoch: Int
  /// Rows of a batch.
  public let batchSize: Int
  /// The first try's number: 0, or where the checkpoint left off.
  public let firstAttempt: Int
  /// What the number of tries comes from: `3 epochs of 67 steps`.
  public let length: String
  /// Bytes as allocated.
  public let memory: MemoryUse
  /// Bytes of the entries that are reported, beside the weights that training holds.
  public let reportBytes: Int
  /// Bytes of all that is planned: the most that the run holds, but for the program itself and the data.
  public var plannedBytes: Int { memory.total + reportBytes }
  /// Seconds from reading the model to here.
  public let compileSeconds: Double
  /// What the user should know before training begins.
  public let warnings: [Diagnostic]
}

/// Arrays to train on, by the parameter of the model's entries that they are for; the first dimension counts the rows.
public struct TrainingData: Sendable {
  /// What is trained on.
  public var train: [String: Tensor]
  /// What is validated on; where it is empty, `test` is.
  public var validation: [String: Tensor]
  /// What `report` is taken over when training has ended; where nothing is given, nothing is reported.
  public var test: [String: Tensor]
  /// Arrays in memory.
  public init(train: [String: Tensor], validation: [String: Tensor] = [:], test: [String: Tensor] = [:]) {
    self.train = train
    self.validation = validation
    self.test = test
  }
}
