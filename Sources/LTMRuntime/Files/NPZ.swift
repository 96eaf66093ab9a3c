import LTMIR

/// A zip archive of .npy files, as `numpy.savez` and `numpy.savez_compressed` write it.
package struct NPZFile: TensorArchive {
  /// What messages call the file.
  package let path: String
  /// The arrays' names, without `.npy`.
  package let names: [String]
  private let archive: ZipArchive
  private let members: [String: ZipArchive.Member]

  /// Opens an archive and checks its directory.
  package init(path: String) throws(FileError) { try self.init(ByteSource(path: path)) }

  init(_ source: ByteSource) throws(FileError) {
    path = source.path
    archive = try ZipArchive(source, remedy: "save it again, with numpy.savez or as .safetensors")
    let arrays = archive.members.filter { $0.name.hasSuffix(".npy") }
    names = arrays.map { String($0.name.dropLast(4)) }
    // The archive has refused duplicate names.
    members = Dictionary(zip(names, arrays), uniquingKeysWith: { first, _ in first })
  }

  /// What an array's header says.
  package func entry(_ name: String) throws(FileError) -> TensorEntry { try file(name).entry }

  /// Reads an array.
  package func tensor(_ name: String) throws(FileError) -> Tensor { try file(name).tensor() }

  private func file(_ name: String) throws(FileError) -> NPYFile {
    guard let member = members[name] else { throw missing(name) }
    let bytes = try archive.content(of: member)
    return try NPYFile(ByteSource(path: "\(path)[\(shown(name))]", bytes: bytes), name: name)
  }
}
