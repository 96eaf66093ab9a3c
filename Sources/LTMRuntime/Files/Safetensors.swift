import LTMIR
import LTMSupport

/// A safetensors file: eight bytes with the length of a JSON header, the header, then the tensors' bytes, each of which
/// belongs to exactly one tensor.
package struct SafetensorsFile: TensorArchive {
  /// What messages call the file.
  package let path: String
  /// The tensors, in the header's order.
  package let entries: [TensorEntry]
  /// The texts under `__metadata__`.
  package let metadata: [String: String]
  private let source: ByteSource
  private let regions: [String: SafetensorsHeader.Region]
  private let dataStart: Int

  /// Opens a file and checks its header.
  package init(path: String) throws(FileError) { try self.init(ByteSource(path: path)) }

  init(_ source: ByteSource) throws(FileError) {
    path = source.path
    self.source = source
    let header = try SafetensorsHeader(source)
    entries = header.tensors.map(\.entry)
    metadata = header.metadata
    // The JSON parser has refused duplicate keys.
    regions = Dictionary(header.tensors.map { ($0.entry.name, $0) }, uniquingKeysWith: { first, _ in first })
    dataStart = header.dataStart
  }

  /// The names, in the header's order.
  package var names: [String] { entries.map(\.name) }

  /// What the header says of a tensor.
  package func entry(_ name: String) throws(FileError) -> TensorEntry {
    guard let region = regions[name] else { throw missing(name) }
    return region.entry
  }

  /// Reads a tensor.
  package func tensor(_ name: String) throws(FileError) -> Tensor {
    guard let region = regions[name] else { throw missing(name) }
    let bytes = try source.read(dataStart + region.begin, region.end - region.begin, "'\(shown(name))'")
    return try makeTensor(path, region.entry, bytes)
  }

  package func dataTensor(_ name: String) throws(FileError) -> Tensor {
    guard let region = regions[name], region.entry.dtype != .bool,
      let mapped = source.mapped(dataStart + region.begin, region.end - region.begin),
      let tensor = Tensor(dtype: region.entry.dtype, shape: region.entry.shape, mapping: mapped)
    else { return try tensor(name) }
    return tensor
  }
}

/// A tensor that is to be saved: what it is, and its bytes when they are asked for.
package struct TensorToSave {
  /// Its name, dtype and shape.
  package let entry: TensorEntry
  /// Lets a body read the bytes, where they lie if possible.
  package let withBytes: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void

  /// A tensor that lies elsewhere.
  package init(_ entry: TensorEntry, withBytes: @escaping ((UnsafeRawBufferPointer) throws -> Void) throws -> Void) {
    self.entry = entry
    self.withBytes = withBytes
  }

  /// A tensor in host memory.
  package init(_ name: String, _ tensor: Tensor) {
    entry = TensorEntry(name: name, dtype: tensor.dtype, shape: tensor.shape)
    withBytes = { body in try tensor.withUnsafeBytes { try body($0) } }
  }

  /// The number of its bytes.
  var byteCount: Int { LTMRuntime.byteCount(entry.dtype, entry.shape) ?? 0 }
}

/// Writes tensors and texts as a safetensors file, whole or not at all.
package func writeSafetensors(
  _ path: String, _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = [:]
) throws(FileError) {
  do {
    try writeSafetensors(path, tensors.map { TensorToSave($0.name, $0.tensor) }, metadata: metadata)
  } catch let error as FileError {
    throw error
  } catch {
    throw FileError(path, "cannot be written: \(error)")
  }
}

/// Writes tensors and texts as a safetensors file, whole or not at all, each tensor from where it lies. The header keeps
/// the order given; the bytes lie by falling element size, so that each tensor is aligned for its dtype.
package func writeSafetensors(_ path: String, _ tensors: [TensorToSave], metadata: [String: String] = [:]) throws {
  var seen: Set<String> = ["__metadata__"]
  if let twice = tensors.first(where: { !seen.insert($0.entry.name).inserted }) {
    throw FileError(
      path, "two tensors would be called '\(shown(twice.entry.name))'", remedy: "give each a name of its own")
  }
  let order = orderInFile(tensors)
  var text = Array(header(tensors, order, metadata).text().utf8)
  text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
  try writeAtomicallyFrom(path) { file in
    try file.write(littleEndian(UInt64(text.count)) + text)
    for index in order { try tensors[index].withBytes { try file.write($0) } }
  }
}

/// The order in which the bytes of tensors are written, and asked for.
package func orderInFile(_ tensors: [TensorToSave]) -> [Int] {
  tensors.indices.sorted {
    (-tensors[$0].entry.dtype.byteCount, $0) < (-tensors[$1].entry.dtype.byteCount, $1)
  }
}

/// The header of a file whose tensors' bytes lie in `order`.
private func header(_ tensors: [TensorToSave], _ order: [Int], _ metadata: [String: String]) -> JSON {
  var offsets = [Int](repeating: 0, count: tensors.count)
  var end = 0
  for index in order {
    offsets[index] = end
    end += tensors[index].byteCount
  }
  let texts = metadata.sorted { $0.key < $1.key }.map { JSON.Member($0.key, .string($0.value)) }
  var members = texts.isEmpty ? [] : [JSON.Member("__metadata__", .object(texts))]
  for (index, tensor) in tensors.enumerated() {
    let entry: JSON = [
      "dtype": tensor.entry.dtype.safetensorsName.map { .string($0) } ?? .null,
      "shape": .array(tensor.entry.shape.map { .int($0) }),
      "data_offsets": [.int(offsets[index]), .int(offsets[index] + tensor.byteCount)],
    ]
    members.append(JSON.Member(tensor.entry.name, entry))
  }
  return .object(members)
}

/// The eight bytes of a number.
private func littleEndian(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
