import LTMPrecision
import LTMRuntime
import LTMSupport

/// How the numbers of a tensor are spread: counts in so many ranges of equal width.
struct Histogram {
  /// `weights/fc1.weight`
  let name: String
  private(set) var least = 0.0
  private(set) var most = 0.0
  private(set) var count = 0
  private(set) var sum = 0.0
  private(set) var squares = 0.0
  /// The upper ends of the ranges.
  private(set) var limits: [Double] = []
  private(set) var counts: [Double] = []

  private static let ranges = 64

  /// Of the numbers that are finite.
  init(_ name: String, _ values: [Double]) {
    self.name = name
    let finite = values.filter(\.isFinite)
    guard let low = finite.min(), let high = finite.max() else { return }
    (least, most, count) = (low, high, finite.count)
    let isOne = low == high
    let width = isOne ? 1 : (high - low) / Double(Self.ranges)
    limits = isOne ? [low] : (1...Self.ranges).map { $0 == Self.ranges ? high : low + Double($0) * width }
    counts = Array(repeating: 0, count: limits.count)
    for value in finite {
      counts[isOne ? 0 : min(Int((value - low) / width), Self.ranges - 1)] += 1
      sum += value
      squares += value * value
    }
  }

  /// TensorFlow's `HistogramProto`.
  var message: ProtobufMessage {
    var message = ProtobufMessage()
    for (field, value) in [(1, least), (2, most), (3, Double(count)), (4, sum), (5, squares)] as [(UInt64, Double)] {
      message.double(field, value)
    }
    message.doubles(6, limits)
    message.doubles(7, counts)
    return message
  }
}

extension TrainingRun {
  /// Whether histograms are due after so many attempts.
  func isHistogramDue(_ attempt: Int) -> Bool { options.histograms.map { attempt % $0 == 0 } ?? false }

  /// Writes how weights, as they are now, and the gradients of the last step are spread.
  mutating func writeHistograms() throws(LTMError) -> [Diagnostic] {
    var histograms: [Histogram] = []
    let weights = Set(model.weightNames)
    for session in sessions {
      let outputs = Set(session.active.program.lowered.outputs.map(\.name))
      for slot in session.slots {
        guard let key = slot.checkpointKey.map({ $0.hasPrefix("current/") ? String($0.dropFirst(8)) : $0 }),
          weights.contains(key), slot.role == .parameter || slot.role == .master
        else { continue }
        histograms.append(Histogram("weights/\(key)", try session.executable.read(slot.name).doubles))
        let gradient = StepProgram.gradient(of: key)
        guard outputs.contains(gradient) else { continue }
        histograms.append(Histogram("gradients/\(key)", try session.active.executable.read(gradient).doubles))
      }
    }
    return logs.write(histograms, attempt: last?.record.attempt ?? 0)
  }
}
