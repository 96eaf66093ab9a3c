import LTMIR

/// What a name of a split ends in.
private func ending(of split: KeyPath<SplitTensors, [NamedTensor]>) -> String {
  split == \.test ? "_test" : split == \.validation ? "_val" : "_train"
}

/// The tensors of a file of tensors: `x_train`, `x_val` and `x_test` for the key `x`, or `x` where there is no split.
func archiveTensors(_ path: String, _ fields: [DataField]) throws(FileError) -> SplitTensors {
  let archive = try openTensors(path)
  if let array = archive as? NPYFile {
    guard fields.count == 1 else {
      let names = fields.map(\.parameter).joined(separator: ", ")
      throw FileError(path, "holds one array, and \(names) are needed", remedy: "save them together with numpy.savez")
    }
    return SplitTensors(train: [NamedTensor(name: array.entry.name, tensor: try array.dataTensor(array.entry.name))])
  }
  let names = Set(archive.names)
  var result = SplitTensors()
  for field in fields {
    let isSplit = names.contains(field.key + "_train")
    let trainName = isSplit || !names.contains(field.key) ? field.key + "_train" : field.key
    result.train.append(NamedTensor(name: trainName, tensor: try archive.dataTensor(trainName)))
    for split in [\SplitTensors.validation, \.test] {
      let name = field.key + ending(of: split)
      if names.contains(name) {
        result[keyPath: split].append(NamedTensor(name: name, tensor: try archive.dataTensor(name)))
      }
    }
  }
  for split in [\SplitTensors.validation, \.test] {
    guard let first = result[keyPath: split].first,
      let lacking = fields.first(where: { !names.contains($0.key + ending(of: split)) })
    else { continue }
    throw FileError(
      path, "holds '\(shown(first.name))' but no '\(shown(lacking.key + ending(of: split)))'",
      remedy: "add it, or leave the \(split == \.test ? "test" : "validation") tensors out")
  }
  return result
}

/// The tensors of a CSV's columns, in f64 (or i64 for a parameter that takes it, f32 for one that takes the file's dtype). Texts for a parameter of
/// integers are categories, numbered in their order.
func csvTensors(_ path: String, _ fields: [DataField], _ reading: DataReading) throws(FileError) -> SplitTensors {
  var table = try CSVTable(ByteSource(path: path))
  let split = table.header.firstIndex(of: "split")
  let columns = try csvColumns(table, fields, split: split)
  let words = split.map { [$0: ["train": 0.0, "test": 1.0, "val": 2.0]] } ?? [:]
  let marked = Set([split].compactMap { $0 })
  let isText = zip(fields, columns).map { field, columns in
    reading.text != nil && field.takesTokens && isVector(table, field, columns)
  }
  let texts = Set(zip(columns, isText).filter(\.1).flatMap(\.0))
  func wanted(_ include: (DataField) -> Bool) -> Set<Int> {
    Set(zip(fields, columns).filter { include($0.0) }.flatMap(\.1)).subtracting(marked).subtracting(texts)
  }
  try table.read(
    wanted { $0.dtype != .i64 }.union(marked), exact: wanted { $0.dtype == .i64 }, words: words,
    categories: wanted { [.i32, .u8].contains($0.dtype) || reading.categories.contains($0.key) },
    reading.categoryRules, texts: texts, mayLack: reading.missing != nil)
  let marks = split.flatMap { table.columns[$0] } ?? [Double](repeating: 0, count: table.rowCount)
  if let row = marks.firstIndex(where: { ![0, 1, 2].contains($0) }) {
    throw FileError(
      path, "has '\(marks[row])' in column 'split', row \(row)",
      remedy: "write train or test (or 0 or 1) there, or val (or 2)")
  }
  let complete = table.settle(reading.missing, training: marks.indices.filter { marks[$0] == 0 })
  func rows(_ mark: Double) -> [Int] { complete.filter { marks[$0] == mark } }
  let (train, test, validation) = (rows(0), rows(1), rows(2))
  let tokens = try csvTokens(table, zip(fields, isText).filter(\.1).map(\.0), reading)
  var result = SplitTensors(categories: table.categories)
  for (field, indices) in zip(fields, columns) {
    func tensor(_ rows: [Int]) throws(FileError) -> NamedTensor {
      if let known = tokens[field.key] { return try known.named(field, path, rows: rows) }
      return try csvTensor(table, field, indices, rows: rows)
    }
    result.train.append(try tensor(train))
    if !validation.isEmpty { result.validation.append(try tensor(validation)) }
    if !test.isEmpty { result.test.append(try tensor(test)) }
  }
  return result
}

/// The tokens of each column of texts, by its key.
private func csvTokens(
  _ table: CSVTable, _ fields: [DataField], _ reading: DataReading
) throws(FileError) -> [String: TokenRows] {
  guard let text = reading.text else { return [:] }
  var tokens: [String: TokenRows] = [:]
  for field in fields where tokens[field.key] == nil {
    guard let column = table.header.firstIndex(of: field.key), let texts = table.texts[column] else { continue }
    let length = fields.filter { $0.key == field.key }.tokenLength
    tokens[field.key] = try TokenRows(texts, text, length: length, path: table.path)
  }
  return tokens
}

/// For each field its columns.
private func csvColumns(_ table: CSVTable, _ fields: [DataField], split: Int?) throws(FileError) -> [[Int]] {
  var claimed: Set<Int> = split.map { [$0] } ?? []
  for field in fields where field.key != "rest" { claimed.formUnion(table.columns(of: field.key, claimed: [])) }
  let columns = fields.map { [claimed] in table.columns(of: $0.key, claimed: claimed) }
  guard let index = columns.firstIndex(where: \.isEmpty) else { return columns }
  throw FileError(
    table.path, "has no column '\(shown(fields[index].key))'",
    remedy: "its columns are \(shown(table.header.joined(separator: ", ")))")
}

/// The shape of a row of each field.
func csvRowShapes(_ table: CSVTable, _ fields: [DataField]) throws(FileError) -> [String: [Int]] {
  let columns = try csvColumns(table, fields, split: table.header.firstIndex(of: "split"))
  return Dictionary(
    zip(fields, columns).map { field, columns in
      (field.parameter, isVector(table, field, columns) ? [] : [columns.count])
    }, uniquingKeysWith: { first, _ in first })
}

/// Whether a field is one column called by its own name, which has no second dimension.
private func isVector(_ table: CSVTable, _ field: DataField, _ columns: [Int]) -> Bool {
  columns.count == 1 && table.header[columns[0]] == field.key
}

private func csvTensor(
  _ table: CSVTable, _ field: DataField, _ columns: [Int], rows: [Int]
) throws(FileError) -> NamedTensor {
  let dtype: DType = field.dtype == nil ? .f32 : field.dtype == .i64 ? .i64 : .f64
  guard let tensor = table.tensor(columns, isVector: isVector(table, field, columns), rows: rows, dtype: dtype) else {
    throw FileError(table.path, "has too many rows")
  }
  return NamedTensor(name: field.key, tensor: tensor)
}
