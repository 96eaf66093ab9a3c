import Foundation
import LTM

/// What `ltm train` shows and logs.
final class TrainingView {
  private let isQuiet: Bool
  private let logPath: String?
  private let appends: Bool
  private var log: StepLog?
  private var progress: Progress?
  private var replay: Progress?
  private var overview: TrainingOverview?
  /// The last validation, as long as no line has shown it.
  private var pending: ValidationRecord?
  /// Warnings that were shown already.
  private var shown: Set<String> = []

  /// `appends` keeps what the log holds already.
  init(isQuiet: Bool, logPath: String?, appends: Bool) {
    self.isQuiet = isQuiet
    self.logPath = logPath
    self.appends = appends
  }

  func show(_ event: TrainingEvent) throws {
    switch event {
    case .started(let overview):
      // Not before: a run that cannot start leaves the log of the last one alone.
      log = try logPath.map { try StepLog(path: $0, appends: appends) }
      start(overview)
    case .step(let record):
      try showPending()
      writeLog(record)
      progress?.update(record.attempt + 1, "loss \(format(record.loss, 4))" + (record.skipped ? " (skipped)" : ""))
    case .validation(let record): pending = record
    case .warning(let warning): if !isQuiet { show(warning) }
    case .replaying(let done, let total):
      if replay == nil, !isQuiet {
        progress?.clear()
        replay = Progress(total: total, unit: "ops", after: .seconds(1))
      }
      replay?.update(done, "which op is to blame")
      if done == total { replay?.clear() }
    case .epoch(let record):
      pending = nil
      progress?.clear()
      if !isQuiet {
        try printLine("epoch \(record.epoch + 1): train_loss \(format(record.loss, 4))\(Self.text(record.reports))")
      }
    }
  }

  /// Shows a warning once.
  private func show(_ warning: Diagnostic) {
    guard shown.insert(warning.rendered()).inserted else { return }
    progress?.clear()
    printNote(warning.rendered())
  }

  /// Hours of training are worth more than a log: one that cannot be written any more is left behind.
  private func writeLog(_ record: StepRecord) {
    do {
      try log?.write(record)
    } catch {
      log = nil
      for var problem in (error as? LTMError)?.diagnostics ?? [] {
        problem.severity = .warning
        problem.notes.append("training goes on without this log")
        show(problem)
      }
    }
  }

  /// A validation in the middle of an epoch; one at its end is in the epoch's line.
  private func showPending() throws {
    guard let record = pending, !isQuiet else { return }
    pending = nil
    progress?.clear()
    try printLine(
      "step \(record.attempt): train_loss \(format(record.loss, 4)) so far\(Self.text(record.reports))")
  }

  private static func text(_ reports: [ReportValue]) -> String {
    reports.map { "  \($0.key) \(format($0.value, 4))" }.joined()
  }

  private func start(_ overview: TrainingOverview) {
    self.overview = overview
    overview.warnings.forEach { printNote($0.rendered()) }
    guard !isQuiet else { return }
    progress = Progress(total: overview.totalSteps, unit: "steps")
    let memory = overview.memory
    // Where the target's own compiler plans memory, it tells of activations with all else that is temporary.
    let values =
      memory.activations == 0 && memory.arena > 0
      ? "activations, gradients and temporaries \(byteCount(memory.arena))"
      : "activations \(byteCount(memory.activations))"
    printNote(
      "compiled in \(format(overview.compileSeconds, 2)) s; weights \(byteCount(memory.weights)), \(values), "
        + "masters \(byteCount(memory.masters)), optimizer \(byteCount(memory.optimizerState))"
        + (overview.reportBytes > 0 ? ", reports \(byteCount(overview.reportBytes))" : "")
        + "; \(byteCount(overview.plannedBytes)) in all"
    )
  }

  func finish(_ result: TrainingResult, isJSON: Bool, saved: String?) throws {
    progress?.clear()
    result.warnings.forEach(show)
    if isJSON {
      try printLine(result.json(saved: saved))
    } else if let overview, overview.firstAttempt >= overview.totalSteps {
      printNote(
        "nothing to train: the checkpoint is \(overview.firstAttempt) steps on already, skipped ones included, and "
          + "\(overview.length) in all are asked for; give a larger number, --max-steps \(overview.firstAttempt + overview.stepsPerEpoch) say"
      )
    } else if !isQuiet {
      let rate = result.seconds > 0 ? Double(result.steps + result.skipped) / result.seconds : 0
      let reports = result.reports.map {
        "\($0.split) \($0.name)\($0.dataset.map { " of \($0)" } ?? "") \(format($0.value, 4)), "
      }.joined()
      let skipped = result.skipped > 0 ? ", \(result.skipped) skipped" : ""
      try printLine(
        "\(reports)training loss of the last batch \(format(result.loss, 4)), after \(result.steps) steps\(skipped) in \(format(result.seconds, 2)) s (\(formatRate(rate)) steps/s)"
      )
      if let ending = result.ending { try printLine("ended early: \(ending)") }
      if let saved { try printLine("saved \(saved)") }
      if result.wasStopped {
        printNote(
          "stopped by Ctrl-C; "
            + (saved.map { "the same command with --resume \($0) goes on" } ?? "with --save it could be resumed"))
      }
    }
  }
}
