/// Why bytes are not a deflate stream.
struct InflateError: Error {
  let message: String
}

/// Unpacks a deflate stream (RFC 1951) of exactly `size` bytes.
func inflate(_ bytes: [UInt8], size: Int) throws(InflateError) -> [UInt8] {
  var inflater = Inflater(bytes, size: size)
  return try inflater.run()
}

/// The codes of a Huffman alphabet, as a table over the next `width` bits: symbol * 16 + length of its code.
private struct HuffmanTable {
  let width: Int
  private let entries: [UInt16]

  /// The table for the lengths of the codes, 0 for a symbol that does not occur. A set of codes that leaves bits unused
  /// is accepted (its gaps are errors when met); one that uses them twice is not.
  init(_ lengths: ArraySlice<UInt8>) throws(InflateError) {
    var counts = [Int](repeating: 0, count: 16)
    for length in lengths { counts[Int(length)] += 1 }
    counts[0] = 0
    width = counts.lastIndex { $0 > 0 } ?? 0
    var starts = [Int](repeating: 0, count: 16)
    var code = 0
    for length in 1..<16 {
      code = (code + counts[length - 1]) << 1
      starts[length] = code
      if code + counts[length] > 1 << length { throw InflateError(message: "its codes overlap") }
    }
    var entries = [UInt16](repeating: 0, count: 1 << width)
    for (symbol, length) in lengths.enumerated() where length > 0 {
      // Codes are stored from their most significant bit, everything else from the least.
      let reversed = Self.reversed(starts[Int(length)], Int(length))
      starts[Int(length)] += 1
      for index in stride(from: reversed, to: 1 << width, by: 1 << Int(length)) {
        entries[index] = UInt16(symbol << 4) | UInt16(length)
      }
    }
    self.entries = entries
  }

  subscript(bits: Int) -> (symbol: Int, length: Int) {
    let entry = entries[bits & ((1 << width) - 1)]
    return (Int(entry >> 4), Int(entry & 15))
  }

  private static func reversed(_ code: Int, _ length: Int) -> Int {
    (0..<length).reduce(0) { $0 << 1 | (code >> $1) & 1 }
  }
}

private struct Inflater {
  private let input: [UInt8]
  private var position = 0
  private var bits = 0
  private var bitCount = 0
  private let size: Int
  private var output: [UInt8] = []

  init(_ input: [UInt8], size: Int) {
    self.input = input
    self.size = size
    output.reserveCapacity(size)
  }

  mutating func run() throws(InflateError) -> [UInt8] {
    var isLast = false
    while !isLast {
      isLast = try take(1) == 1
      switch try take(2) {
      case 0: try storedBlock()
      case 1: try block(HuffmanTable(fixedLengths[...]), HuffmanTable([UInt8](repeating: 5, count: 30)[...]))
      case 2: try dynamicBlock()
      case _: throw InflateError(message: "a block of an unknown kind")
      }
    }
    if output.count != size { throw InflateError(message: "it has \(output.count) bytes, not \(size)") }
    return output
  }

  /// Reads bytes until `count` bits are there, as far as there are any.
  private mutating func fill(_ count: Int) {
    while bitCount < count, position < input.count {
      bits |= Int(input[position]) << bitCount
      position += 1
      bitCount += 8
    }
  }

  private mutating func take(_ count: Int) throws(InflateError) -> Int {
    fill(count)
    guard bitCount >= count else { throw InflateError(message: "it ends too early") }
    let value = bits & ((1 << count) - 1)
    bits >>= count
    bitCount -= count
    return value
  }

  private mutating func symbol(_ table: HuffmanTable) throws(InflateError) -> Int {
    fill(table.width)
    let (symbol, length) = table[bits]
    guard length > 0 else { throw InflateError(message: "a code without meaning") }
    _ = try take(length)
    return symbol
  }

  private mutating func storedBlock() throws(InflateError) {
    _ = try take(bitCount % 8)
    let length = try take(16)
    guard try take(16) == ~length & 0xFFFF else { throw InflateError(message: "a stored block of unclear length") }
    for _ in 0..<length { try append(UInt8(try take(8))) }
  }

  private mutating func append(_ byte: UInt8) throws(InflateError) {
    guard output.count < size else { throw InflateError(message: "it has more than \(size) bytes") }
    output.append(byte)
  }

  private mutating func dynamicBlock() throws(InflateError) {
    let (literals, distances, lengths) = (try take(5) + 257, try take(5) + 1, try take(4) + 4)
    var codeLengths = [UInt8](repeating: 0, count: 19)
    for index in codeOrder.prefix(lengths) { codeLengths[index] = UInt8(try take(3)) }
    let table = try HuffmanTable(codeLengths[...])
    var all: [UInt8] = []
    while all.count < literals + distances {
      switch try symbol(table) {
      case let length where length < 16: all.append(UInt8(length))
      case 16:
        guard let last = all.last else { throw InflateError(message: "a length repeats nothing") }
        all += [UInt8](repeating: last, count: try take(2) + 3)
      case 17: all += [UInt8](repeating: 0, count: try take(3) + 3)
      case _: all += [UInt8](repeating: 0, count: try take(7) + 11)
      }
    }
    guard all.count == literals + distances else { throw InflateError(message: "too many code lengths") }
    try block(HuffmanTable(all[..<literals]), HuffmanTable(all[literals...]))
  }

  private mutating func block(_ literals: HuffmanTable, _ distances: HuffmanTable) throws(InflateError) {
    while case let symbol = try symbol(literals), symbol != 256 {
      if symbol < 256 {
        try append(UInt8(symbol))
        continue
      }
      guard symbol - 257 < lengthBase.count else { throw InflateError(message: "a length without meaning") }
      let length = lengthBase[symbol - 257] + (try take(lengthBits[symbol - 257]))
      let code = try self.symbol(distances)
      guard code < distanceBase.count else { throw InflateError(message: "a distance without meaning") }
      let distance = distanceBase[code] + (try take(distanceBits[code]))
      guard distance <= output.count else { throw InflateError(message: "a copy from before the start") }
      for _ in 0..<length { try append(output[output.count - distance]) }
    }
  }
}

private let fixedLengths: [UInt8] =
  [UInt8](repeating: 8, count: 144) + [UInt8](repeating: 9, count: 112) + [UInt8](repeating: 7, count: 24)
  + [UInt8](repeating: 8, count: 8)
private let codeOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
private let lengthBits = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
private let lengthBase = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
]
private let distanceBits = (0..<30).map { max(0, $0 / 2 - 1) }
private let distanceBase = distanceBits.indices.map { code in
  code < 4 ? code + 1 : 1 + (2 + code % 2) << distanceBits[code]
}
