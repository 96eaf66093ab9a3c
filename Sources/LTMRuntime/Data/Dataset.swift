import LTMIR

/// Which tensor of a file a parameter of the model's entries takes.
package struct DataField: Hashable, Sendable {
  /// The parameter's name.
  package let parameter: String
  /// The name in the file, without `_train` and `_test`; of a CSV a column.
  package let key: String
  /// The element type that the parameter takes; `nil` for that of the file.
  package let dtype: DType?
  /// The sizes of a row, `nil` for those that calls decide; `nil` where nothing is known of them.
  package let row: [Int?]?

  /// A parameter with its key.
  package init(parameter: String, key: String, dtype: DType? = nil, row: [Int?]? = nil) {
    self.row = row
    self.parameter = parameter
    self.key = key
    self.dtype = dtype
  }
}

/// Rows to train on and, where the file has them, rows to validate and to test on.
package struct Dataset: Sendable {
  /// What messages call the file.
  package let path: String
  /// The rows to train on.
  package let train: Split
  /// The rows to validate on.
  package let validation: Split?
  /// The rows to test on.
  package let test: Split?
  /// The texts of a table's columns of categories in the order of their numbers, by column; `nil` where the data is no table.
  package let categories: [String: [String]]?

  /// Tensors and images by parameter, with the same number of rows.
  package struct Split: Sendable {
    /// By parameter; the first dimension counts the rows.
    package let tensors: [String: Tensor]
    /// Those that are decoded when their rows are asked for.
    package let images: [String: ImageRows]
    /// Which rows of the tensors are meant, in order; `nil` for all of them.
    package let rows: [Int32]?
    /// The number of rows.
    package let count: Int

    init(tensors: [String: Tensor], count: Int, rows: [Int32]? = nil, images: [String: ImageRows] = [:]) {
      (self.tensors, self.images, self.count, self.rows) = (tensors, images, rows?.count ?? count, rows)
    }

    /// The shapes of all rows, by parameter.
    package var shapes: [String: [Int]] {
      tensors.mapValues(\.shape).merging(images.mapValues(\.shape)) { first, _ in first }
    }
  }

  package init(
    path: String, train: Split, validation: Split?, test: Split?, categories: [String: [String]]? = nil
  ) {
    self.path = path
    self.categories = categories
    self.train = train
    self.validation = validation
    self.test = test
  }

  /// Loads the tensors that `fields` name, converts them to the parameters' dtypes, and checks that all have the same
  /// number of rows and hold finite numbers only.
  ///
  /// From `.safetensors` and `.npz` a key `x` takes `x_train`, `x_val` and `x_test`, or `x` where there is no split. An `.npy`
  /// file is the one tensor of one field. Of a `.csv` a key is a column, several numbered ones, or `rest`.
  package init(path: String, fields: [DataField], reading: DataReading = DataReading()) throws(FileError) {
    if fields.isEmpty {
      throw FileError(path, "no parameter takes anything from it", remedy: "map each parameter to a name in the file")
    }
    if holdsImages(path) {
      try self.init(imagesAt: path, fields, reading.categoryRules)
      return
    }
    let named =
      switch fileEnding(path) {
      case "csv": try csvTensors(path, fields, reading)
      case "safetensors", "npz", "npy": try archiveTensors(path, fields)
      case let ending? where torchEndings.contains(ending): try archiveTensors(path, fields)
      case _:
        if let window = reading.window {
          try Self.windowTensors(path, fields, window, reading)
        } else if let text = reading.text {
          try lineTensors(path, fields, text)
        } else {
          throw unknownEnding(
            path,
            remedy:
              "data is read from .safetensors, .npz, .npy, .pt and .csv files, images of a folder or a .list, a text byte by byte with --window 129, its lines with --tokenizer FILE"
          )
        }
      }
    self.init(
      path: path, train: try Split(path, named.train, fields),
      validation: named.validation.isEmpty ? nil : try Split(path, named.validation, fields),
      test: named.test.isEmpty ? nil : try Split(path, named.test, fields), categories: named.categories)
  }

  /// The rows of a text that is read through, of bytes or tokens.
  private static func windowTensors(
    _ path: String, _ fields: [DataField], _ window: Int, _ reading: DataReading
  ) throws(FileError) -> SplitTensors {
    let stride = reading.windowStride ?? max(window - 1, 1)
    guard let text = reading.text else { return try textTensors(path, fields, window, stride: stride) }
    return try tokenWindows(path, fields, text, window, stride: stride)
  }

  /// The shapes of one row of each field, by parameter, without the rows themselves; of those fields that the file holds.
  package static func rowShapes(
    path: String, fields: [DataField], reading: DataReading = DataReading()
  ) throws(FileError) -> [String: [Int]] {
    let path = try dataFiles(path)[0]
    if holdsImages(path) {
      return Dictionary(
        fields.map { ($0.parameter, $0.takesPixels ? ($0.row ?? []).compactMap(\.self) : []) },
        uniquingKeysWith: { first, _ in first })
    }
    if let window = reading.window, !["safetensors", "npz", "npy", "csv"].contains(fileEnding(path)) {
      return Dictionary(fields.map { ($0.parameter, [window]) }, uniquingKeysWith: { first, _ in first })
    }
    if fileEnding(path) == "csv" {
      let table = try CSVTable(ByteSource(path: path))
      return try csvRowShapes(table, fields)
    }
    let archive = try openTensors(path)
    var shapes: [String: [Int]] = [:]
    for field in fields {
      let name = (archive is NPYFile ? archive.names : [field.key + "_train", field.key]).first(
        where: archive.names.contains)
      if let name { shapes[field.parameter] = Array(try archive.entry(name).shape.dropFirst()) }
    }
    return shapes
  }
}

/// A tensor with the name that messages give it.
struct NamedTensor {
  let name: String
  let tensor: Tensor
}

/// For each field its tensors; `validation` and `test` are empty where the file has no such rows.
struct SplitTensors {
  var train: [NamedTensor] = []
  var validation: [NamedTensor] = []
  var test: [NamedTensor] = []
  /// Of a table.
  var categories: [String: [String]]?
}
