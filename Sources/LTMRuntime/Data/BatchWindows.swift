/// The windows of a run, numbered by attempt: so many batches, whose gradients make one update. The last window of an epoch
/// holds what is left of it, so that no epoch's batches are mixed with the next one's.
package struct BatchWindows: Sendable {
  private var batches: BatchSequence
  /// The batches of a whole window.
  package let length: Int
  /// The windows of an epoch.
  package let batchesPerEpoch: Int

  /// Windows of `length` batches each.
  package init(_ batches: BatchSequence, of length: Int) {
    self.batches = batches
    self.length = length
    batchesPerEpoch = (batches.batchesPerEpoch + length - 1) / length
  }

  /// The rows of a batch.
  package var batch: Int { batches.batch }

  /// The epoch of an attempt, and the window in it.
  package func position(of attempt: Int) -> (epoch: Int, index: Int) {
    (max(attempt, 0) / batchesPerEpoch, max(attempt, 0) % batchesPerEpoch)
  }

  /// How many batches the window of an attempt holds.
  package func count(of attempt: Int) -> Int {
    min(length, batches.batchesPerEpoch - position(of: attempt).index * length)
  }

  /// The rows of an attempt, those of one batch after the other. Where the window ends early, its last batch stands in for
  /// those that are missing.
  package mutating func rows(of attempt: Int) -> ArraySlice<Int32> {
    let first = position(of: attempt).epoch * batches.batchesPerEpoch + position(of: attempt).index * length
    if length == 1 { return batches.rows(of: first) }
    let last = count(of: attempt) - 1
    return (0..<length).flatMap { batches.rows(of: first + min($0, last)) }[...]
  }
}
