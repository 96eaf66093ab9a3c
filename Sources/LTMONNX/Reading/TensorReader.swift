import Foundation
import LTMIR
import LTMRuntime
import LTMSupport

/// Why a tensor, a node or a value is not imported: a clause, lower case, no full stop.
struct ImportProblem: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

/// Reads tensors. Nothing is allocated for a tensor beyond the bytes that the file has for it.
struct TensorReader {
  /// The model's file; external data lies beside it.
  let path: String

  func constant(_ proto: Onnx_TensorProto) throws(ImportProblem) -> Constant {
    guard let element = ElementType(rawValue: proto.dataType) else {
      throw ImportProblem("the element type \(proto.dataType) is not imported")
    }
    guard let carrier = element.carrier, let width = element.byteCount else {
      throw ImportProblem("tensors of \(element.name) are not imported")
    }
    let shape = proto.dims.map { Int($0) }
    guard let count = elementCount(shape), let size = count.product(width) else {
      throw ImportProblem("its shape \(shape) is none that a tensor can have")
    }
    let bytes: Data
    if proto.dataLocation == .external {
      bytes = try external(proto, size)
    } else if proto.hasRawData {
      bytes = proto.rawData
    } else {
      let values = try typed(proto, element)
      guard values.count == count * width else { throw mismatch(values.count / width, count, shape) }
      return converted(proto.name, element, carrier, shape, values)
    }
    guard bytes.count == size else {
      throw ImportProblem("it has \(bytes.count) bytes, and \(element.name)\(shape) needs \(size)")
    }
    return converted(proto.name, element, carrier, shape, bytes)
  }

  private func mismatch(_ found: Int, _ count: Int, _ shape: [Int]) -> ImportProblem {
    ImportProblem("it has \(found) elements, and the shape \(shape) needs \(count)")
  }

  /// The elements of the typed fields as raw bytes.
  private func typed(_ proto: Onnx_TensorProto, _ element: ElementType) throws(ImportProblem) -> Data {
    func raw<T>(_ values: [T]) -> Data { values.withUnsafeBytes { Data($0) } }
    switch element {
    case .float: return raw(proto.floatData)
    case .double: return raw(proto.doubleData)
    case .int64: return raw(proto.int64Data)
    case .uint64: return raw(proto.uint64Data)
    case .uint32: return raw(proto.uint64Data.map { UInt32(truncatingIfNeeded: $0) })
    case .int32: return raw(proto.int32Data)
    case .int16, .uint16, .float16, .bfloat16: return raw(proto.int32Data.map { UInt16(truncatingIfNeeded: $0) })
    case .int8, .uint8, .bool: return raw(proto.int32Data.map { UInt8(truncatingIfNeeded: $0) })
    case .string, .complex64, .complex128: throw ImportProblem("tensors of \(element.name) are not imported")
    }
  }

  /// The bytes in the dtype that carries the element type; what has one of the same width keeps its own.
  private func converted(
    _ name: String, _ element: ElementType, _ carrier: DType, _ shape: [Int], _ bytes: Data
  ) -> Constant {
    func widened<From: FixedWidthInteger & Sendable, To: FixedWidthInteger>(_: From.Type, _: To.Type) -> Data {
      bytes.withUnsafeBytes { buffer in
        (0..<bytes.count / MemoryLayout<From>.size).map {
          To(truncatingIfNeeded: buffer.loadUnaligned(fromByteOffset: $0 * MemoryLayout<From>.size, as: From.self))
        }.withUnsafeBytes { Data($0) }
      }
    }
    let data =
      switch element {
      case .int8: widened(Int8.self, Int32.self)
      case .int16: widened(Int16.self, Int32.self)
      case .uint16: widened(UInt16.self, Int32.self)
      case .uint32: widened(UInt32.self, Int64.self)
      case .bool: Data(bytes.map { $0 == 0 ? 0 : 1 })
      default: bytes
      }
    return Constant(name: name, element: element, dtype: carrier.stored, shape: shape, bytes: data)
  }

  // MARK: External data

  /// The bytes of a tensor that lies in another file of the same folder, or of one below.
  private func external(_ proto: Onnx_TensorProto, _ size: Int) throws(ImportProblem) -> Data {
    let fields = Dictionary(proto.externalData.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    let location = fields["location"] ?? ""
    let parts = location.split(separator: "/", omittingEmptySubsequences: false)
    guard !location.isEmpty, !location.contains("\0"), !location.hasPrefix("/"), !location.contains("\\"),
      !parts.contains("..")
    else {
      throw ImportProblem("its data lies in '\(location.shownSafely)', and that must be a file in the model's folder")
    }
    guard let offset = Int(fields["offset"] ?? "0"), let length = Int(fields["length"] ?? "\(size)"), length == size,
      offset >= 0
    else { throw ImportProblem("the place of its data in '\(location.shownSafely)' does not hold its \(size) bytes") }
    let folder = URL(filePath: path).deletingLastPathComponent().resolvingSymlinksInPath().path
    let file = URL(filePath: folder).appending(path: location).resolvingSymlinksInPath().path
    guard file.hasPrefix(folder.hasSuffix("/") ? folder : folder + "/") else {
      throw ImportProblem("its data lies in '\(location.shownSafely)', which leads out of the model's folder")
    }
    guard let handle = FileHandle(forReadingAtPath: file) else {
      throw ImportProblem("its data lies in '\(location.shownSafely)', which cannot be read")
    }
    defer { try? handle.close() }
    guard let end = try? handle.seekToEnd(), UInt64(offset) <= end, UInt64(size) <= end - UInt64(offset),
      (try? handle.seek(toOffset: UInt64(offset))) != nil, let data = try? handle.read(upToCount: size) ?? Data(),
      data.count == size
    else { throw ImportProblem("'\(location.shownSafely)' does not hold its \(size) bytes at byte \(offset)") }
    return data
  }
}

extension Int {
  /// The product; `nil` on overflow.
  func product(_ other: Int) -> Int? {
    let (value, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? nil : value
  }
}

extension String {
  /// A name from a file as a message may show it: no control characters, not endless.
  var shownSafely: String {
    let scalars = unicodeScalars.prefix(200).map { $0.value < 0x20 || $0.value == 0x7F ? "?" : String($0) }
    return scalars.joined() + (unicodeScalars.count > 200 ? "..." : "")
  }
}
