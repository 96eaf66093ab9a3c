import LTMIR
import LTMSupport

/// Watches a metric from validation to validation: which was the best, and for how long nothing was better.
struct Monitor {
  let key: String
  let mode: MonitorMode
  private let patience: Int?
  private let minDelta: Double
  private(set) var best: (value: Double, step: Int)?
  /// Validations in a row that were not better than the best by the least difference.
  private(set) var waited = 0
  /// The value that patience goes by.
  private var reference: Double?

  /// `nil` where nothing is monitored.
  init?(_ options: TrainingOptions, keys: [String]) throws(LTMError) {
    guard let key = options.monitor else {
      for (name, isGiven) in [("patience", options.patience != nil), ("save_top_k", options.saveTopK ?? 0 > 0)]
      where isGiven {
        throw LTMError("\(name) needs a metric to go by", notes: ["name it, as in --monitor val_loss"])
      }
      return nil
    }
    guard keys.contains(key) else {
      throw LTMError(
        "there is no metric '\(key)' to monitor",
        notes: ["there are \(keys.joined(separator: ", ")); an entry that is reported is val_NAME"]
          + (keys.count == 1 ? ["without rows to validate on there is no more: --val-split 0.1 keeps some"] : []))
    }
    guard let mode = options.monitorMode ?? MonitorMode(of: key) else {
      throw LTMError(
        "whether less or more of '\(key)' is better is not known", notes: ["say it: --monitor-mode min, or max"])
    }
    (self.key, self.mode, patience, minDelta) = (key, mode, options.patience, options.minDelta ?? 0)
  }

  /// Whether a value is better than another by more than a difference.
  func isBetter(_ value: Double, than other: Double, by delta: Double = 0) -> Bool {
    mode == .min ? value < other - delta : value > other + delta
  }

  /// Takes the value of a validation that was due; gives whether it is the best so far.
  mutating func take(_ value: Double, step: Int) -> Bool {
    if reference.map({ isBetter(value, than: $0, by: minDelta) }) ?? !value.isNaN {
      (reference, waited) = (value, 0)
    } else {
      waited += 1
    }
    guard best.map({ isBetter(value, than: $0.value) }) ?? !value.isNaN else { return false }
    best = (value, step)
    return true
  }

  /// Why training should end, if it should.
  var ending: String? {
    guard let patience, waited >= patience else { return nil }
    let least = minDelta > 0 ? " by more than \(minDelta)" : ""
    let met = best.map { "; the best was \(Float($0.value)) at step \($0.step)" } ?? ""
    return "\(key) was not better\(least) in \(waited) \(waited == 1 ? "validation" : "validations") in a row\(met)"
  }

  // MARK: What a checkpoint keeps

  var state: JSON {
    .object([
      .init("key", .string(key)), .init("waited", .int(waited)), .init("best", best.map { exact($0.value) } ?? .null),
      .init("best_step", best.map { .int($0.step) } ?? .null), .init("reference", reference.map(exact) ?? .null),
    ])
  }

  /// Goes on from what a checkpoint holds of the same metric.
  mutating func restore(_ state: JSON?) {
    guard let state, state["key"]?.stringValue == key else { return }
    waited = state["waited"]?.intValue ?? 0
    reference = exactNumber(state["reference"])
    if let value = exactNumber(state["best"]) { best = (value, state["best_step"]?.intValue ?? 0) }
  }
}

/// A number by its bits, so that none is lost.
func exact(_ value: Double) -> JSON { .string(String(value.bitPattern, radix: 16)) }

/// What ``exact(_:)`` wrote.
func exactNumber(_ json: JSON?) -> Double? {
  json?.stringValue.flatMap { UInt64($0, radix: 16) }.map { Double(bitPattern: $0) }
}

extension ScheduleTemplate {
  /// Throws where a schedule that observes takes for better what the monitor takes for worse. Without a monitor it observes the loss.
  func check(watching monitor: Monitor?) throws(LTMError) {
    let (key, mode) = (monitor?.key ?? Validation.trainLoss, monitor?.mode ?? .min)
    guard let stage = stages.first(where: { $0.seeksMore == (mode == .min) }) else { return }
    let (wanted, other) = mode == .min ? ("false", "larger") : ("true", "smaller")
    throw LTMError(
      "'\(stage.name)' waits for a \(other) \(key), and a \(mode == .min ? "smaller" : "larger") one is better",
      notes: ["write \(stage.name)(larger_is_better: \(wanted))", "--monitor and --monitor-mode say what is watched"])
  }
}
