import LTMIR

/// Which tensor of a file a parameter of the model's entries takes.
package struct DataField: Hashable, Sendable {
  /// The parameter's name.
  package let parameter: String
  /// The name in the file, without `_train` and `_test`; of a CSV a column.
  package let key: String
  /// The element type that the parameter takes; `nil` for that of the file.
  package let dtype: DType?

  /// A parameter with its key.
  package init(parameter: String, key: String, dtype: DType? = nil) {
    self.parameter = parameter
    self.key = key
    self.dtype = dtype
  }
}

/// Rows to train on and, where the file has them, rows to test on.
package struct Dataset: Sendable {
  /// What messages call the file.
  package let path: String
  /// The rows to train on.
  package let train: Split
  /// The rows to test on.
  package let test: Split?

  /// Tensors by parameter, with the same number of rows.
  package struct Split: Sendable {
    /// By parameter; the first dimension counts the rows.
    package let tensors: [String: Tensor]
    /// The number of rows.
    package let count: Int
  }

  /// Loads the tensors that `fields` name, converts them to the parameters' dtypes, and checks that all have the same
  /// number of rows and hold finite numbers only.
  ///
  /// From `.safetensors` and `.npz` a key `x` takes `x_train` and `x_test`, or `x` where there is no split. An `.npy`
  /// file is the one tensor of one field. Of a `.csv` a key is a column, several numbered ones, or `rest`.
  package init(path: String, fields: [DataField]) throws(FileError) {
    self.path = path
    if fields.isEmpty {
      throw FileError(path, "no parameter takes anything from it", remedy: "map each parameter to a name in the file")
    }
    let isCSV = path.lowercased().hasSuffix(".csv")
    let named = isCSV ? try csvTensors(path, fields) : try archiveTensors(path, fields)
    train = try Split(path, named.train, fields)
    test = named.test.isEmpty ? nil : try Split(path, named.test, fields)
  }
}

/// A tensor with the name that messages give it.
struct NamedTensor {
  let name: String
  let tensor: Tensor
}

/// For each field its tensors; `test` is empty where the file has no test rows.
struct SplitTensors {
  var train: [NamedTensor] = []
  var test: [NamedTensor] = []
}

private func archiveTensors(_ path: String, _ fields: [DataField]) throws(FileError) -> SplitTensors {
  let archive = try openTensors(path)
  if let array = archive as? NPYFile {
    guard fields.count == 1 else {
      let names = fields.map(\.parameter).joined(separator: ", ")
      throw FileError(path, "holds one array, and \(names) are needed", remedy: "save them together with numpy.savez")
    }
    return SplitTensors(train: [NamedTensor(name: array.entry.name, tensor: try array.tensor())])
  }
  let names = Set(archive.names)
  var result = SplitTensors()
  for field in fields {
    let isSplit = names.contains(field.key + "_train")
    let trainName = isSplit || !names.contains(field.key) ? field.key + "_train" : field.key
    result.train.append(NamedTensor(name: trainName, tensor: try archive.tensor(trainName)))
    let testName = field.key + "_test"
    if names.contains(testName) {
      result.test.append(NamedTensor(name: testName, tensor: try archive.tensor(testName)))
    }
  }
  if !result.test.isEmpty, let lacking = fields.first(where: { !names.contains($0.key + "_test") }) {
    throw FileError(
      path, "holds '\(shown(result.test[0].name))' but no '\(shown(lacking.key))_test'",
      remedy: "add it, or leave the test tensors out")
  }
  return result
}

private func csvTensors(_ path: String, _ fields: [DataField]) throws(FileError) -> SplitTensors {
  var table = try CSVTable(ByteSource(path: path))
  let split = table.header.firstIndex(of: "split")
  var claimed: Set<Int> = split.map { [$0] } ?? []
  for field in fields where field.key != "rest" { claimed.formUnion(table.columns(of: field.key, claimed: [])) }
  let columns = fields.map { [table, claimed] in table.columns(of: $0.key, claimed: claimed) }
  if let index = columns.firstIndex(where: \.isEmpty) {
    throw FileError(
      path, "has no column '\(shown(fields[index].key))'",
      remedy: "its columns are \(shown(table.header.joined(separator: ", ")))")
  }
  let words = split.map { [$0: ["train": 0.0, "test": 1.0]] } ?? [:]
  try table.read(Set(columns.joined()).union(split.map { [$0] } ?? []), words: words)
  let marks = split.flatMap { table.columns[$0] } ?? [Double](repeating: 0, count: table.rowCount)
  if let row = marks.firstIndex(where: { $0 != 0 && $0 != 1 }) {
    throw FileError(
      path, "has '\(marks[row])' in column 'split', row \(row)", remedy: "write train or test (or 0 or 1) there")
  }
  var result = SplitTensors()
  let (train, test) = (marks.indices.filter { marks[$0] == 0 }, marks.indices.filter { marks[$0] == 1 })
  for (field, indices) in zip(fields, columns) {
    let isVector = indices.count == 1 && table.header[indices[0]] == field.key
    func make(_ rows: [Int]) throws(FileError) -> NamedTensor {
      guard let tensor = table.tensor(indices, isVector: isVector, rows: rows, dtype: .f64) else {
        throw FileError(path, "has too many rows")
      }
      return NamedTensor(name: field.key, tensor: convert(tensor, to: field.dtype == nil ? .f32 : .f64).tensor)
    }
    result.train.append(try make(train))
    if !test.isEmpty { result.test.append(try make(test)) }
  }
  return result
}
