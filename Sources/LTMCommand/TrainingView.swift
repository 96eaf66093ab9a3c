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
      try log?.write(record)
      progress?.update(record.attempt + 1, "loss \(format(record.loss, 4))" + (record.skipped ? " (skipped)" : ""))
    case .validation(let record): pending = record
    case .warning(let warning):
      progress?.clear()
      if !isQuiet { printNote(warning.rendered()) }
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
    result.warnings.forEach { printNote($0.rendered()) }
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
        "\(reports)training loss of the last batch \(format(result.loss, 4)), after \(result.steps) steps\(skipped) in \(format(result.seconds, 2)) s (\(format(rate, 0)) steps/s)"
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

/// One JSON line per step.
final class StepLog {
  private let path: String
  private let descriptor: Int32

  init(path: String, appends: Bool) throws {
    self.path = path
    // Opened, never replaced: the path may be a device or a pipe.
    // What stands behind /dev/stdout may be a file that others write to.
    let keeps = appends || path.hasPrefix("/dev/")
    descriptor = open(path, O_WRONLY | O_CREAT | (keeps ? O_APPEND : 0) | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw LTMError(
        "cannot write the log '\(path)': \(String(cString: strerror(errno)))",
        notes: ["name a file in a folder that exists and is writable"])
    }
    guard path.hasPrefix("/dev/") || Self.mayBeLog(path) else {
      close(descriptor)
      throw LTMError(
        "'\(path)' is there already, and is no log", notes: ["name another file for the log, or remove it"])
    }
    if !keeps { ftruncate(descriptor, 0) }
  }

  /// Whether nothing else is lost by writing there: a model, its data or a checkpoint does not begin as JSON lines do.
  private static func mayBeLog(_ path: String) -> Bool {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0 else { return true }
    let begin = try? FileHandle(forReadingFrom: URL(filePath: path)).read(upToCount: 2)
    return begin.map { $0 == Data("{\"".utf8) } ?? true
  }

  deinit { close(descriptor) }

  func write(_ record: StepRecord) throws {
    if let reason = writeAll(Array((record.json + "\n").utf8), to: descriptor) {
      throw LTMError("cannot write the log '\(path)': \(reason)")
    }
  }
}
