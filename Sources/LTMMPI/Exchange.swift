import Glibc
import LTMIR
import LTMRuntime
import LTMSupport

/// An array of this rank that all ranks make something of together with theirs.
package struct CollectiveArray {
  package let address: UnsafeMutableRawPointer
  package let count: Int
  package let dtype: DType
  package let operation: CollectiveOperation
  /// Where the result lies; where the array does, where all of it is joined.
  let result: UnsafeMutableRawPointer
  let form: Form

  enum Form { case join, scatter, gather }

  /// What all ranks' arrays make together, of which this rank gets its part.
  package init(
    scattering address: UnsafeMutableRawPointer, count: Int, dtype: DType, operation: CollectiveOperation,
    to result: UnsafeMutableRawPointer
  ) {
    (self.address, self.count, self.dtype, self.operation) = (address, count, dtype, operation)
    (self.result, form) = (result, .scatter)
  }

  /// The parts of all ranks, one after the other.
  package init(gathering address: UnsafeMutableRawPointer, count: Int, dtype: DType, to result: UnsafeMutableRawPointer)
  {
    (self.address, self.count, self.dtype, operation) = (address, count, dtype, .first)
    (self.result, form) = (result, .gather)
  }

  /// All of the array, in place.
  package init(_ address: UnsafeMutableRawPointer, count: Int, dtype: DType, operation: CollectiveOperation) {
    (self.address, self.count, self.dtype, self.operation) = (address, count, dtype, operation)
    (result, form) = (address, .join)
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

  /// Makes what ranks make together of arrays, those that are joined first.
  func run(_ arrays: [CollectiveArray]) throws(Diagnostic) {
    try join(arrays.filter { $0.form == .join })
    for array in arrays where array.form == .scatter { try scatter(array) }
    for array in arrays where array.form == .gather { try gather(array) }
  }

  private func join(_ arrays: [CollectiveArray]) throws(Diagnostic) {
    let line = Line(arrays)
    guard transport.count > 1, line.byteCount > 0 else { return }
    let isShort = line.byteCount <= Self.shortBytes
    let own = isShort ? 0..<line.byteCount : line.share(transport.rank, of: transport.count)
    let pieces = line.pieces(own)
    try reserve(own.count * transport.count)
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

  // MARK: Parts

  /// Each rank gets its part of everyone's array and joins those, some of it at a time, so that little waits to be joined.
  private func scatter(_ array: CollectiveArray) throws(Diagnostic) {
    let size = array.dtype.byteCount
    let share = shareOfReplica(array.count, transport.count)
    let most = Self.scatteredBytes / size / Line.alignment * Line.alignment
    for start in stride(from: 0, to: share, by: most) {
      let length = min(most, share - start)
      func part(_ rank: Int) -> Range<Int> {
        let first = min(rank * share + start, array.count)
        return first..<min(rank * share + start + length, array.count)
      }
      let own = part(transport.rank)
      let stride = (length * size + Line.alignment - 1) / Line.alignment * Line.alignment
      try reserve(stride * transport.count)
      for rank in others {
        let theirs = part(rank)
        if !theirs.isEmpty { try send(array, theirs.lowerBound * size, theirs.count * size, to: rank) }
        if !own.isEmpty { try receive(staging.address + rank * stride, own.count * size, from: rank) }
      }
      try settle()
      let values = (0..<transport.count).map { rank in
        UnsafeRawPointer(
          rank == transport.rank ? array.address + own.lowerBound * size : staging.address + rank * stride)
      }
      let target = array.result + start * size
      LTMMPI.join(values, array.operation, array.dtype, count: own.count, into: target)
      memset(target + own.count * size, 0, (length - own.count) * size)
    }
  }

  private func gather(_ array: CollectiveArray) throws(Diagnostic) {
    let bytes = array.byteCount
    for rank in others {
      try send(array, 0, bytes, to: rank)
      try receive(array.result + rank * bytes, bytes, from: rank)
    }
    (array.result + transport.rank * bytes).copyMemory(from: array.address, byteCount: bytes)
    try settle()
  }

  /// Bytes of each rank that wait to be joined, at most.
  private static let scatteredBytes = 4 << 20

  private func reserve(_ bytes: Int) throws(Diagnostic) {
    if staging.byteCount < bytes { staging = try AlignedBuffer(byteCount: bytes) }
  }

  private func send(
    _ array: CollectiveArray, _ offset: Int, _ byteCount: Int, to rank: Int
  ) throws(Diagnostic) {
    try send(array.address + offset, byteCount, to: rank)
  }

  /// Nothing is sent of nothing: no one receives it.
  private func send(_ address: UnsafeRawPointer, _ byteCount: Int, to rank: Int) throws(Diagnostic) {
    bytesSent += byteCount
    for start in stride(from: 0, to: byteCount, by: Self.longestMessage) {
      let bytes = UnsafeRawBufferPointer(
        start: address + start, count: min(Self.longestMessage, byteCount - start))
      try transport.send(bytes, to: rank, messages.add(rank))
    }
  }

  private func receive(_ address: UnsafeMutableRawPointer, _ byteCount: Int, from rank: Int) throws(Diagnostic) {
    for start in stride(from: 0, to: byteCount, by: Self.longestMessage) {
      let bytes = UnsafeMutableRawBufferPointer(
        start: address + start, count: min(Self.longestMessage, byteCount - start))
      try transport.receive(bytes, from: rank, messages.add(rank))
    }
  }

  /// A message's length is an i32.
  private static let longestMessage = 1 << 30

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

  /// The bytes of each rank, on rank 0 alone; nothing on the others.
  func collect(_ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer?) throws(Diagnostic) {
    guard let own = bytes.baseAddress else { return }
    guard transport.rank == 0, let base = target?.baseAddress else {
      try send(own, bytes.count, to: 0)
      return try settle()
    }
    base.copyMemory(from: own, byteCount: bytes.count)
    for rank in others { try receive(base + rank * bytes.count, bytes.count, from: rank) }
    try settle()
  }

  private func gather(fixed bytes: [UInt8], _ size: (Int) -> Int) throws(Diagnostic) -> [[UInt8]] {
    let sizes = (0..<transport.count).map(size)
    let memory = try AlignedBuffer(byteCount: sizes.reduce(0, +))
    var starts = [0]
    for size in sizes { starts.append((starts.last ?? 0) + size) }
    let own = memory.address + starts[transport.rank]
    bytes.withUnsafeBytes { if let base = $0.baseAddress { own.copyMemory(from: base, byteCount: $0.count) } }
    for rank in others {
      try send(own, bytes.count, to: rank)
      try receive(memory.address + starts[rank], sizes[rank], from: rank)
    }
    try settle()
    return withExtendedLifetime(memory) {
      sizes.indices.map { rank in
        [UInt8](UnsafeRawBufferPointer(start: memory.address + starts[rank], count: sizes[rank]))
      }
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
