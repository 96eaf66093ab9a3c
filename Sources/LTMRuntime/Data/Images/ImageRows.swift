import Dispatch
import LTMIR
import Synchronization

/// Images as rows of a tensor, each decoded when it is asked for, and kept while there is room.
package final class ImageRows: Sendable {
  /// That of all of them: the number of images, channels, height, width.
  package let shape: [Int]
  /// Floats are from 0 to 1, bytes from 0 to 255.
  package let dtype: DType
  private let paths: [String]
  private let kept = Mutex<[Int: [UInt8]]>([:])
  /// How many rows are kept: an eighth of the memory.
  private let room: Int

  /// - Parameter row: channels (1, 3 or 4), height and width.
  init(_ paths: [String], row: [Int], dtype: DType) {
    (self.paths, self.dtype) = (paths, dtype)
    shape = [paths.count] + row
    room = ResourceUsage.allowedBytes / 8 / max(row.reduce(dtype.byteCount, *), 1)
  }

  /// Throws for the first file, in order, that is not there or is no image.
  func check() throws(FileError) {
    let problem = Mutex<(index: Int, error: FileError)?>(nil)
    let paths = paths
    DispatchQueue.concurrentPerform(iterations: paths.count) { index in
      do throws(FileError) {
        try DecodedImage.check(paths[index])
      } catch {
        problem.withLock { if index < $0?.index ?? .max { $0 = (index, error) } }
      }
    }
    if let found = problem.withLock({ $0 }) { throw found.error }
  }

  /// The same images in another dtype.
  func converted(to dtype: DType) -> ImageRows {
    dtype == self.dtype ? self : ImageRows(paths, row: Array(shape.dropFirst()), dtype: dtype)
  }

  /// Images of several folders, one behind the other; `nil` where they are not alike.
  static func joined(_ all: [ImageRows]) -> ImageRows? {
    guard let first = all.first,
      all.allSatisfy({ $0.shape.dropFirst() == first.shape.dropFirst() && $0.dtype == first.dtype })
    else { return nil }
    return ImageRows(all.flatMap(\.paths), row: Array(first.shape.dropFirst()), dtype: first.dtype)
  }

  /// The rows given, one after the other.
  func batch(_ rows: [Int]) throws(FileError) -> Tensor {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(rows.count * rowBytes)
    for row in rows { bytes += try self.bytes(of: row) }
    guard let tensor = Tensor(dtype: dtype, shape: [rows.count] + shape.dropFirst(), bytes: bytes) else {
      throw FileError(paths.first ?? "", "and the others are too many for one batch")
    }
    return tensor
  }

  private var rowBytes: Int { shape.dropFirst().reduce(dtype.byteCount, *) }

  private func bytes(of row: Int) throws(FileError) -> [UInt8] {
    if let known = kept.withLock({ $0[row] }) { return known }
    let made = try decoded(paths[row])
    kept.withLock { if $0.count < room { $0[row] = made } }
    return made
  }

  private func decoded(_ path: String) throws(FileError) -> [UInt8] {
    let image = try DecodedImage(path)
    let values = image.resized(channels: shape[1], height: shape[2], width: shape[3])
    let scaled = dtype.isFloating ? values.map { $0 / 255 } : values.map { min(max($0, 0), 255).rounded() }
    guard let tensor = Tensor(scaled, shape: Array(shape.dropFirst())) else {
      throw FileError(path, "has no size")
    }
    return convert(tensor, to: dtype).tensor.bytes
  }
}
