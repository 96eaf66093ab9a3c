import Glibc
import LTMIR

/// Named tensors and texts in one safetensors file, with PyTorch's names (`fc1.weight`): a file that PyTorch wrote loads,
/// and PyTorch loads what is saved.
package struct Checkpoint: Sendable {
  /// The tensors, in order; names are unique.
  package var tensors: [(name: String, tensor: Tensor)]
  /// Texts beside the tensors, such as the step and the seed.
  package var metadata: [String: String]

  /// A checkpoint.
  package init(tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = [:]) {
    self.tensors = tensors
    self.metadata = metadata
  }

  /// Opens a file to read single tensors of it.
  package static func open(_ path: String) throws(FileError) -> SafetensorsFile {
    do throws(FileError) {
      return try SafetensorsFile(path: path)
    } catch {
      // A file of another kind is no damaged checkpoint.
      guard fileEnding(path) != "safetensors", access(path, F_OK) == 0 else { throw error }
      throw unknownEnding(path, remedy: "a checkpoint is a .safetensors file")
    }
  }

  /// Loads every tensor of a file.
  package init(path: String) throws(FileError) {
    let file = try SafetensorsFile(path: path)
    tensors = []
    for name in file.names { tensors.append((name, try file.tensor(name))) }
    metadata = file.metadata
  }

  /// The tensor called `name`.
  package subscript(name: String) -> Tensor? { tensors.first { $0.name == name }?.tensor }

  /// Throws what saving to a path would throw, so that it is said before hours of training and not after them.
  package static func checkPath(_ path: String) throws(FileError) {
    try checkWritable(path)
    guard fileEnding(path) == "safetensors" else {
      throw FileError(
        path, "is no name for a checkpoint, which is a .safetensors file", remedy: "write '\(shown(path)).safetensors'")
    }
  }

  /// Saves as one file; a kill at any moment leaves the old file or the new one, whole.
  package func save(path: String) throws(FileError) { try writeSafetensors(path, tensors, metadata: metadata) }
}
