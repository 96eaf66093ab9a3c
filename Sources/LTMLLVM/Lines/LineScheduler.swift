import LTMIR
import LTMKernels

// How lines along an axis run: sums up to each place, and sorting.

extension Schedule {
  package enum Prefix: Hashable, Sendable {
    /// Lines one by one, vectors along them.
    case along(lanes: Int, linesPerTask: Int)
    /// One lane for each line.
    case across(Spread)
  }

  /// Lines one by one. A record is an element's key with its index below it, so that no two are equal.
  package struct Order: Hashable, Sendable {
    /// Records that are compared together.
    package var lanes: Int
    /// Records that a network sorts, a power of two; sorted chunks are merged.
    package var chunk: Int
    /// Where the first few of a long line are wanted: how many records are kept until they are sorted, and how many of them
    /// are wanted.
    package struct Selection: Hashable, Sendable {
      package var capacity: Int
      package var count: Int
    }
    package var selection: Selection?
    /// Whether keys have 64 bits.
    package var isWide: Bool
    package var linesPerTask: Int

    var recordBytes: Int { isWide ? 16 : 8 }
    /// What a selection knows: the last record wanted so far, and how many are kept.
    static let headBytes = 64
    /// Records of a line, filled up to whole vectors.
    func count(_ extent: Int) -> Int { roundUp(extent, lanes) }
    /// Bytes of all records of a line.
    func bytes(_ extent: Int) -> Int { roundUp(count(extent) * recordBytes, 64) }
  }
}

extension Scheduler {
  func lines(_ op: LineOp, over axis: Int, to: Int, _ value: ScalarID) -> Schedule {
    switch op {
    case .prefix: prefix(axis)
    case .order: order(axis, count: kernel.extent(to), value)
    }
  }

  private func linesPerTask(_ axis: Int, cost: Int) -> Int { max(1, taskWork / cost / kernel.extent(axis)) }

  private func taskCount(_ linesPerTask: Int) -> Int {
    (kernel.points(kernel.domain) + linesPerTask - 1) / linesPerTask
  }

  private func prefix(_ axis: Int) -> Schedule {
    if prefersColumns {
      var schedule = spread(isColumns: true)
      if case .columns(let numbers) = schedule.strategy { schedule.strategy = .prefix(.across(numbers)) }
      return schedule
    }
    let perTask = linesPerTask(axis, cost: 1)
    return Schedule(
      strategy: .prefix(.along(lanes: registerLanes, linesPerTask: perTask)), taskCount: taskCount(perTask),
      scratchBytes: 0)
  }

  private func order(_ axis: Int, count: Int, _ value: ScalarID) -> Schedule {
    let dtype = kernel.kernel.dtype(value)
    let isWide = dtype == .i64 || dtype == .f64
    let lanes = isWide ? 1 : profile.vectorBytes / 8
    // A network's work grows with the square of the logarithm, which pays as long as it compares many records at once.
    let chunk = isWide ? 32 : lanes >= 8 ? 4096 : lanes == 4 ? 512 : 64
    let extent = kernel.extent(axis)
    let selection = selection(of: count, extent)
    let perTask = linesPerTask(axis, cost: selection == nil ? 8 : 1)
    let numbers = Schedule.Order(
      lanes: lanes, chunk: chunk, selection: selection, isWide: isWide, linesPerTask: perTask)
    if let selection {
      return Schedule(
        strategy: .order(numbers), taskCount: taskCount(perTask),
        scratchBytes: Schedule.Order.headBytes + roundUp(selection.capacity * numbers.recordBytes, 64))
    }
    return Schedule(
      strategy: .order(numbers), taskCount: taskCount(perTask),
      scratchBytes: numbers.bytes(extent) * (numbers.count(extent) > chunk ? 2 : 1))
  }

  /// Room for some times what is wanted, so that it is sorted rarely; `nil` where sorting all is no more work.
  private func selection(of count: Int, _ extent: Int) -> Schedule.Order.Selection? {
    var capacity = 256
    while capacity < 4 * count { capacity *= 2 }
    return capacity <= 4096 && extent > 2 * capacity ? .init(capacity: capacity, count: count) : nil
  }
}
