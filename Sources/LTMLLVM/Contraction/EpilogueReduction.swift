import LTMIR
import LTMKernels

/// An epilogue reduction of a tiled contraction's result. Each tile combines its own part, at its own place in the workspace; the task of
/// the last phase combines these parts in the order of the tiles.
struct EpilogueReduction {
  /// What a tile's part has numbers for: a vector for each of its panels of columns, which add up to the whole tile's, or
  /// each of its rows or columns.
  enum Kept { case tile, rows, columns }
  let value: ScalarID
  let combiner: Combiner
  let dtype: DType
  let access: FlatAccess
  let kept: Kept
  /// Elements from one tile's part to the next's, whole cache lines.
  let stride: Int
  /// Where the parts begin in the workspace, and how much they take.
  let offset: Int
  let bytes: Int

  /// Bools are all bits of an i32 or none, which vectors compare to and keep best.
  var elementBytes: Int { dtype == .bool ? 4 : dtype.byteCount }

  /// Whether tiles can make all epilogue reductions of a kernel: those of everything, and of all but the rows or the columns.
  static func areTileable(_ kernel: FlatKernel, _ tiles: Schedule.Tiles) -> Bool {
    kernel.kernel.body.allSatisfy { statement in
      guard case .epilogue(_, _, let over) = statement else { return true }
      return kept(kernel, tiles, over) != nil
    }
  }

  private static func kept(_ kernel: FlatKernel, _ tiles: Schedule.Tiles, _ over: [AxisID]) -> Kept? {
    switch kernel.domain.filter({ !over.contains(AxisID($0)) }) {
    case []: .tile
    case [tiles.rowAxis] where tiles.outerRows.isEmpty: .rows
    case [tiles.columnAxis]: .columns
    default: nil
    }
  }

  static func all(_ kernel: FlatKernel, _ layout: ContractionLayout) -> [EpilogueReduction] {
    var epilogueReductions: [EpilogueReduction] = []
    var offset = layout.packedBytes
    for (statement, access) in zip(kernel.kernel.body, kernel.epilogueReductions) {
      guard case .epilogue(let store, let combiner, let over) = statement, let access,
        let kept = kept(kernel, layout.tiles, over)
      else { continue }
      let reduction = EpilogueReduction(
        value: store.value, combiner: combiner, dtype: kernel.kernel.dtype(store.value), access: access, kept: kept,
        layout, at: offset)
      epilogueReductions.append(reduction)
      offset += reduction.bytes
    }
    return epilogueReductions
  }

  private init(
    value: ScalarID, combiner: Combiner, dtype: DType, access: FlatAccess, kept: Kept, _ layout: ContractionLayout,
    at offset: Int
  ) {
    (self.value, self.combiner, self.dtype, self.access, self.kept) = (value, combiner, dtype, access, kept)
    let count =
      switch kept {
      case .tile: layout.tiles.lanes * (layout.tiles.nc / layout.tiles.columns)
      case .rows: layout.tiles.mc
      case .columns: layout.tiles.nc
      }
    stride = roundUp(count, 16)
    self.offset = offset
    bytes = roundUp(layout.tileTasks * stride * (dtype == .bool ? 4 : dtype.byteCount), 64)
  }
}
