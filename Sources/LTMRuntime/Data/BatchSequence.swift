import LTMIR
import LTMSupport

/// The order of the rows `0 ..< count` in an epoch: Fisher-Yates, each draw keyed by (seed, epoch, position), so that any
/// epoch's order can be had without those before it.
package func order(seed: UInt64, epoch: Int, count: Int) -> [Int32] {
  let generator = Philox(seed: seed)
  var rows = (0..<Int32(clamping: count)).map { $0 }
  for last in stride(from: rows.count - 1, to: 0, by: -1) {
    let words = generator.words(UInt64(last), UInt64(truncatingIfNeeded: epoch) ^ dataStream)
    let random = UInt64(words[1]) << 32 | UInt64(words[0])
    rows.swapAt(last, Int(random.multipliedFullWidth(by: UInt64(last + 1)).high))
  }
  return rows
}

/// Keeps the shuffling's numbers apart from those that initialise parameters under the same seed.
private let dataStream = stableHash("data order")

/// The training batches of a run, numbered by attempt. An epoch is all rows in its own order, cut into batches; the rows
/// that do not fill the last batch are left out of that epoch, and since the order changes, they are others each time.
package struct BatchSequence: Sendable {
  /// The rows of a batch.
  package let batch: Int
  /// The batches of an epoch.
  package let batchesPerEpoch: Int
  private let rows: Int
  private let seed: UInt64
  private let shuffles: Bool
  /// Whether each row of a batch goes on where that row of the batch before it ended.
  private let followsText: Bool
  /// The sums of the rows' weights up to each, where rows are drawn by weight.
  private let sums: [Double]?
  private var current: (epoch: Int, order: [Int32])?

  /// The batches of `rows` rows; without `shuffles` every epoch has the order of the data.
  ///
  /// - Parameters:
  ///   - weights: how often each row is to be drawn, as against others; then an epoch draws as many as there are rows, each anew.
  ///   - keepsLast: whether the rows that do not fill the last batch are a smaller one.
  ///   - followsText: whether rows follow each other in a text: row by row a batch goes on from the one before it, so that the text is as
  ///     many streams as a batch has rows.
  ///   - limit: how many batches an epoch has at most, by how many there are.
  package init(
    rows: Int, batch: Int, seed: UInt64, shuffles: Bool = true, weights: [Double]? = nil,
    keepsLast: Bool = false, followsText: Bool = false, limit: (Int) -> Int = { $0 }
  ) throws(Diagnostic) {
    guard batch >= 1, batch <= rows else {
      throw Diagnostic(
        .error,
        batch < 1 ? "a batch of \(batch) rows" : "a batch of \(batch) rows, but there are only \(rows) to train on",
        notes: ["choose a batch between 1 and \(rows)"])
    }
    self.batch = batch
    self.rows = rows
    self.seed = seed
    self.shuffles = shuffles
    self.followsText = followsText
    sums = weights.map { weights in
      var sum = 0.0
      return weights.map { weight in
        sum += weight
        return sum
      }
    }
    let all = keepsLast ? (rows + batch - 1) / batch : rows / batch
    batchesPerEpoch = min(max(limit(all), 1), all)
  }

  /// The epoch of an attempt, and the batch in it.
  package func position(of attempt: Int) -> (epoch: Int, index: Int) {
    (max(attempt, 0) / batchesPerEpoch, max(attempt, 0) % batchesPerEpoch)
  }

  /// The rows of the batch of an attempt.
  package mutating func rows(of attempt: Int) -> ArraySlice<Int32> {
    let (epoch, index) = position(of: attempt)
    if current?.epoch != epoch {
      current = (epoch, rows(ofEpoch: epoch))
    }
    return current?.order[index * batch..<min((index + 1) * batch, rows)] ?? []
  }

  /// The rows of a last batch that is smaller than others; 0 where there is none.
  package var lastRows: Int { batchesPerEpoch * batch > rows ? rows - (batchesPerEpoch - 1) * batch : 0 }

  private func rows(ofEpoch epoch: Int) -> [Int32] {
    if followsText {
      let length = rows / batch
      return (0..<length).flatMap { place in (0..<batch).map { Int32(clamping: $0 * length + place) } }
    }
    if let sums { return draws(seed: seed, epoch: epoch, sums) }
    return shuffles ? order(seed: seed, epoch: epoch, count: rows) : (0..<Int32(clamping: rows)).map { $0 }
  }
}

/// As many rows as there are, each drawn by its weight whatever was drawn before.
private func draws(seed: UInt64, epoch: Int, _ sums: [Double]) -> [Int32] {
  let generator = Philox(seed: seed)
  let total = sums.last ?? 0
  return sums.indices.map { place in
    let words = generator.words(UInt64(place), UInt64(truncatingIfNeeded: epoch) ^ weightStream)
    let random = Double(UInt64(words[1]) << 32 | UInt64(words[0])) * 0x1p-64 * total
    var (low, high) = (0, sums.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if sums[middle] > random { high = middle } else { low = middle + 1 }
    }
    return Int32(clamping: low)
  }
}

/// Keeps the numbers that draw rows by weight apart from those that order them.
private let weightStream = stableHash("rows by weight")
