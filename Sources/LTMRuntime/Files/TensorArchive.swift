import LTMIR
import LTMSupport

/// What a file says of one tensor it holds.
package struct TensorEntry: Hashable, Sendable {
  /// Its name.
  package let name: String
  /// The element type in the file.
  package let dtype: DType
  /// The dimensions, outermost first.
  package let shape: [Int]

  /// A tensor of that name.
  package init(name: String, dtype: DType, shape: [Int]) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
  }
}

/// A file of named tensors, read one at a time.
package protocol TensorArchive: Sendable {
  /// What messages call the file.
  var path: String { get }
  /// The names, in the file's order.
  var names: [String] { get }
  /// What the file says of a tensor.
  func entry(_ name: String) throws(FileError) -> TensorEntry
  /// Reads a tensor.
  func tensor(_ name: String) throws(FileError) -> Tensor
  /// The same for rows of data: a large one stays in the file, and is mapped into memory.
  func dataTensor(_ name: String) throws(FileError) -> Tensor
  /// What is worth knowing of the file.
  var warnings: [Diagnostic] { get }
}

extension TensorArchive {
  /// Most files are what they seem.
  package var warnings: [Diagnostic] { [] }
  /// As any other tensor.
  package func dataTensor(_ name: String) throws(FileError) -> Tensor { try tensor(name) }
}

extension TensorArchive {
  /// The error for a name that the file does not hold.
  func missing(_ name: String) -> FileError {
    let list = names.prefix(20).map(shown).joined(separator: ", ") + (names.count > 20 ? ", ..." : "")
    return FileError(
      path, "holds no tensor '\(shown(name))'", remedy: names.isEmpty ? "it is empty" : "it holds \(list)")
  }
}

/// What stands behind the last point of a path, in small letters.
package func fileEnding(_ path: String) -> String? {
  let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
  return name.contains(".") ? name.split(separator: ".").last?.lowercased() : nil
}

/// What the names of PyTorch's files end in.
package let torchEndings = ["pt", "pth", "bin", "ckpt"]

/// Opens a file of tensors; its name's ending says which format it has. `run.pt:model_ema` is one of several state dicts.
package func openTensors(_ path: String) throws(FileError) -> any TensorArchive {
  for ending in torchEndings {
    guard let found = path.firstRange(of: ".\(ending):") else { continue }
    let file = String(path[..<path.index(before: found.upperBound)])
    return try TorchFile(path: file, key: String(path[found.upperBound...]))
  }
  switch fileEnding(path) {
  case "safetensors": return try SafetensorsFile(path: path)
  case "npz": return try NPZFile(path: path)
  case "npy": return try NPYFile(path: path)
  case "json": return try ShardedFile(path: path)
  case let ending? where torchEndings.contains(ending): return try TorchFile(path: path)
  case _:
    throw unknownEnding(
      path, remedy: "tensors are read from .safetensors, .npz, .npy and PyTorch's .pt, .pth and .bin files")
  }
}

/// The error for a file whose ending is none of ours: what a well-known one is, and how it becomes one that is read.
func unknownEnding(_ path: String, remedy: String) -> FileError {
  let (source, target) = (
    quotedInPython(path),
    quotedInPython((path.split(separator: ".").dropLast() + ["safetensors"]).joined(separator: "."))
  )
  switch fileEnding(path) {
  case let ending? where torchEndings.contains(ending):
    return FileError(
      path, "is a file of PyTorch's, from which weights alone are read",
      remedy: "convert it: python3 -c \"import torch, safetensors.torch as s; d = torch.load(\(source), "
        + "map_location='cpu', weights_only=True); s.save_file({k: v.clone().contiguous() for k, v in d.items() "
        + "if hasattr(v, 'clone')}, \(target))\"")
  case "onnx":
    return FileError(
      path, "is a graph of ONNX, of which only the weights could be read, and those as .safetensors",
      remedy: "convert them: python3 -c \"import onnx, onnx.numpy_helper as n, safetensors.numpy as s; "
        + "s.save_file({t.name: n.to_array(t) for t in onnx.load(\(source)).graph.initializer}, \(target))\"")
  case "h5", "hdf5", "keras":
    return FileError(
      path, "is an HDF5 file, which is not read", remedy: "read it with h5py, and save it with numpy.savez")
  case _:
    return FileError(path, "has no known ending", remedy: remedy)
  }
}

/// A path as a Python literal inside of a shell's double quotes.
private func quotedInPython(_ path: String) -> String {
  "'" + shown(path).map { "\\'\"$`".contains($0) ? "?" : String($0) }.joined() + "'"
}

/// Checks that every byte of a bool tensor is 0 or 1, and wraps the bytes.
func makeTensor(_ path: String, _ entry: TensorEntry, _ bytes: [UInt8]) throws(FileError) -> Tensor {
  let name = shown(entry.name)
  if entry.dtype == .bool, let index = bytes.firstIndex(where: { $0 > 1 }) {
    throw FileError(path, "'\(name)' is of bools, but element \(index) is \(bytes[index])", remedy: "save it as u8")
  }
  guard let tensor = Tensor(dtype: entry.dtype, shape: entry.shape, bytes: bytes) else {
    throw FileError(
      path, "'\(name)' has shape \(entry.shape), which \(bytes.count) bytes of \(entry.dtype) do not fill")
  }
  return tensor
}

/// The bytes of a tensor; `nil` when a dimension is negative, the number overflows, or there are too many dimensions.
func byteCount(_ dtype: DType, _ shape: [Int]) -> Int? {
  guard shape.count <= 32, let count = elementCount(shape) else { return nil }
  let (size, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
  return overflow ? nil : size
}
