import LTMIR

/// The header of an .npy file: a magic, a version, a length, and a Python dictionary with three known keys.
struct NPYHeader {
  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
  /// NumPy itself refuses longer ones.
  private static let lengthLimit = 65_536

  let dtype: DType
  let shape: [Int]
  let isColumnMajor: Bool
  let isBigEndian: Bool
  /// Where the array begins.
  let dataStart: Int
  /// The array's size.
  let byteCount: Int

  init(_ source: ByteSource) throws(FileError) {
    let path = source.path
    let (start, length) = try Self.place(source)
    let text = try source.read(start, length, "the header")
    guard let fields = NPYFields(text) else { throw Self.damaged(path, "it is not the dictionary that NumPy writes") }
    guard let element = Self.element(fields.descriptor) else {
      throw FileError(
        path, "holds elements of NumPy's dtype '\(shown(fields.descriptor))', which is not supported",
        remedy: "convert with .astype to float64, float32, float16, int64, int32, uint8 or bool, and save again")
    }
    (dtype, isBigEndian) = element
    shape = fields.shape
    isColumnMajor = fields.isColumnMajor
    dataStart = start + length
    guard let size = LTMRuntime.byteCount(dtype, shape) else { throw Self.damaged(path, "no array has shape \(shape)") }
    byteCount = size
    let there = source.count - dataStart
    guard size <= there else {
      throw FileError(
        path, "is truncated: \(dtype) \(shape) needs \(size) bytes, and \(there) are there",
        remedy: "copy or download the file again")
    }
    if size < there { throw Self.damaged(path, "\(there - size) bytes follow the array") }
  }

  private static func damaged(_ path: String, _ what: String) -> FileError {
    FileError(path, "has a damaged .npy header: \(what)", remedy: "save it again with numpy.save")
  }

  /// Where the dictionary's text begins, and its length.
  private static func place(_ source: ByteSource) throws(FileError) -> (start: Int, length: Int) {
    let prefix = try source.read(0, min(12, source.count), "the header")
    guard prefix.starts(with: magic), prefix.count >= 10 else {
      throw FileError(
        source.path, "is not an .npy file: it does not begin as numpy.save does", remedy: "save it with numpy.save")
    }
    guard (1...3).contains(prefix[6]) else { throw damaged(source.path, "version \(prefix[6]) is unknown") }
    let size = prefix[6] == 1 ? 2 : 4
    guard let length = prefix.littleEndian(at: 8, size: size), length <= lengthLimit else {
      throw damaged(source.path, "its length is not possible")
    }
    return (8 + size, length)
  }

  private static func element(_ descriptor: String) -> (DType, isBigEndian: Bool)? {
    guard let order = descriptor.first, "<>|=".contains(order) else { return nil }
    let kind = descriptor.dropFirst()
    let match = DType.allCases.first { $0.npyDescriptor.map { $0.dropFirst() == kind } ?? false }
    return match.map { ($0, order == ">") }
  }
}

/// The values of the dictionary.
private struct NPYFields {
  var descriptor = ""
  var isColumnMajor = false
  var shape: [Int] = []
  private var rest: ArraySlice<UInt8>

  /// Parses the text; `nil` when it is not a dictionary with exactly the three keys.
  init?(_ text: [UInt8]) {
    rest = text[...]
    var keys: Set<String> = []
    guard take("{") else { return nil }
    while !take("}") {
      guard let key = string(), keys.insert(key).inserted, take(":") else { return nil }
      guard value(of: key) else { return nil }
      if !take(",") {
        guard take("}") else { return nil }
        break
      }
    }
    skipSpace()
    guard rest.isEmpty, keys.count == 3 else { return nil }
  }

  private mutating func value(of key: String) -> Bool {
    switch key {
    case "descr":
      guard let text = string() else { return false }
      descriptor = text
    case "fortran_order":
      isColumnMajor = take("True")
      return isColumnMajor || take("False")
    case "shape":
      guard let numbers = tuple() else { return false }
      shape = numbers
    case _: return false
    }
    return true
  }

  private mutating func skipSpace() { rest = rest.drop { $0 == 0x20 || $0 == 0x0A || $0 == 0x09 || $0 == 0x0D } }

  private mutating func take(_ text: String) -> Bool {
    skipSpace()
    guard rest.starts(with: text.utf8) else { return false }
    rest = rest.dropFirst(text.utf8.count)
    return true
  }

  private mutating func string() -> String? {
    skipSpace()
    guard let quote = rest.first, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { return nil }
    let content = rest.dropFirst().prefix { $0 != quote && $0 != UInt8(ascii: "\\") }
    rest = rest.dropFirst(1 + content.count)
    guard rest.first == quote else { return nil }
    rest = rest.dropFirst()
    return String(validating: content, as: UTF8.self)
  }

  private mutating func tuple() -> [Int]? {
    guard take("(") else { return nil }
    var numbers: [Int] = []
    while !take(")") {
      skipSpace()
      let digits = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
      guard let number = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
      numbers.append(number)
      rest = rest.dropFirst(digits.count)
      // Python 2 wrote long integers with an L.
      _ = take("L")
      if !take(",") {
        guard take(")") else { return nil }
        break
      }
    }
    return numbers
  }
}
