import LTMIR
import LTMSupport

/// A file that `torch.save` wrote (`.pt`, `.pth`, `.bin`, `.ckpt`), zip or legacy: its tensors. The pickle in it is read by a
/// machine of our own, which calls and imports nothing.
package struct TorchFile: TensorArchive {
  /// What messages call the file.
  package let path: String
  /// The tensors' names, as a state dict has them.
  package let names: [String]
  /// What the pickle would have Python call, beside PyTorch and the standard containers: left out.
  package let calls: [String]
  private let tensors: [String: TorchTensor]
  private let storages: TorchStorages

  /// Opens a file and reads its pickle.
  ///
  /// - Parameter key: which of several state dicts in it, as `model_ema`; the names of those within are joined by points.
  package init(path: String, key: String? = nil) throws(FileError) { try self.init(ByteSource(path: path), key: key) }

  init(_ source: ByteSource, key: String? = nil) throws(FileError) {
    path = source.path
    let (pickle, storages) = try TorchStorages.open(source)
    self.storages = storages
    var tree = TorchTree(pickle, source.path)
    let found = try tree.tensors(key)
    names = found.map(\.name)
    tensors = Dictionary(found.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    calls = pickle.foreignCalls
  }

  /// What the file says of a tensor.
  package func entry(_ name: String) throws(FileError) -> TensorEntry {
    let tensor = try described(name)
    guard let dtype = tensor.dtype else {
      let kind = tensor.kind.hasSuffix("Storage") ? String(tensor.kind.dropLast(7)) : tensor.kind
      throw FileError(
        path, "'\(shown(name))' is of PyTorch's type \(shown(kind)), which is not read",
        remedy: "convert it in PyTorch, as with .float() or .int()")
    }
    return TensorEntry(name: name, dtype: dtype, shape: tensor.shape)
  }

  /// Reads a tensor.
  package func tensor(_ name: String) throws(FileError) -> Tensor {
    let (entry, tensor) = (try entry(name), try described(name))
    guard let range = tensor.byteRange else {
      throw FileError(
        path,
        "'\(shown(name))' of shape \(tensor.shape) reads beyond the \(tensor.storageCount) numbers of its storage",
        remedy: "copy or download the file again; an expanded tensor is saved whole after .contiguous()")
    }
    let bytes = try storages.bytes(tensor, range, shown(name))
    return try makeTensor(path, entry, tensor.gathered(bytes))
  }

  private func described(_ name: String) throws(FileError) -> TorchTensor {
    guard let tensor = tensors[name] else { throw missing(name) }
    return tensor
  }

  /// What is worth knowing of the file.
  package var warnings: [Diagnostic] {
    if calls.isEmpty { return [] }
    let list = calls.prefix(5).map { "'\(shown($0))'" }.joined(separator: ", ") + (calls.count > 5 ? ", ..." : "")
    return [
      Diagnostic(
        .warning, "\(shown(path)): would have Python call \(list): what they give is left out",
        notes: ["nothing in a file is called here, but torch.load may do so"])
    ]
  }
}

extension Pickle {
  /// The names that are called or built from, but for PyTorch's, NumPy's and the standard library's containers.
  fileprivate var foreignCalls: [String] {
    var (seen, names): (Set<String>, [String]) = ([], [])
    for cell in cells where cell.kind == .call {
      guard case .global(let name)? = cell.items.first, !Self.isKnown(name), seen.insert(name).inserted else {
        continue
      }
      names.append(name)
    }
    return names
  }

  private static func isKnown(_ name: String) -> Bool {
    let harmless = [
      "torch.", "__torch__.", "numpy.", "collections.", "argparse.Namespace", "_codecs.encode", "pathlib.",
    ]
    return harmless.contains { name.hasPrefix($0) } || ["builtins.set", "builtins.frozenset"].contains(name)
  }
}

/// Where the bytes of storages lie.
enum TorchStorages: Sendable {
  /// Each a member of a zip archive, by key.
  case zip(ZipArchive, [String: ZipArchive.Member])
  /// Each behind the pickles, by key: where its elements begin, and their bytes.
  case legacy(ByteSource, [String: Range<Int>])

  /// The pickle of a file, and its storages.
  static func open(_ source: ByteSource) throws(FileError) -> (Pickle, TorchStorages) {
    let start = try source.read(0, min(source.count, 4), "the file")
    if start.starts(with: [0x50, 0x4B]) { return try openZip(source) }
    guard start.first == 0x80 else {
      throw FileError(
        source.path, "is no file that torch.save wrote",
        remedy: "weights are read from .safetensors, .npz and .pt files")
    }
    return try openLegacy(source)
  }

  private static func openZip(_ source: ByteSource) throws(FileError) -> (Pickle, TorchStorages) {
    let archive = try ZipArchive(source, remedy: "save it again, with torch.save or as .safetensors")
    let pickles = archive.members.filter { $0.name.hasSuffix("/data.pkl") }
    guard let member = pickles.min(by: { $0.name.count < $1.name.count }) else {
      throw FileError(
        source.path, "is an archive without a data.pkl: no file that torch.save wrote",
        remedy: "an archive of arrays ends in .npz")
    }
    let folder = member.name.dropLast("data.pkl".count)
    if let order = archive.members.first(where: { $0.name == folder + "byteorder" }) {
      guard try archive.content(of: order) == Array("little".utf8) else {
        throw FileError(source.path, "was written on a big-endian machine", remedy: "save it again as .safetensors")
      }
    }
    let content = ByteSource(path: source.path, bytes: try archive.content(of: member))
    let prefix = folder + "data/"
    let storages = archive.members.filter { $0.name.hasPrefix(prefix) }.map {
      (String($0.name.dropFirst(prefix.count)), $0)
    }
    return (
      try PickleMachine.run(PickleReader(content)).pickle, .zip(archive, Dictionary(storages, uniquingKeysWith: { $1 }))
    )
  }

  /// Before PyTorch 1.6: pickles of a magic number, a version, facts of the system, the content and the storages' keys, then
  /// each storage with its length.
  private static func openLegacy(_ source: ByteSource) throws(FileError) -> (Pickle, TorchStorages) {
    let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    var position = 0
    var parts: [Pickle] = []
    for _ in 0..<5 {
      let (pickle, end) = try PickleMachine.run(PickleReader(source, at: position))
      parts.append(pickle)
      position = end
      guard parts[0].root == .bytes(magic) else {
        throw FileError(
          source.path, "is a pickle, but none that torch.save wrote",
          remedy: "save its arrays with numpy.savez or as .safetensors")
      }
    }
    let keys = parts[4].cell(parts[4].root, .list)?.items ?? []
    var sizes: [String: Int] = [:]
    for cell in parts[3].cells.indices where parts[3].cells[cell].kind == .persistent {
      guard let storage = TorchStorage(.cell(cell), in: parts[3]) else { continue }
      sizes[storage.key] = TorchTensor.elementSize(of: storage.kind)
    }
    var places: [String: Range<Int>] = [:]
    for case .string(let key) in keys {
      var reader = PickleReader(source, at: position)
      let (count, size) = (try reader.number(8), sizes[key] ?? 1)
      let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow, bytes <= source.count - position - 8 else {
        throw FileError(
          source.path, "is truncated in storage '\(shown(key))'", remedy: "copy or download the file again")
      }
      places[key] = position + 8..<position + 8 + bytes
      position += 8 + bytes
    }
    return (parts[3], .legacy(source, places))
  }

  /// The bytes of a tensor's storage in a range.
  func bytes(_ tensor: TorchTensor, _ range: Range<Int>, _ name: String) throws(FileError) -> [UInt8] {
    switch self {
    case .zip(let archive, let members):
      guard let member = members[tensor.storage] else {
        throw FileError(archive.path, "lacks the storage of '\(name)'", remedy: "copy or download the file again")
      }
      let content = try archive.content(of: member)
      guard range.upperBound <= content.count else { throw short(archive.path, name, content.count, range) }
      return range == content.indices ? content : Array(content[range])
    case .legacy(let source, let places):
      guard let place = places[tensor.storage] else {
        throw FileError(source.path, "lacks the storage of '\(name)'", remedy: "copy or download the file again")
      }
      guard range.upperBound <= place.count else { throw short(source.path, name, place.count, range) }
      return try source.read(place.lowerBound + range.lowerBound, range.count, "'\(name)'")
    }
  }

  private func short(_ path: String, _ name: String, _ count: Int, _ range: Range<Int>) -> FileError {
    FileError(
      path, "the storage of '\(name)' has \(count) bytes, and \(range.upperBound) are needed",
      remedy: "copy or download the file again")
  }
}
