import LTMIR
import LTMKernels

/// Halves of a row that several statements read: the first widens them and keeps them in scratch memory for the others.
struct RowCache {
  /// An expression, and where its row lies, in bytes from the cache's beginning.
  typealias Entry = (id: ScalarID, offset: Int)
  /// What each statement, by its place in the body, keeps.
  private(set) var kept: [Int: [Entry]] = [:]
  /// What each statement finds there. Statements over the same axis share expressions: the first one computes them.
  private(set) var found: [Int: [Entry]] = [:]
  private(set) var bytes = 0

  /// A longer row would not stay near between two statements.
  private static let longestRow = 1 << 14

  /// What lies along an inner axis, whichever axis of the kernel that is.
  private struct Key: Hashable {
    let access: FlatAccess
    let extent: Int
  }

  init(_ kernel: FlatKernel, lanes: Int) {
    var first: [Key: (place: Int, id: ScalarID)] = [:]
    var offsets: [Key: Int] = [:]
    for (place, statement) in kernel.kernel.body.enumerated() {
      guard statement.innerAxes.count == 1, let axis = statement.innerAxes.first?.index else { continue }
      for id in kernel.closure(of: statement.roots).map(ScalarID.init) {
        guard let key = Self.key(id, along: axis, kernel) else { continue }
        guard let source = first[key] else {
          first[key] = (place, id)
          continue
        }
        if source.place == place { continue }
        let offset = offsets[key] ?? bytes
        if offsets.updateValue(offset, forKey: key) == nil {
          kept[source.place, default: []].append((source.id, offset))
          bytes += roundUp(roundUp(key.extent, lanes) * 4, 64)
        }
        found[place, default: []].append((id, offset))
      }
    }
  }

  private static func key(_ id: ScalarID, along axis: Int, _ kernel: FlatKernel) -> Key? {
    guard var access = kernel.loads[id.index], kernel.kernel[access.buffer].dtype.isHalf,
      !kernel.kernel[access.buffer].access.writes, access.form.strides[axis] == 1, access.guards.isEmpty,
      access.dynamic.isEmpty, kernel.extent(axis) <= longestRow
    else { return nil }
    access.form.strides[axis] = 0
    return Key(access: access, extent: kernel.extent(axis))
  }
}
