import Glibc
import LTMIR
import LTMSupport

/// How a file of data is read, beside its keys.
package struct DataReading: Hashable, Sendable {
  /// Bytes of a row, or tokens, where the file is a text that is read through.
  package var window: Int?
  /// How many bytes further the next row begins: one less than a row has, so that each byte but the first follows another one once.
  package var windowStride: Int?
  /// What becomes of a field of a table that holds nothing.
  package var missing: MissingRule?
  /// What cuts texts into tokens.
  package var text: TextReading?
  /// Keys of a table whose texts are categories, though no parameter says so.
  package var categories: Set<String> = []
  /// How the texts of categories become numbers.
  package var categoryRules = CategoryRules()

  /// As files say it themselves.
  package init(
    window: Int? = nil, windowStride: Int? = nil, missing: MissingRule? = nil, text: TextReading? = nil
  ) {
    (self.window, self.windowStride, self.missing, self.text) = (window, windowStride, missing, text)
  }
}

/// What a file of data holds, as its name says.
package enum DataKind: String, Hashable, Sendable {
  case tensors, images
  case table = "a table"
  case text = "text"

  /// Of a file, or of the folder of images that a path is.
  package init(_ path: String) {
    if holdsImages(path) {
      self = .images
      return
    }
    switch fileEnding(path) {
    case "csv": self = .table
    case let ending? where (["safetensors", "npz", "npy"] + torchEndings).contains(ending): self = .tensors
    case _: self = .text
    }
  }
}

/// What becomes of a field of a table that holds nothing.
package enum MissingRule: String, Hashable, Sendable, CaseIterable {
  /// Its row is left out.
  case drop
  /// It is the mean of the column's training rows.
  case mean
  /// It is 0.
  case zero
}

/// The texts that stand for a missing number.
let missingWords: Set<String> = ["", "NA", "N/A", "NaN", "nan", "null", "?"]

/// The files that a path means: one, or in the order of their names those that its `*` and `?` fit.
package func dataFiles(_ path: String) throws(FileError) -> [String] {
  guard path.contains("*") || path.contains("?"), access(path, F_OK) != 0 else { return [path] }
  var found = glob_t()
  defer { globfree(&found) }
  guard glob(path, 0, nil, &found) == 0, found.gl_pathc > 0, let names = found.gl_pathv else {
    throw FileError(path, "fits no file", remedy: "'*' stands for any part of a name")
  }
  return (0..<Int(found.gl_pathc)).compactMap { index in names[index].map { String(cString: $0) } }
}

/// The rows of a text: so many bytes each, the later ones from further on. What is left at the end is no row.
func textTensors(
  _ path: String, _ fields: [DataField], _ window: Int, stride: Int
) throws(FileError) -> SplitTensors {
  guard fields.count == 1, let field = fields.first else {
    throw FileError(
      path, "is read byte by byte, and there are \(fields.count) parameters", remedy: "a text is rows for one parameter"
    )
  }
  let bytes = try ByteSource(path: path).all(limit: 4 << 30)
  guard window > 0, stride > 0, bytes.count >= window else {
    throw FileError(path, "has \(bytes.count) bytes, and a row takes \(window)", remedy: "choose a smaller window")
  }
  let rows = (bytes.count - window) / stride + 1
  guard rows <= ResourceUsage.allowedBytes / 16 / window else {
    throw FileError(path, "makes \(rows) rows of \(window) bytes", remedy: "choose a larger window_stride")
  }
  let all = [UInt8](unsafeUninitializedCapacity: rows * window) { target, filled in
    bytes.withUnsafeBufferPointer { source in
      for row in 0..<rows {
        guard let to = target.baseAddress, let from = source.baseAddress else { return }
        (to + row * window).update(from: from + row * stride, count: window)
      }
    }
    filled = rows * window
  }
  guard let tensor = Tensor(dtype: .u8, shape: [rows, window], bytes: all) else {
    throw FileError(path, "has too many rows")
  }
  return SplitTensors(train: [NamedTensor(name: field.key, tensor: tensor)])
}

extension Dataset {
  /// Reads the files that a path means, one behind the other.
  package init(files path: String, fields: [DataField], reading: DataReading) throws(FileError) {
    var parts: [Dataset] = []
    let files = try dataFiles(path)
    for file in files { parts.append(try Dataset(path: file, fields: fields, reading: reading)) }
    let categories = joinedCategories(parts)
    if reading.categoryRules.known == nil, let categories, parts.contains(where: { $0.categories != categories }) {
      var reading = reading
      reading.categoryRules.known = categories
      parts = []
      for file in files { parts.append(try Dataset(path: file, fields: fields, reading: reading)) }
    }
    guard parts.count != 1 else {
      self = parts[0]
      return
    }
    self.init(
      path: path, train: try joined(parts.map(\.train), parts), validation: try joinedIfAny(parts, \.validation),
      test: try joinedIfAny(parts, \.test), categories: categories)
  }
}

/// The texts of all files, in order; `nil` where one of them is no table.
private func joinedCategories(_ parts: [Dataset]) -> [String: [String]]? {
  var all: [String: Set<String>] = [:]
  for part in parts {
    guard let categories = part.categories else { return nil }
    for (column, texts) in categories { all[column, default: []].formUnion(texts) }
  }
  return all.mapValues { $0.sorted() }
}

private func joinedIfAny(
  _ parts: [Dataset], _ split: KeyPath<Dataset, Dataset.Split?>
) throws(FileError) -> Dataset.Split? {
  let found = parts.compactMap { $0[keyPath: split] }
  return found.isEmpty ? nil : try joined(found, parts.filter { $0[keyPath: split] != nil })
}

private func joined(_ splits: [Dataset.Split], _ files: [Dataset]) throws(FileError) -> Dataset.Split {
  guard let first = splits.first, let file = files.first else {
    throw FileError("the data", "is in no file")
  }
  var tensors: [String: Tensor] = [:]
  for (name, tensor) in first.tensors {
    var bytes: [UInt8] = []
    for (split, other) in zip(splits, files) {
      guard let part = split.tensors[name], part.dtype == tensor.dtype,
        part.shape.dropFirst() == tensor.shape.dropFirst()
      else {
        throw FileError(
          other.path, "has other rows for '\(shown(name))' than \(file.path)",
          remedy: "files that are one set are alike")
      }
      bytes += part.bytes
    }
    let shape = [splits.reduce(0) { $0 + $1.count }] + tensor.shape.dropFirst()
    tensors[name] = Tensor(dtype: tensor.dtype, shape: shape, bytes: bytes)
  }
  var images: [String: ImageRows] = [:]
  for name in Set(splits.flatMap(\.images.keys)) {
    let parts = splits.compactMap { $0.images[name] }
    guard parts.count == splits.count, let all = ImageRows.joined(parts) else {
      throw FileError(file.path, "and the others are not all images", remedy: "files that are one set are alike")
    }
    images[name] = all
  }
  return Dataset.Split(tensors: tensors, count: splits.reduce(0) { $0 + $1.count }, images: images)
}
