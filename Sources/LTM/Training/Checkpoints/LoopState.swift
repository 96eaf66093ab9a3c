import Glibc
import LTMRuntime
import LTMSupport

/// What the loop itself carries from step to step, beside the session's arrays. A checkpoint keeps it, so that a resumed run stops, averages and
/// saves as one that was never interrupted.
struct LoopState {
  /// The losses of this pass over the data.
  var losses = LossSum()
  var monitor: Monitor?
  var folder: CheckpointFolder
  /// Seconds of training before this run.
  var secondsBefore = 0.0

  /// The key of a checkpoint's text.
  static let key = "ltm.loop"

  /// The state as a text.
  func text(seconds: Double) -> String {
    JSON.object([
      .init("sum", exact(losses.sum)), .init("count", .int(losses.count)), .init("seconds", exact(seconds)),
      .init("monitor", monitor?.state ?? .null), .init("kept", folder.state),
    ]).text()
  }

  mutating func restore(_ text: String?) {
    guard let state = text.flatMap({ try? JSON(parsing: Array($0.utf8)) }) else { return }
    losses = LossSum(sum: exactNumber(state["sum"]) ?? 0, count: state["count"]?.intValue ?? 0)
    secondsBefore = max(exactNumber(state["seconds"]) ?? 0, 0)
    monitor?.restore(state["monitor"])
    folder.restore(state["kept"])
  }
}

/// The mean of finite losses.
struct LossSum {
  private(set) var sum = 0.0
  private(set) var count = 0
  var mean: Double { count > 0 ? sum / Double(count) : .nan }

  mutating func add(_ record: StepRecord) {
    if record.loss.isFinite {
      sum += record.loss
      count += 1
    }
  }
}

extension Trainer {
  /// The checkpoint to go on from: a file, or the last or best one of the folder. `nil` where there is none yet.
  func resumedFile(_ options: TrainingOptions) throws(LTMError) -> String? {
    guard let resumePath, let folder = options.saveDir, resumePath == "last" || resumePath == "best" else {
      return resumePath
    }
    let last = CheckpointFolder.last(in: folder)
    guard access(last, F_OK) == 0 else { return nil }
    if resumePath == "last" { return last }
    let text = try reporting { try Checkpoint.open(last).metadata[LoopState.key] }
    let state = text.flatMap { try? JSON(parsing: Array($0.utf8)) }
    guard let best = CheckpointFolder.kept(in: state?["kept"]).first else {
      throw LTMError("'\(last)' knows of no best checkpoint", notes: ["it was written by a run without --monitor"])
    }
    return "\(folder)/\(best.name)"
  }
}
