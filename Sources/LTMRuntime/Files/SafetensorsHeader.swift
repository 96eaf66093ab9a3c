import LTMIR
import LTMSupport

/// A safetensors header, checked.
struct SafetensorsHeader {
  /// A tensor and where its bytes lie, counted from the end of the header.
  struct Region {
    let entry: TensorEntry
    let begin: Int
    let end: Int
  }

  private(set) var tensors: [Region] = []
  private(set) var metadata: [String: String] = [:]
  /// Where the tensors' bytes begin.
  let dataStart: Int
  private let path: String

  /// The longest header that the format allows.
  private static let lengthLimit = 100_000_000

  init(_ source: ByteSource) throws(FileError) {
    path = source.path
    let prefix = source.count >= 8 ? try source.read(0, 8, "the header's length") : []
    guard let length = prefix.littleEndian(at: 0, size: 8), length <= Self.lengthLimit, length <= source.count - 8
    else {
      throw FileError(
        source.path, "is not a safetensors file, or is truncated: it does not begin with the length of a header",
        remedy: "copy or download the file again")
    }
    dataStart = 8 + length
    let text = try source.read(8, length, "the header")
    let json: JSON
    do throws(JSONError) { json = try JSON(parsing: text) } catch {
      throw damaged("\(shown(error.message)) at byte \(error.offset + 8)")
    }
    try read(json)
    try checkCoverage(of: source.count - dataStart)
  }

  private func damaged(_ what: String) -> FileError {
    FileError(path, "has a damaged header: \(what)", remedy: "copy, download or save the file again")
  }

  private mutating func read(_ json: JSON) throws(FileError) {
    guard let members = json.members else { throw damaged("it is not a JSON object") }
    for member in members {
      if member.key == "__metadata__" {
        try readMetadata(member.value)
      } else {
        tensors.append(try region(member.key, member.value))
      }
    }
  }

  private mutating func readMetadata(_ json: JSON) throws(FileError) {
    guard let members = json.members else { throw damaged("__metadata__ is not an object") }
    for member in members {
      guard let text = member.value.stringValue else {
        throw damaged("__metadata__ '\(shown(member.key))' is not a text")
      }
      metadata[member.key] = text
    }
  }

  private func region(_ name: String, _ json: JSON) throws(FileError) -> Region {
    let what = "'\(shown(name))'"
    guard let dtypeName = json["dtype"]?.stringValue else { throw damaged("\(what) has no dtype") }
    guard let dtype = DType(safetensors: dtypeName) else {
      throw FileError(
        path, "\(what) has dtype \(shown(dtypeName)), which is not supported",
        remedy: "save it as F64, F32, F16, BF16, I64, I32, U8 or BOOL")
    }
    guard let shape = numbers(json["shape"]), let size = byteCount(dtype, shape) else {
      throw damaged("\(what) has no shape that a tensor can have")
    }
    guard let range = numbers(json["data_offsets"]), range.count == 2, range[0] <= range[1] else {
      throw damaged("\(what) has no data_offsets that are a range")
    }
    guard range[1] - range[0] == size else {
      throw damaged("\(what) is \(dtypeName) \(shape), \(size) bytes, but its data_offsets hold \(range[1] - range[0])")
    }
    return Region(entry: TensorEntry(name: name, dtype: dtype, shape: shape), begin: range[0], end: range[1])
  }

  /// An array of integers that are not negative.
  private func numbers(_ json: JSON?) -> [Int]? {
    guard let elements = json?.elements else { return nil }
    let numbers = elements.compactMap(\.intValue)
    return numbers.count == elements.count && numbers.allSatisfy { $0 >= 0 } ? numbers : nil
  }

  /// Every byte belongs to exactly one tensor: no overlaps, no holes, nothing behind the last.
  private func checkCoverage(of size: Int) throws(FileError) {
    var end = 0
    for tensor in tensors.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
      let name = shown(tensor.entry.name)
      if tensor.begin < end { throw damaged("'\(name)' overlaps the tensor before it") }
      if tensor.begin > end { throw damaged("bytes \(end) to \(tensor.begin), before '\(name)', belong to no tensor") }
      end = tensor.end
    }
    guard end <= size else {
      throw FileError(
        path, "is truncated: its tensors need \(end) bytes, and it has \(size)",
        remedy: "copy or download the file again")
    }
    if end < size { throw damaged("\(size - end) bytes behind the last tensor belong to none") }
  }
}

extension DType {
  /// The dtype that safetensors calls `name`.
  init?(safetensors name: String) {
    guard let dtype = DType.allCases.first(where: { $0.safetensorsName == name }) else { return nil }
    self = dtype
  }

  /// What safetensors calls this dtype; `nil` for a float that is still undecided.
  var safetensorsName: String? {
    switch self {
    case .float: nil
    case .f16: "F16"
    case .bf16: "BF16"
    case .f32: "F32"
    case .f64: "F64"
    case .i32: "I32"
    case .i64: "I64"
    case .u8: "U8"
    case .bool: "BOOL"
    }
  }
}
