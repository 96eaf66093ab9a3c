/// The members of a zip archive, stored or deflated.
struct ZipArchive: Sendable {
  /// What the directory says of a member.
  struct Member: Sendable {
    let name: String
    let isDeflated: Bool
    let checksum: UInt32
    let packedSize: Int
    let size: Int
    /// Where its local header is.
    let offset: Int
  }

  let members: [Member]
  private let source: ByteSource

  /// What messages call the archive.
  var path: String { source.path }

  /// Reads the directory of an archive; `remedy` is what to do about one of another kind.
  init(_ source: ByteSource, remedy: String) throws(FileError) {
    self.source = source
    let (count, size, offset) = try Self.endRecord(source, remedy)
    let directory = try source.read(offset, size, "the directory of the archive")
    var members: [Member] = []
    var names: Set<String> = []
    var position = 0
    for _ in 0..<count {
      let (member, length) = try Self.member(directory, position, source.path, remedy)
      guard names.insert(member.name).inserted else {
        throw FileError(source.path, "holds '\(shown(member.name))' twice", remedy: remedy)
      }
      members.append(member)
      position += length
    }
    self.members = members
  }

  /// The bytes of a member, unpacked and checked.
  func content(of member: Member) throws(FileError) -> [UInt8] {
    let name = shown(member.name)
    let header = try source.read(member.offset, 30, "the header of '\(name)'")
    guard header.starts(with: [0x50, 0x4B, 3, 4]), let nameLength = header.littleEndian(at: 26, size: 2),
      let extraLength = header.littleEndian(at: 28, size: 2)
    else { throw Self.damaged(source.path, "'\(name)' is not where the directory says") }
    let start = member.offset + 30 + nameLength + extraLength
    let packed = try source.read(start, member.packedSize, "'\(name)'")
    var content = packed
    if member.isDeflated {
      do throws(InflateError) { content = try inflate(packed, size: member.size) } catch {
        throw Self.damaged(source.path, "'\(name)' cannot be unpacked: \(error.message)")
      }
    }
    guard content.count == member.size, crc32(content) == member.checksum else {
      throw Self.damaged(source.path, "'\(name)' does not match its checksum")
    }
    return content
  }

  private static func damaged(_ path: String, _ what: String) -> FileError {
    FileError(path, "is a damaged archive: \(what)", remedy: "copy or download the file again")
  }

  /// Finds the record at the archive's end: the number of members, and the directory's size and place.
  private static func endRecord(
    _ source: ByteSource, _ remedy: String
  ) throws(FileError) -> (count: Int, size: Int, offset: Int) {
    let length = min(source.count, 22 + 65_535)
    let tail = try source.read(source.count - length, length, "the end of the archive")
    let mark: [UInt8] = [0x50, 0x4B, 5, 6]
    let starts = stride(from: tail.count - 22, through: 0, by: -1)
    guard let start = starts.first(where: { tail[$0...].starts(with: mark) }),
      let count = tail.littleEndian(at: start + 10, size: 2), let size = tail.littleEndian(at: start + 12, size: 4),
      let offset = tail.littleEndian(at: start + 16, size: 4)
    else {
      throw FileError(source.path, "is not a zip archive, or is truncated", remedy: remedy)
    }
    if count == 0xFFFF || size == 0xFFFF_FFFF || offset == 0xFFFF_FFFF {
      return try longEndRecord(source, before: source.count - length + start)
    }
    return (count, size, offset)
  }

  /// The same of an archive of more than 4 GB or 65,535 members: a record of wider fields, found by a locator before the
  /// short one.
  private static func longEndRecord(
    _ source: ByteSource, before end: Int
  ) throws(FileError) -> (count: Int, size: Int, offset: Int) {
    let locator = try source.read(end - 20, 20, "the end of the archive")
    guard locator.starts(with: [0x50, 0x4B, 6, 7]), let place = locator.littleEndian(at: 8, size: 8) else {
      throw damaged(source.path, "it has no record of its 64-bit directory")
    }
    let record = try source.read(place, 56, "the end of the archive")
    guard record.starts(with: [0x50, 0x4B, 6, 6]), let count = record.littleEndian(at: 32, size: 8),
      let size = record.littleEndian(at: 40, size: 8), let offset = record.littleEndian(at: 48, size: 8),
      count <= size / 46
    else { throw damaged(source.path, "the record of its 64-bit directory is not one") }
    return (count, size, offset)
  }

  /// The entry of the directory at `position`, and its length.
  private static func member(
    _ directory: [UInt8], _ position: Int, _ path: String, _ remedy: String
  ) throws(FileError) -> (Member, length: Int) {
    func field(_ offset: Int, _ size: Int) throws(FileError) -> Int {
      guard let value = directory.littleEndian(at: position + offset, size: size) else {
        throw damaged(path, "its directory is cut off")
      }
      return value
    }
    guard directory[min(position, directory.count)...].starts(with: [0x50, 0x4B, 1, 2]) else {
      throw damaged(path, "its directory is not one")
    }
    let nameLength = try field(28, 2)
    let length = try 46 + nameLength + field(30, 2) + field(32, 2)
    guard length <= directory.count - position,
      let name = String(validating: directory[(position + 46)..<(position + 46 + nameLength)], as: UTF8.self)
    else { throw damaged(path, "its directory has a name that cannot be read") }
    let (flags, method) = (try field(8, 2), try field(10, 2))
    guard flags & 1 == 0, method == 0 || method == 8 else {
      throw FileError(
        path, "holds '\(shown(name))' encrypted, or packed in a way that is not supported", remedy: remedy)
    }
    let extra = position + 46 + nameLength..<position + length - (try field(32, 2))
    let (size, packedSize, offset) = try longFields(
      [try field(24, 4), try field(20, 4), try field(42, 4)], directory[extra], path)
    // Deflate never packs more than 1032 bytes into one: a larger promise is a trap.
    guard packedSize < 1 << 50, size <= packedSize * 1032 + 1032 else {
      throw damaged(path, "'\(shown(name))' promises more bytes than it can hold")
    }
    let member = Member(
      name: name, isDeflated: method == 8, checksum: UInt32(try field(16, 4)), packedSize: packedSize, size: size,
      offset: offset)
    return (member, length)
  }

  /// Size, packed size and place: those that do not fit in 32 bits stand in the extra field of kind 1, in this order.
  private static func longFields(
    _ short: [Int], _ extra: ArraySlice<UInt8>, _ path: String
  ) throws(FileError) -> (size: Int, packedSize: Int, offset: Int) {
    var fields = short
    let wide = fields.indices.filter { fields[$0] == 0xFFFF_FFFF }
    if wide.isEmpty { return (fields[0], fields[1], fields[2]) }
    let bytes = Array(extra)
    var position = 0
    while let kind = bytes.littleEndian(at: position, size: 2), let size = bytes.littleEndian(at: position + 2, size: 2)
    {
      if kind == 1 {
        for (number, index) in wide.enumerated() {
          guard number * 8 + 8 <= size, let value = bytes.littleEndian(at: position + 4 + number * 8, size: 8) else {
            throw damaged(path, "a member's 64-bit sizes are cut off")
          }
          fields[index] = value
        }
        return (fields[0], fields[1], fields[2])
      }
      position += 4 + size
    }
    throw damaged(path, "a member's 64-bit sizes are missing")
  }
}

private let crcTable: [UInt32] = (0..<256).map { byte in
  (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
}

/// The checksum that zip uses.
func crc32(_ bytes: [UInt8]) -> UInt32 {
  let table = crcTable
  return ~bytes.reduce(0xFFFF_FFFF as UInt32) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
}
