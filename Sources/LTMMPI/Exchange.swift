import LTMIR
import LTMRuntime
import LTMSupport

/// An array of this rank that all ranks join theirs with, in place.
package struct CollectiveArray {
  package let address: UnsafeMutableRawPointer
  package let count: Int
  package let dtype: DType
  package let operation: CollectiveOperation

  package init(_ address: UnsafeMutableRawPointer, count: Int, dtype: DType, operation: CollectiveOperation) {
    (self.address, self.count, self.dtype, self.operation) = (address, count, dtype, operation)
  }

  var byteCount: Int { count * dtype.byteCount }
}

/// Arrays as one line of bytes, each at a multiple of 64, which ranks share evenly.
private struct Line {
  static let alignment = 64
  let arrays: [CollectiveArray]
  /// Where each array begins.
  private(set) var starts: [Int] = []
  private(set) var byteCount = 0

  init(_ arrays: [CollectiveArray]) {
    self.arrays = arrays
    for array in arrays {
      starts.append(byteCount)
      byteCount += (array.byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
    }
  }

  /// The part of a rank.
  func share(_ rank: Int, of count: Int) -> Range<Int> {
    let lines = byteCount / Self.alignment
    func bound(_ rank: Int) -> Int { lines * rank / count * Self.alignment }
    return bound(rank)..<bound(rank + 1)
  }

  /// What of which arrays lies in a part: the array, its first byte there, and how many.
  func pieces(_ part: Range<Int>) -> [(array: Int, offset: Int, byteCount: Int)] {
    arrays.indices.compactMap { index in
      let extent = (starts[index]..<starts[index] + arrays[index].byteCount).clamped(to: part)
      return extent.isEmpty ? nil : (index, extent.lowerBound - starts[index], extent.count)
    }
  }
}

/// The sums of arrays over all ranks. Each rank gets the same part of everyone's array, joins those in the order of the ranks
/// and gives the result to all: 16 bits travel as 16 bits, are added in f32, and rounded once. What is short goes to everyone
/// whole, which takes one round trip instead of two.
final class Exchange {
  let transport: any Transport
  let patience: Patience
  /// What others send, while it is joined.
  private var staging: AlignedBuffer
  private var messages = MessageList()
  /// Up to so many bytes are sent to everyone whole.
  private static let shortBytes = 1 << 14
  /// Bytes sent to others so far.
  private(set) var bytesSent = 0

  init(_ transport: any Transport, _ patience: Patience) throws(Diagnostic) {
    (self.transport, self.patience) = (transport, patience)
    staging = try AlignedBuffer(byteCount: 1 << 16)
  }

  deinit { messages.free() }

  private var others: [Int] { (0..<transport.count).filter { $0 != transport.rank } }

  func join(_ arrays: [CollectiveArray]) throws(Diagnostic) {
    let line = Line(arrays)
    guard transport.count > 1, line.byteCount > 0 else { return }
    let isShort = line.byteCount <= Self.shortBytes
    let own = isShort ? 0..<line.byteCount : line.share(transport.rank, of: transport.count)
    let pieces = line.pieces(own)
    if staging.byteCount < own.count * transport.count {
      staging = try AlignedBuffer(byteCount: own.count * transport.count)
    }
    for rank in others {
      let theirs = isShort ? pieces : line.pieces(line.share(rank, of: transport.count))
      for piece in theirs { try send(arrays[piece.array], piece.offset, piece.byteCount, to: rank) }
      for piece in pieces { try receive(staged(line, piece, own, rank), piece.byteCount, from: rank) }
    }
    try settle()
    for piece in pieces { join(line, piece, own) }
    if isShort { return }
    for rank in others {
      for piece in pieces { try send(arrays[piece.array], piece.offset, piece.byteCount, to: rank) }
      for piece in line.pieces(line.share(rank, of: transport.count)) {
        try receive(arrays[piece.array].address + piece.offset, piece.byteCount, from: rank)
      }
    }
    try settle()
  }

  /// Where a piece of another rank waits to be joined.
  private func staged(
    _ line: Line, _ piece: (array: Int, offset: Int, byteCount: Int), _ own: Range<Int>, _ rank: Int
  ) -> UnsafeMutableRawPointer {
    staging.address + rank * own.count + line.starts[piece.array] + piece.offset - own.lowerBound
  }

  private func join(_ line: Line, _ piece: (array: Int, offset: Int, byteCount: Int), _ own: Range<Int>) {
    let array = line.arrays[piece.array]
    let target = array.address + piece.offset
    let values = (0..<transport.count).map { rank in
      rank == transport.rank ? UnsafeRawPointer(target) : UnsafeRawPointer(staged(line, piece, own, rank))
    }
    LTMMPI.join(
      values, array.operation, array.dtype, count: piece.byteCount / array.dtype.byteCount, into: target)
  }

  private func send(
    _ array: CollectiveArray, _ offset: Int, _ byteCount: Int, to rank: Int
  ) throws(Diagnostic) {
    bytesSent += byteCount
    try transport.send(
      UnsafeRawBufferPointer(start: array.address + offset, count: byteCount), to: rank, messages.add(rank))
  }

  private func receive(_ address: UnsafeMutableRawPointer, _ byteCount: Int, from rank: Int) throws(Diagnostic) {
    try transport.receive(
      UnsafeMutableRawBufferPointer(start: address, count: byteCount), from: rank, messages.add(rank))
  }

  /// Waits for every message.
  private func settle() throws(Diagnostic) {
    var wait = patience.begin()
    while let first = messages.firstUndone {
      if try transport.isDone(first) { messages.removeFirst() } else { try wait.pause(for: first.pointee.peer) }
    }
    messages.clear()
  }

  // MARK: Texts

  /// The bytes of each rank, on every rank.
  func gather(_ bytes: [UInt8]) throws(Diagnostic) -> [[UInt8]] {
    let sizes = try gather(fixed: withUnsafeBytes(of: Int64(bytes.count)) { [UInt8]($0) }) { _ in 8 }
      .map { $0.withUnsafeBytes { Int($0.loadUnaligned(as: Int64.self)) } }
    guard let most = sizes.max(), most < 1 << 31, sizes.allSatisfy({ $0 >= 0 }) else {
      throw Diagnostic(
        .error, "rank \(transport.rank): another rank has \(sizes.max() ?? 0) bytes to tell, which is too much")
    }
    return try gather(fixed: bytes) { sizes[$0] }
  }

  private func gather(fixed bytes: [UInt8], _ size: (Int) -> Int) throws(Diagnostic) -> [[UInt8]] {
    let sizes = (0..<transport.count).map(size)
    let memory = try AlignedBuffer(byteCount: sizes.reduce(0, +))
    var starts = [0]
    for size in sizes { starts.append((starts.last ?? 0) + size) }
    let own = memory.address + starts[transport.rank]
    bytes.withUnsafeBytes { if let base = $0.baseAddress { own.copyMemory(from: base, byteCount: $0.count) } }
    for rank in others {
      bytesSent += bytes.count
      try transport.send(UnsafeRawBufferPointer(start: own, count: bytes.count), to: rank, messages.add(rank))
      try receive(memory.address + starts[rank], sizes[rank], from: rank)
    }
    try settle()
    return sizes.indices.map { rank in
      [UInt8](UnsafeRawBufferPointer(start: memory.address + starts[rank], count: sizes[rank]))
    }
  }
}

/// Messages under way, each at an address of its own that does not move.
private struct MessageList {
  private var blocks: [UnsafeMutablePointer<Message>] = []
  private var count = 0
  private var first = 0
  private static let blockSize = 256

  mutating func add(_ peer: Int) -> UnsafeMutablePointer<Message> {
    if count == blocks.count * Self.blockSize { blocks.append(.allocate(capacity: Self.blockSize)) }
    let place = blocks[count / Self.blockSize] + count % Self.blockSize
    place.initialize(to: Message(peer: peer))
    count += 1
    return place
  }

  var firstUndone: UnsafeMutablePointer<Message>? {
    first < count ? blocks[first / Self.blockSize] + first % Self.blockSize : nil
  }

  mutating func removeFirst() { first += 1 }
  mutating func clear() { (count, first) = (0, 0) }
  func free() { for block in blocks { block.deallocate() } }
}
