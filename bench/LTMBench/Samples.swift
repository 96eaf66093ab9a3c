import Foundation
import LTMRuntime

/// Seconds since it was made.
struct Stopwatch {
  private let start = ResourceUsage.monotonicSeconds
  var seconds: Double { ResourceUsage.monotonicSeconds - start }
}

/// The times of one workload, taken by the rules that the peers' scripts follow.
struct Samples {
  private(set) var times: [Double] = []
  /// Operations a second that the processor could do around each call, where they were asked for.
  private(set) var peaks: [Double] = []
  /// Cores that other processes kept busy meanwhile; above 0.15 the numbers mean little.
  private(set) var foreignLoad = 0.0

  var least: Double { times.min() ?? .nan }
  var median: Double { Self.median(times) }

  /// The share of what the processor could do at that moment that calls of so many operations reached, the median of all.
  /// Its clock rises and falls by a quarter with its neighbours' load: a peak that was measured at another moment says little.
  func peakShare(flops: Double) -> Double? {
    peaks.isEmpty ? nil : Self.median(zip(times, peaks).map { flops / $0 / $1 })
  }

  private static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return .nan }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  /// Three calls to warm up, then at least nine, and more while 0.6 s have not passed; before and after each, `peak`.
  mutating func measure(peak: (() -> Double)? = nil, _ call: () throws -> Void) throws {
    for _ in 0..<3 { try call() }
    var last = peak?()
    let before = Self.processorSeconds()
    let clock = Stopwatch()
    while times.count < 9 || (clock.seconds < 0.6 && times.count < 400) {
      let one = Stopwatch()
      try call()
      times.append(one.seconds)
      if let peak, let held = last {
        let next = peak()
        peaks.append(max(held, next))
        last = next
      }
      if clock.seconds > 5, times.count >= 7 { break }
    }
    let after = Self.processorSeconds()
    foreignLoad = max(0, (after.all - before.all - (after.own - before.own)) / clock.seconds)
  }

  /// Busy seconds of all cores, and of this process.
  private static func processorSeconds() -> (all: Double, own: Double) {
    let text = (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? ""
    let fields = text.prefix { $0 != "\n" }.split(separator: " ").dropFirst().prefix(8).compactMap { Double($0) }
    guard fields.count == 8 else { return (0, 0) }
    let busy = fields.reduce(0, +) - fields[3] - fields[4]
    return (busy / Double(sysconf(Int32(_SC_CLK_TCK))), ResourceUsage.processorSeconds)
  }
}
