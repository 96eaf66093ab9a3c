import LTMIR
import LTMMPI
import LTMPrecision
import LTMRuntime
import LTMSupport

/// Values of which each rank holds a part.
extension TrainingSession {
  /// What this rank holds of a whole value: all of it, or its part with zeros behind the last element.
  func held(_ whole: Tensor, _ slot: StateSlot) -> Tensor {
    guard let shard = slot.shard, whole.shape == shard.shape, let length = slot.type.staticShape?.first else {
      return whole
    }
    let size = whole.dtype.byteCount
    let first = min(shard.rank * length, whole.count)
    let count = min(length, whole.count - first)
    var bytes = whole.withUnsafeBytes { Array($0[first * size..<(first + count) * size]) }
    bytes += [UInt8](repeating: 0, count: (length - count) * size)
    return Tensor(dtype: whole.dtype, shape: [length], bytes: bytes) ?? whole
  }

  /// The whole value, of which each rank has a part. Every rank asks for it.
  func whole(_ slot: StateSlot) throws(LTMError) -> Tensor {
    let own = try executable.read(slot.name)
    guard let shard = slot.shard, let communicator else { return own }
    let all = try communicator.gather([[own]], "the parts of '\(slot.name)'")
    let bytes = all.flatMap { $0.first?.first?.bytes ?? [] }
    let count = elementCount(shard.shape) ?? 0
    let whole = Tensor(
      dtype: own.dtype, shape: shard.shape, bytes: Array(bytes.prefix(count * own.dtype.byteCount)))
    guard let whole else { throw LTMError("the parts of '\(slot.name)' do not make it whole") }
    return whole
  }

  /// Gives rank 0 the bytes of a whole value; the others send theirs.
  func withCollectedBytes(of slot: StateSlot, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    guard let shard = slot.shard, let communicator else { return }
    let count = (elementCount(shard.shape) ?? 0) * slot.type.dtype.byteCount
    let subject = "saving '\(slot.name)'"
    guard communicator.isFirst else {
      return try executable.withBytes(of: slot.name) { try communicator.ranks.collect($0, into: nil, subject) }
    }
    let held = (elementCount(slot.type.staticShape ?? []) ?? 0) * slot.type.dtype.byteCount
    let memory = try AlignedBuffer(byteCount: held * shard.count)
    try executable.withBytes(of: slot.name) { try communicator.ranks.collect($0, into: memory.bytes, subject) }
    try withExtendedLifetime(memory) { try body(UnsafeRawBufferPointer(rebasing: memory.bytes[..<count])) }
  }
}
