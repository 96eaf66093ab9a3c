import LTMPrecision
import LTMSupport

/// A number with the name that lines and logs give it.
public struct NamedValue: Sendable, Hashable {
  /// `lr`, `val_accuracy`
  public let name: String
  /// The number; NaN where there is none.
  public let value: Double
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
  /// What else the step tells of itself, `lr` say, in order.
  public internal(set) var values: [NamedValue]

  /// The norm of all gradients together, unscaled and before they were clipped, where the step gives it.
  public var gradientNorm: Double? { values.first { $0.name == "grad_norm" }?.value }

  /// What a step tells of itself beside its loss: the name in logs, and the step's output. One line for each; what a step does not
  /// compute is left out.
  static let outputs: [(name: String, output: String)] = [
    ("lr", StepProgram.learningRate), ("grad_norm", StepProgram.gradientNorm),
  ]
}

/// One pass over the data.
public struct EpochRecord: Sendable, Hashable {
  /// The pass's number, from 0.
  public let epoch: Int
  /// The mean of the finite losses.
  public let loss: Double
  /// What is reported, where the pass ended with a validation, in order.
  public let reports: [ReportValue]
}

/// A validation: in the middle of an epoch, or at its end.
public struct ValidationRecord: Sendable, Hashable {
  /// Tries made before it.
  public let attempt: Int
  /// Updates made before it.
  public let step: Int
  /// The epoch that the last try belonged to.
  public let epoch: Int
  /// The mean of the finite losses since the epoch began.
  public let loss: Double
  /// What is reported, in order.
  public let reports: [ReportValue]
  /// Whether no validation before it gave a better value of the metric that is monitored.
  public let isBest: Bool
}

/// An entry over all rows of a split.
public struct ReportValue: Sendable, Hashable {
  /// The entry's name, `accuracy` say.
  public let name: String
  /// What it was evaluated on: `val`, `train` or `test`.
  public let split: String
  /// The name of the data set, where there are several.
  public let dataset: String?
  /// Its value on all rows.
  public let value: Double

  init(name: String, split: String, dataset: String? = nil, value: Double = .nan) {
    (self.name, self.split, self.dataset, self.value) = (name, split, dataset, value)
  }

  /// `val_accuracy`, `val_accuracy/noisy`: what lines, logs and `monitor` call it.
  public var key: String { "\(split)_\(name)" + (dataset.map { "/\($0)" } ?? "") }

  func with(_ value: Double) -> ReportValue { ReportValue(name: name, split: split, dataset: dataset, value: value) }
}

/// What training came to.
public struct TrainingResult: Sendable {
  /// Updates made.
  public let steps: Int
  /// Tries that were skipped.
  public let skipped: Int
  /// The loss of the last batch that was trained on.
  public let loss: Double
  /// What is reported with the weights of the end: over the test data where there are such, else over what was validated on; in order.
  public let reports: [ReportValue]
  /// The value of the first of them.
  public var report: Double? { reports.first?.value }
  /// The best value of the metric that is monitored, and the step that it was met at.
  public let best: (value: Double, step: Int)?
  /// Bytes as allocated.
  public let memory: MemoryUse
  /// Seconds of training, without compiling.
  public let seconds: Double
  /// Whether it ended early because it was asked to.
  public let wasStopped: Bool
  /// Why it ended before its last step, where it was not asked to.
  public let ending: String?
  /// What was met on the way: computed indices outside of what they point into, logs that could not be written.
  public let warnings: [Diagnostic]
  /// Seconds that the parts of the run took: `batches`, `steps`, `validation`, `checkpoints`, `logs`.
  public let phases: [NamedValue]

  /// The parts of the run as a table.
  public var profile: String {
    let rest = seconds - phases.reduce(0) { $0 + $1.value }
    let rows = (phases + [NamedValue(name: "the rest", value: max(rest, 0))]).map { phase in
      [
        phase.name, fixed(phase.value, 3), fixed(seconds > 0 ? 100 * phase.value / seconds : 0, 1),
        steps + skipped > 0 ? fixed(phase.value / Double(steps + skipped) * 1e6, 1) : "-",
      ]
    }
    return textTable([["part", "seconds", "%", "us a step"]] + rows, leftAligned: [0])
  }
}
