/// A number of batches or steps: so many, or a fraction of what an epoch has. `10` and `0.25` in Swift.
public enum Amount: Hashable, Sendable, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral {
  /// So many.
  case count(Int)
  /// A fraction of all, up to 1.
  case fraction(Double)

  /// So many.
  public init(integerLiteral value: Int) { self = .count(value) }
  /// A fraction.
  public init(floatLiteral value: Double) { self = .fraction(value) }

  /// Reads `10` as a number and `0.25` or `1.0` as a fraction, as Lightning does.
  init?(_ text: String) {
    if let count = Int(text) {
      guard count >= 1 else { return nil }
      self = .count(count)
    } else {
      guard let fraction = Double(text), fraction > 0, fraction <= 1 else { return nil }
      self = .fraction(fraction)
    }
  }

  /// How many of so many: at least one.
  func of(_ all: Int) -> Int {
    switch self {
    case .count(let count): min(max(count, 1), all)
    case .fraction(let fraction): min(max(Int(fraction * Double(all)), 1), all)
    }
  }
}

/// Whether less or more of a metric is better.
public enum MonitorMode: String, Hashable, Sendable, CaseIterable {
  /// Less is better, as of a loss.
  case min
  /// More is better, as of an accuracy.
  case max

  /// By what a metric's name says; `nil` where it says nothing.
  init?(of metric: String) {
    let words = metric.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
    func has(_ names: [String]) -> Bool { words.contains { names.contains($0) } }
    if has(["loss", "error", "rmse", "mse", "mae", "perplexity", "bits", "nll"]) {
      self = .min
    } else if has([
      "accuracy", "acc", "f1", "auc", "auroc", "precision", "recall", "r2", "score", "spearman", "pearson",
    ]) {
      self = .max
    } else {
      return nil
    }
  }
}

/// Reads a time: `90` or `90s`, `15m`, `2h`, `1d`, `1h30m`, or Lightning's `DD:HH:MM:SS`. Seconds; `nil` for anything else.
func duration(_ text: String) -> Double? {
  let clock = text.split(separator: ":", omittingEmptySubsequences: false).map { Double($0) }
  if clock.count > 1 {
    guard clock.count <= 4, clock.allSatisfy({ ($0 ?? -1) >= 0 }) else { return nil }
    let units: [Double] = [1, 60, 3600, 86_400]
    return zip(clock.reversed(), units).reduce(0) { $0 + ($1.0 ?? 0) * $1.1 }
  }
  var (seconds, digits, isUsed) = (0.0, "", false)
  for letter in text {
    guard let unit: Double = ["s": 1, "m": 60, "h": 3600, "d": 86_400][letter] else {
      digits.append(letter)
      continue
    }
    guard let number = Double(digits), number >= 0 else { return nil }
    (seconds, digits, isUsed) = (seconds + number * unit, "", true)
  }
  if !isUsed { return Double(digits).flatMap { $0 >= 0 && $0.isFinite ? $0 : nil } }
  return digits.isEmpty && seconds.isFinite ? seconds : nil
}
