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
  /// A checkpoint to go on from.
  public var resumePath: String?
  /// Where to write a checkpoint when training ends, and after each epoch.
  public var savePath: String?
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
      if !run.isRuined { try run.session.store(in: &model) }
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
  /// One pass over the data is done.
  case epoch(EpochRecord)
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

/// One try: a step, or a skip.
public struct StepRecord: Sendable, Hashable {
  /// The try's number, from 0.
  public let attempt: Int
  /// Updates made when it was done.
  public let step: Int
  /// The loss, unscaled.
  public let loss: Double
  /// The loss scale that the try ran with.
  public let scale: Double
  /// Whether a gradient or the loss was not finite and nothing was updated.
  public let skipped: Bool
  /// Seconds that it took.
  public let seconds: Double
  /// The norm of all gradients together, unscaled and before they were clipped, where the step gives it.
  public var gradientNorm: Double?
}

/// One pass over the data.
public struct EpochRecord: Sendable, Hashable {
  /// The pass's number, from 0.
  public let epoch: Int
  /// The mean of the finite losses.
  public let loss: Double
  /// What is reported over the test data, in order.
  public let reports: [ReportValue]
}

/// An entry over all of the test data.
public struct ReportValue: Sendable, Hashable {
  /// The entry's name, `accuracy` say.
  public let name: String
  /// Its value on all test rows.
  public let value: Double
}

/// What training came to.
public struct TrainingResult: Sendable {
  /// Updates made.
  public let steps: Int
  /// Tries that were skipped.
  public let skipped: Int
  /// The loss of the last batch that was trained on.
  public let loss: Double
  /// What is reported over the test data, in order.
  public let reports: [ReportValue]
  /// The value of the first of them.
  public var report: Double? { reports.first?.value }
  /// Bytes as allocated.
  public let memory: MemoryUse
  /// Seconds of training, without compiling.
  public let seconds: Double
  /// Whether it ended early because it was asked to.
  public let wasStopped: Bool
  /// What was met on the way: computed indices outside of what they point into.
  public let warnings: [Diagnostic]
}

/// Arrays to train on, by the parameter of the model's entries that they are for; the first dimension counts the rows.
public struct TrainingData: Sendable {
  /// What is trained on.
  public var train: [String: Tensor]
  /// What `report` is taken over; where it is empty, nothing is reported.
  public var test: [String: Tensor]
  /// Arrays in memory.
  public init(train: [String: Tensor], test: [String: Tensor] = [:]) {
    self.train = train
    self.test = test
  }
}
