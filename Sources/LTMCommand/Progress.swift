import Foundation

/// A line on standard error that shows how far a long task is, at what rate, and how long it will still take. Where standard error is no
/// terminal, a new line every half minute.
struct Progress {
  private let total: Int
  private let unit: String
  private let start = ContinuousClock.now
  private var shown = ContinuousClock.now
  private let isVisible: Bool
  private var drawn = false

  private let delay: Duration

  /// `total` steps of a thing called `unit`; nothing is shown of what takes less than the delay.
  init(total: Int, unit: String, after delay: Duration = .zero, isVisible: Bool = isatty(STDERR_FILENO) != 0) {
    self.total = total
    self.unit = unit
    self.delay = delay
    self.isVisible = isVisible
  }

  /// Draws the line, at most ten times a second.
  mutating func update(_ done: Int, _ detail: String) {
    guard isVisible else { return append(done, detail) }
    guard start.duration(to: .now) >= delay,
      drawn == false || shown.duration(to: .now) > .milliseconds(100) || done == total
    else { return }
    shown = .now
    drawn = true
    write("\r\u{1B}[K[\(bar(done))] \(state(done, detail))")
  }

  /// A line of its own, at times.
  private mutating func append(_ done: Int, _ detail: String) {
    guard shown.duration(to: .now) >= Self.interval, done < total else { return }
    shown = .now
    write("\(state(done, detail))\n")
  }

  /// Between lines where there is no terminal.
  private static let interval = Duration.seconds(30)

  private func bar(_ done: Int) -> String {
    let width = 24
    let filled = total > 0 ? min(width, done * width / total) : width
    return String(repeating: "=", count: filled) + String(repeating: " ", count: width - filled)
  }

  private func state(_ done: Int, _ detail: String) -> String {
    let elapsed = start.duration(to: .now).seconds
    let rate = elapsed > 0 ? Double(done) / elapsed : 0
    let left = rate > 0 ? Double(total - done) / rate : 0
    return "\(done)/\(total)  \(detail)  \(formatRate(rate)) \(unit)/s  \(clock(left)) left"
  }

  /// Removes the line, so that what follows starts on a clean one.
  mutating func clear() {
    if isVisible, drawn { write("\r\u{1B}[K") }
    drawn = false
  }

  private func write(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }
}

extension Duration {
  /// The duration in seconds.
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

/// How many a second: slow ones with decimals.
func formatRate(_ rate: Double) -> String { format(rate, rate < 10 ? 2 : 0) }

/// A number with so many places, the same in every locale.
func format(_ value: Double, _ places: Int) -> String {
  value.isNaN ? "nan" : String(format: "%.\(places)f", value)
}

/// `1:05`, `2:00:10`.
func clock(_ seconds: Double) -> String {
  let whole = seconds.isFinite ? Int(min(seconds, 359_999).rounded(.up)) : 0
  let (minutes, rest) = whole.quotientAndRemainder(dividingBy: 60)
  let (hours, minute) = minutes.quotientAndRemainder(dividingBy: 60)
  return hours > 0 ? String(format: "%d:%02d:%02d", hours, minute, rest) : String(format: "%d:%02d", minute, rest)
}
