import Glibc

/// How numbers lie along a side of a panel.
struct Axis {
  let low: Double
  let high: Double
  /// Whether equal factors are equally far apart.
  let isLogarithmic: Bool

  /// For values of which a part is shown: outliers among many are left out.
  init(_ values: [Double], mayBeLogarithmic: Bool) {
    let sorted = values.sorted()
    let (first, last) = (sorted.first ?? 0, sorted.last ?? 1)
    isLogarithmic = mayBeLogarithmic && first > 0 && last / first > 30
    if isLogarithmic {
      (low, high) = (first, last)
    } else {
      let margin = last > first ? (last - first) * 0.04 : max(abs(last) * 0.1, 0.5)
      (low, high) = (first >= 0 ? max(first - margin, 0) : first - margin, last + margin)
    }
  }

  /// From 0 to 1.
  func place(_ value: Double) -> Double {
    if isLogarithmic { return (log(value) - log(low)) / max(log(high) - log(low), 1e-12) }
    return (value - low) / max(high - low, 1e-300)
  }

  /// Round numbers along it.
  var ticks: [Double] {
    if isLogarithmic { return logarithmicTicks }
    let rough = (high - low) / 5
    let power = pow(10, floor(log10(max(rough, 1e-300))))
    let step = [1, 2, 2.5, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
    let first = ceil(low / step)
    return (0..<12).map { (first + Double($0)) * step }.filter { $0 <= high * (1 + 1e-12) }
  }

  private var logarithmicTicks: [Double] {
    let powers = Int(floor(log10(low)))...Int(ceil(log10(high)))
    let factors: [Double] = powers.count > 4 ? [1] : powers.count > 2 ? [1, 3] : [1, 2, 5]
    let all = powers.flatMap { power in factors.map { $0 * pow(10, Double(power)) } }.filter { $0 >= low && $0 <= high }
    let every = max(1, (all.count + 6) / 7)
    return all.enumerated().filter { $0.offset % every == 0 }.map(\.element)
  }

  /// A number as a label has it.
  static func label(_ value: Double) -> String {
    let magnitude = abs(value)
    if magnitude == 0 { return "0" }
    if magnitude >= 1e5 || magnitude < 1e-3 {
      let power = Int(floor(log10(magnitude) + 1e-9))
      let digits = value / pow(10, Double(power))
      let text = trimmed(fixed(digits, 1))
      return text == "1" ? "1e\(power)" : "\(text)e\(power)"
    }
    return trimmed(fixed(value, magnitude >= 100 ? 1 : magnitude >= 1 ? 2 : 4))
  }

  private static func trimmed(_ text: String) -> String {
    guard text.contains(".") else { return text }
    let rest = text.reversed().drop { $0 == "0" }
    return String((rest.first == "." ? rest.dropFirst() : rest).reversed())
  }
}
