import LTMSupport

/// The integers that an argument of a graph may hold: each names a class, or a row of a table.
package struct IndexLimit: Sendable, Hashable {
  /// The argument.
  package let input: String
  /// The op that reads it.
  package let op: Op
  /// Valid are 0 up to, not including, this.
  package let count: Int
  /// Where the op was written.
  package let location: Location?

  /// The message for an argument that breaks the limit; `nil` where it holds.
  package func problem(in tensor: Tensor, from origin: String) -> Diagnostic? {
    let values = tensor.doubles
    guard let index = values.firstIndex(where: { $0 < 0 || $0 >= Double(count) }) else { return nil }
    let row = index / max(1, values.count / max(1, tensor.shape.first ?? 1))
    var result = Diagnostic(
      .error,
      "\(origin): '\(input)' holds \(Int(values[index])) in row \(row), and '\(op.name)' has \(count) \(op.indexedThings)",
      notes: ["valid are 0 to \(count - 1)"])
    result.location = location
    return result
  }
}

extension Graph {
  /// The limits of arguments that ops read as indices, straight or through ops that only move elements. Dimensions must be
  /// bound.
  package var indexLimits: [IndexLimit] {
    indexReads.compactMap { read in
      argument(behind: read.indices).map {
        IndexLimit(input: $0, op: read.op, count: read.count, location: read.location)
      }
    }
  }
}
