import Foundation
import LTMRuntime
import LTMSupport

/// An event file for TensorBoard: records of TFRecord's framing, each an `Event` message with the step and its scalars.
///
/// The two messages have five fields between them, which are written here byte by byte: a library for them all would be the largest dependency
/// of this package.
final class TensorBoardLog: RunLog {
  var path: String { file.path }
  private let file: AppendedFile

  /// A new file each time: TensorBoard joins those of a folder.
  init(_ folder: String) throws(FileError) {
    let now = Date().timeIntervalSince1970
    let host = ProcessInfo.processInfo.hostName.prefix { $0.isLetter || $0.isNumber || $0 == "-" }
    let name = "events.out.tfevents.\(Int(now)).\(host).\(ProcessInfo.processInfo.processIdentifier)"
    file = try AppendedFile("\(folder)/\(name)", appends: false)
    var event = ProtobufMessage()
    event.double(1, now)
    event.bytes(3, Array("brain.Event:2".utf8))
    try file.write(Self.record(event.bytes))
  }

  func write(_ histograms: [Histogram], attempt: Int) throws(FileError) {
    var summary = ProtobufMessage()
    for histogram in histograms {
      var value = ProtobufMessage()
      value.bytes(1, Array(histogram.name.utf8))
      value.bytes(5, histogram.message.bytes)
      summary.bytes(1, value.bytes)
    }
    try write(summary, attempt)
  }

  func write(_ row: LogRow) throws(FileError) {
    var summary = ProtobufMessage()
    for value in row.values {
      var scalar = ProtobufMessage()
      scalar.bytes(1, Array(value.name.utf8))
      scalar.float(2, Float(value.value))
      summary.bytes(1, scalar.bytes)
    }
    try write(summary, row.attempt)
  }

  private func write(_ summary: ProtobufMessage, _ attempt: Int) throws(FileError) {
    var event = ProtobufMessage()
    event.double(1, Date().timeIntervalSince1970)
    event.integer(2, UInt64(max(attempt, 0)))
    event.bytes(5, summary.bytes)
    try file.write(Self.record(event.bytes))
  }

  /// The length and its checksum, the data and its checksum.
  static func record(_ data: [UInt8]) -> [UInt8] {
    let length = littleEndian(UInt64(data.count))
    return length + littleEndian(maskedChecksum(length)) + data + littleEndian(maskedChecksum(data))
  }

  private static func maskedChecksum(_ bytes: [UInt8]) -> UInt32 {
    let sum = crc32c(bytes)
    return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
  }
}

private func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// Fields of a Protocol Buffers message, as they lie on the wire.
struct ProtobufMessage {
  private(set) var bytes: [UInt8] = []

  mutating func integer(_ field: UInt64, _ value: UInt64) {
    varint(field << 3)
    varint(value)
  }

  mutating func double(_ field: UInt64, _ value: Double) {
    varint(field << 3 | 1)
    bytes += littleEndian(value.bitPattern)
  }

  mutating func doubles(_ field: UInt64, _ values: [Double]) {
    bytes(field, values.flatMap { littleEndian($0.bitPattern) })
  }

  mutating func float(_ field: UInt64, _ value: Float) {
    varint(field << 3 | 5)
    bytes += littleEndian(value.bitPattern)
  }

  mutating func bytes(_ field: UInt64, _ value: [UInt8]) {
    varint(field << 3 | 2)
    varint(UInt64(value.count))
    bytes += value
  }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

private let castagnoli: [UInt32] = (0..<256).map { byte in
  (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
}

/// The checksum of TFRecord, by Castagnoli's polynomial.
func crc32c(_ bytes: [UInt8]) -> UInt32 {
  let table = castagnoli
  return ~bytes.reduce(0xFFFF_FFFF as UInt32) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
}
