import LTMIR

/// A file of one array as NumPy saves it.
package struct NPYFile: TensorArchive {
  /// What messages call the file.
  package let path: String
  /// What the header says.
  package let entry: TensorEntry
  private let header: NPYHeader
  private let source: ByteSource

  /// Opens a file and checks its header. The array is called as the file is, without the ending.
  package init(path: String) throws(FileError) {
    let file = path.split(separator: "/").last.map(String.init) ?? path
    try self.init(ByteSource(path: path), name: file.hasSuffix(".npy") ? String(file.dropLast(4)) : file)
  }

  init(_ source: ByteSource, name: String) throws(FileError) {
    path = source.path
    self.source = source
    header = try NPYHeader(source)
    entry = TensorEntry(name: name, dtype: header.dtype, shape: header.shape)
  }

  /// The one name.
  package var names: [String] { [entry.name] }

  /// What the header says.
  package func entry(_ name: String) throws(FileError) -> TensorEntry {
    if name != entry.name { throw missing(name) }
    return entry
  }

  /// Reads the array.
  package func tensor(_ name: String) throws(FileError) -> Tensor {
    if name != entry.name { throw missing(name) }
    return try tensor()
  }

  /// Reads the array.
  package func tensor() throws(FileError) -> Tensor {
    var bytes = try source.read(header.dataStart, header.byteCount, "the array")
    if header.isBigEndian { swapBytes(&bytes, size: entry.dtype.byteCount) }
    if header.isColumnMajor { bytes = rowMajor(bytes, shape: entry.shape, size: entry.dtype.byteCount) }
    return try makeTensor(path, entry, bytes)
  }

  package func dataTensor(_ name: String) throws(FileError) -> Tensor {
    guard name == entry.name, !header.isBigEndian, !header.isColumnMajor, entry.dtype != .bool,
      let mapped = source.mapped(header.dataStart, header.byteCount),
      let tensor = Tensor(dtype: entry.dtype, shape: entry.shape, mapping: mapped)
    else { return try tensor(name) }
    return tensor
  }
}

/// Writes a tensor as NumPy saves arrays, whole or not at all.
package func writeNPY(_ path: String, _ tensor: Tensor) throws(FileError) {
  guard let descriptor = tensor.dtype.npyDescriptor else {
    throw FileError(
      path, "NumPy has no \(tensor.dtype)", remedy: "write a .safetensors file, or cast the output to f32")
  }
  let dims = tensor.shape.map { String($0) }.joined(separator: ", ") + (tensor.shape.count == 1 ? "," : "")
  var text = "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(dims)), }"
  // The array begins at a multiple of 64, so that it can be mapped.
  text += String(repeating: " ", count: 63 - (10 + text.utf8.count) % 64) + "\n"
  let length = text.utf8.count
  let prefix: [UInt8] =
    NPYHeader.magic + [1, 0, UInt8(truncatingIfNeeded: length), UInt8(truncatingIfNeeded: length >> 8)]
  try writeAtomically(path) { (file) throws(FileError) in
    try file.write(prefix + Array(text.utf8))
    try file.write(tensor.bytes)
  }
}

/// Reverses the bytes of each element.
private func swapBytes(_ bytes: inout [UInt8], size: Int) {
  if size == 1 { return }
  bytes.withUnsafeMutableBufferPointer { buffer in
    for start in stride(from: 0, to: buffer.count, by: size) { buffer[start..<start + size].reverse() }
  }
}

/// The bytes of an array that is stored with its first dimension running fastest.
private func rowMajor(_ bytes: [UInt8], shape: [Int], size: Int) -> [UInt8] {
  var strides: [Int] = []
  var product = 1
  for dim in shape {
    strides.append(product)
    product *= dim
  }
  guard shape.count > 1, product > 0 else { return bytes }
  var index = [Int](repeating: 0, count: shape.count)
  var from = 0
  var result = [UInt8](repeating: 0, count: bytes.count)
  for to in 0..<product {
    for byte in 0..<size { result[to * size + byte] = bytes[from * size + byte] }
    // Counts the index up, the last dimension fastest.
    for axis in shape.indices.reversed() {
      index[axis] += 1
      from += strides[axis]
      if index[axis] < shape[axis] { break }
      from -= strides[axis] * shape[axis]
      index[axis] = 0
    }
  }
  return result
}

extension DType {
  /// What NumPy calls this dtype, little-endian; `nil` for bf16, which it lacks.
  var npyDescriptor: String? {
    switch self {
    case .float, .bf16: nil
    case .f16: "<f2"
    case .f32: "<f4"
    case .f64: "<f8"
    case .i32: "<i4"
    case .i64: "<i8"
    case .u8: "|u1"
    case .bool: "|b1"
    }
  }
}
