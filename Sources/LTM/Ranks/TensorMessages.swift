import LTMIR
import LTMMPI
import LTMSupport

// Tensors as bytes between ranks: for each list the number of tensors, and for each tensor its dtype, its shape and its
// elements as they lie in memory.

extension Communicator {
  /// The lists of tensors of all ranks, on every rank.
  func gather(_ lists: [[Tensor]], _ subject: String) throws(LTMError) -> [[[Tensor]]] {
    var writer = MessageWriter()
    writer.add(lists.count)
    for list in lists {
      writer.add(list.count)
      for tensor in list { writer.add(tensor) }
    }
    let (ranks, bytes) = (ranks, writer.bytes)
    let all = try reporting { try ranks.gather(bytes, subject) }
    return try all.enumerated().map { (rank, bytes) throws(LTMError) in
      var reader = MessageReader(bytes: bytes[...])
      guard let lists = reader.lists() else { throw LTMError("rank \(rank) told something that is not understood") }
      return lists
    }
  }
}

private struct MessageWriter {
  private(set) var bytes: [UInt8] = []

  mutating func add(_ number: Int) { withUnsafeBytes(of: Int64(number)) { bytes += $0 } }

  mutating func add(_ tensor: Tensor) {
    add(DType.allCases.firstIndex(of: tensor.dtype) ?? 0)
    add(tensor.shape.count)
    for size in tensor.shape { add(size) }
    tensor.withUnsafeBytes { bytes += $0 }
  }
}

private struct MessageReader {
  var bytes: ArraySlice<UInt8>

  mutating func number() -> Int? {
    guard bytes.count >= 8 else { return nil }
    defer { bytes = bytes.dropFirst(8) }
    return Int(bytes.withUnsafeBytes { $0.loadUnaligned(as: Int64.self) })
  }

  mutating func lists() -> [[Tensor]]? {
    guard let count = number(), (0...bytes.count).contains(count) else { return nil }
    var lists: [[Tensor]] = []
    for _ in 0..<count {
      guard let size = number(), (0...bytes.count).contains(size) else { return nil }
      var list: [Tensor] = []
      for _ in 0..<size {
        guard let tensor = tensor() else { return nil }
        list.append(tensor)
      }
      lists.append(list)
    }
    return lists
  }

  private mutating func tensor() -> Tensor? {
    guard let dtype = number(), DType.allCases.indices.contains(dtype), let rank = number(), (0...64).contains(rank)
    else { return nil }
    var shape: [Int] = []
    for _ in 0..<rank {
      guard let size = number() else { return nil }
      shape.append(size)
    }
    let kind = DType.allCases[dtype]
    guard shape.allSatisfy({ $0 >= 0 }), let count = elementCount(shape), count * kind.byteCount <= bytes.count else {
      return nil
    }
    defer { bytes = bytes.dropFirst(count * kind.byteCount) }
    return Tensor(dtype: kind, shape: shape, bytes: Array(bytes.prefix(count * kind.byteCount)))
  }
}
