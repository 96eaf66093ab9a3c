internal import CLLVM

// Squares of lanes.
extension IRBuilder {
  /// An integer of so many bytes.
  func word(bytes: Int) -> LLVMTypeRef { [1: i8, 2: i16, 4: i32][bytes] ?? i64 }

  /// Rows become columns: first inside blocks of 16 bytes, by the interleavings that processors have, then by exchanging
  /// blocks of doubling size. As many rows as lanes, a power of two.
  func transpose(_ rows: [LLVMValueRef], elementBytes: Int) -> [LLVMValueRef] {
    let lanes = rows.count
    let unit = min(max(16 / elementBytes, 1), lanes)
    var rows = stride(from: 0, to: lanes, by: unit).flatMap { interleave(rows[$0..<$0 + unit], blocks: unit) }
    var size = unit
    while size < lanes {
      for i in 0..<lanes where i & size == 0 {
        let (a, b) = (rows[i], rows[i | size])
        rows[i] = shuffle(a, b, (0..<lanes).map { $0 & size == 0 ? $0 : lanes + $0 - size })
        rows[i | size] = shuffle(a, b, (0..<lanes).map { $0 & size == 0 ? $0 + size : lanes + $0 })
      }
      size *= 2
    }
    return rows
  }

  /// Transposes each block of so many lanes; as many rows, or a part of them, whose elements then stand together.
  func interleave(_ rows: ArraySlice<LLVMValueRef>, blocks size: Int) -> [LLVMValueRef] {
    if rows.count == 1 { return Array(rows) }
    let half = rows.count / 2
    let (low, high) = (
      interleave(rows.prefix(half), blocks: size), interleave(rows.suffix(half), blocks: size)
    )
    return zip(low, high).flatMap { zipped($0, $1, unit: half, of: size) }
  }

  /// In each block of `size` lanes, pieces of `unit` lanes of both in turn: of its lower half, and of its upper.
  private func zipped(_ a: LLVMValueRef, _ b: LLVMValueRef, unit: Int, of size: Int) -> [LLVMValueRef] {
    let lanes = lanes(of: LLVMTypeOf(a))
    return [0, size / 2].map { half in
      shuffle(
        a, b,
        (0..<lanes).map { lane in
          let (block, place) = (lane / size * size, lane % size)
          let piece = place / (2 * unit)
          let source = block + half + piece * unit + place % unit
          return place / unit % 2 == 0 ? source : lanes + source
        })
    }
  }
}
