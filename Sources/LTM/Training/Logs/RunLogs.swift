import LTMRuntime
import LTMSupport

/// What steps and metrics are written as.
public enum LogFormat: String, Hashable, Sendable, CaseIterable {
  /// `metrics.jsonl`: a line of JSON for each step and each validation.
  case jsonl
  /// `metrics.csv`: a column for each value.
  case csv
  /// An event file that TensorBoard reads.
  case tensorboard
}

/// A row of a log.
struct LogRow {
  let attempt: Int
  let step: Int
  let epoch: Int
  let isValidation: Bool
  /// In order; those that are not finite stay as they are.
  let values: [NamedValue]
}

/// One log of a run.
protocol RunLog: AnyObject {
  /// The file.
  var path: String { get }
  /// Appends a row.
  func write(_ row: LogRow) throws(FileError)
  /// Appends histograms, where it holds such.
  func write(_ histograms: [Histogram], attempt: Int) throws(FileError)
}

extension RunLog {
  func write(_ histograms: [Histogram], attempt: Int) throws(FileError) {}
}

/// The logs of a run. One that cannot be written any more is left behind with a warning: training goes on.
struct RunLogs {
  private var logs: [any RunLog] = []
  private let every: Int
  /// What could not be written.
  private(set) var warnings: [Diagnostic] = []

  /// - Parameters:
  ///   - values: the names of all values that may come, beside those of every step.
  ///   - appends: whether what the files hold stays.
  ///   - options: `nil` for a run that writes none.
  init(_ options: TrainingOptions?, values: [String], appends: Bool) throws(LTMError) {
    every = options?.logEveryNSteps ?? 1
    guard let options else { return }
    let formats = options.loggers ?? []
    guard options.histograms == nil || formats.contains(.tensorboard) else {
      throw LTMError("histograms are written for TensorBoard alone", notes: ["ask for its log: --logger tensorboard"])
    }
    guard !formats.isEmpty else {
      if options.logDir != nil {
        throw LTMError("a folder for logs is named, and no log", notes: ["say which, as in --logger jsonl"])
      }
      return
    }
    guard let folder = options.logDir ?? options.saveDir else {
      throw LTMError("a log needs a folder", notes: ["name it, as in --log-dir runs/first"])
    }
    logs = try reporting {
      try makeFolder(folder)
      return try LogFormat.allCases.filter(formats.contains).map { (format) throws(FileError) -> any RunLog in
        switch format {
        case .jsonl: try JSONLinesLog(folder, appends: appends)
        case .csv: try CSVLog(folder, columns: Self.stepValues + values, appends: appends)
        case .tensorboard: try TensorBoardLog(folder)
        }
      }
    }
  }

  /// Whether nothing is written.
  var isEmpty: Bool { logs.isEmpty }

  /// The values of every step.
  private static let stepValues = ["loss", "scale", "skipped", "seconds"]

  /// Writes a step; gives warnings about logs that cannot be written any more.
  mutating func write(_ record: StepRecord, epoch: Int) -> [Diagnostic] {
    guard !logs.isEmpty, record.attempt % every == 0 else { return [] }
    let numbers = [record.loss, record.scale, record.skipped ? 1 : 0, record.seconds]
    let values = zip(Self.stepValues, numbers).map { NamedValue(name: $0, value: $1) } + record.values
    return write(
      LogRow(attempt: record.attempt, step: record.step, epoch: epoch, isValidation: false, values: values))
  }

  /// Writes a validation.
  mutating func write(_ record: ValidationRecord) -> [Diagnostic] {
    let values =
      [NamedValue(name: Validation.trainLoss, value: record.loss)]
      + record.reports.map { NamedValue(name: $0.key, value: $0.value) }
    return write(
      LogRow(
        attempt: record.attempt - 1, step: record.step, epoch: record.epoch, isValidation: true, values: values))
  }

  /// Writes histograms.
  mutating func write(_ histograms: [Histogram], attempt: Int) -> [Diagnostic] {
    toEach { (log) throws(FileError) in try log.write(histograms, attempt: attempt) }
  }

  private mutating func write(_ row: LogRow) -> [Diagnostic] {
    toEach { (log) throws(FileError) in try log.write(row) }
  }

  private mutating func toEach(_ write: (any RunLog) throws(FileError) -> Void) -> [Diagnostic] {
    var failed: [Diagnostic] = []
    logs.removeAll { log in
      do throws(FileError) {
        try write(log)
        return false
      } catch {
        var warning = error.diagnostic
        warning.severity = .warning
        warning.notes.append("training goes on without this log")
        failed.append(warning)
        return true
      }
    }
    warnings += failed
    return failed
  }
}
