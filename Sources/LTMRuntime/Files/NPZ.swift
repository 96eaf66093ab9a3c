import LTMIR

/// A zip archive of .npy files, as `numpy.savez` and `numpy.savez_compressed` write it.
package struct NPZFile: TensorArchive {
  /// What messages call the file.
  package let path: String
  /// The arrays' names, without `.npy`.
  package let names: [String]
  private let archive: ZipArchive

  /// Opens an archive and checks its directory.
  package init(path: String) throws(FileError) { try self.init(ByteSource(path: path)) }

  init(_ source: ByteSource) throws(FileError) {
    path = source.path
    archive = try ZipArchive(source)
    names = archive.members.map(\.name).filter { $0.hasSuffix(".npy") }.map { String($0.dropLast(4)) }
  }

  /// Reads an array.
  package func tensor(_ name: String) throws(FileError) -> Tensor {
    guard let member = archive.members.first(where: { $0.name == name + ".npy" }) else { throw missing(name) }
    let bytes = try archive.content(of: member)
    return try NPYFile(ByteSource(path: "\(path)[\(shown(name))]", bytes: bytes), name: name).tensor()
  }
}
