import LTMIR
import LTMKernels

/// A kernel as a sum by destination.
struct ScatterForm {
  var local: LocalID
  /// The domain's axis that the index names.
  var row: Int
  var over: [Int]
  /// The row of an update.
  var index: ScalarID
  var update: ScalarID

  /// The form of a kernel that sums `select(index == row, update, 0)` and otherwise stores.
  init?(_ kernel: FlatKernel) {
    guard case .reduce(let local, .add, let over, let value)? = kernel.kernel.body.first,
      kernel.kernel.body.dropFirst().allSatisfy({ if case .store = $0 { true } else { false } }),
      case .apply(.select, let parts, _) = kernel.kernel[value], case .constant(0, _) = kernel.kernel[parts[2]],
      case .apply(.equal, let sides, _) = kernel.kernel[parts[0]]
    else { return nil }
    self.local = local
    self.over = over.map(\.index)
    update = parts[1]
    for (side, other) in [(sides[0], sides[1]), (sides[1], sides[0])] {
      // A float may lie between two rows.
      guard !kernel.kernel.dtype(side).isFloating, let row = Self.domainAxis(other, kernel),
        kernel.dependencies[side.index].isSubset(of: self.over), !kernel.dependencies[update.index].contains(row)
      else { continue }
      self.row = row
      index = side
      return
    }
    return nil
  }

  private static func domainAxis(_ id: ScalarID, _ kernel: FlatKernel) -> Int? {
    switch kernel.kernel[id] {
    case .axis(let axis): kernel.domain.contains(axis.index) ? axis.index : nil
    case .convert(let operand, _): domainAxis(operand, kernel)
    case .constant, .load, .local, .scratch, .apply, .round: nil
    }
  }
}

extension Scheduler {
  /// What a task keeps of sums: about a second-level cache's half.
  private static let scatterBytes = 1 << 17
  /// Tasks to share, where there are rows enough.
  private static let scatterTasks = 16

  /// The schedule of a kernel of that form.
  func scatter() -> Schedule? {
    guard let form = ScatterForm(kernel), let place = kernel.domain.firstIndex(of: form.row) else { return nil }
    let columns = kernel.domain[(place + 1)...]
    let register = registerLanes
    let width = columns.last.map(kernel.extent) ?? 1
    let lanes = columns.isEmpty ? 1 : Self.lanes(width, register: register, limit: register * Self.rowUnroll)
    let rowElements = kernel.points(columns.dropLast()) * roundUp(width, lanes)
    let rowBytes = rowElements * kernel.kernel[form.local].dtype.byteCount
    let extent = kernel.extent(form.row)
    guard rowBytes <= Self.scatterBytes * 8 else { return nil }
    // As many levels as all updates of one destination would fill.
    let updates = kernel.points(form.over)
    let isRounded = kernel.kernel[form.local].dtype.isFloating
    let levels = isRounded ? (1...).first { Schedule.Scatter.updates($0) >= updates } ?? 1 : 1
    let shared = (extent + Self.scatterTasks - 1) / Self.scatterTasks
    let rows = max(1, min(shared, Self.scatterBytes / rowBytes))
    let blocks = (extent + rows - 1) / rows
    return Schedule(
      strategy: .scatter(.init(lanes: lanes, rows: rows, rowElements: rowElements, levels: levels)),
      taskCount: kernel.points(kernel.domain[..<place]) * blocks,
      scratchBytes: roundUp(rows * (rowBytes * levels + 8) + 8, 64))
  }
}
