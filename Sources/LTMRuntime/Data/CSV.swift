import LTMIR

/// Columns of numbers from a text with commas: a header row of names, then rows. Fields may be quoted.
struct CSVTable {
  /// What messages call the file.
  let path: String
  /// The names in the header row.
  let header: [String]
  /// The values of the columns that were asked for, by the column's index.
  private(set) var columns: [Int: [Double]] = [:]
  /// Those that were asked for as 64-bit integers, which have more digits than a double.
  private(set) var integers: [Int: [Int64]] = [:]
  /// The number of rows below the header.
  private(set) var rowCount = 0
  private var scanner: CSVScanner

  /// The largest file that is read.
  private static let sizeLimit = 4 << 30

  /// Reads the header row.
  init(_ source: ByteSource) throws(FileError) {
    path = source.path
    scanner = CSVScanner(path: path, bytes: try source.all(limit: Self.sizeLimit))
    guard let record = try scanner.record() else {
      throw FileError(path, "is empty", remedy: "the first row names the columns")
    }
    header = record.map { [scanner] in scanner.text($0) }
    var seen: Set<String> = []
    if let twice = header.first(where: { !seen.insert($0).inserted }) {
      throw FileError(path, "has two columns called '\(shown(twice))'", remedy: "give each column a name of its own")
    }
    if !header.isEmpty, header.allSatisfy({ Double($0) != nil }) {
      throw FileError(
        path, "has no header row: its first row is all numbers", remedy: "add a first row that names the columns")
    }
  }

  /// Reads the rows, and of each the columns `wanted` as numbers and those of `exact` as integers. In the column `words`
  /// those texts stand for numbers.
  mutating func read(
    _ wanted: Set<Int>, exact: Set<Int> = [], words: [Int: [String: Double]]
  ) throws(FileError) {
    let order = wanted.sorted()
    let integerOrder = exact.sorted()
    let meanings = order.map { words[$0] }
    var values = order.map { _ in [Double]() }
    var whole = integerOrder.map { _ in [Int64]() }
    while let record = try scanner.record() {
      if record.count == 1, header.count > 1, scanner.isBlank(record[0]) { continue }
      guard record.count == header.count else {
        throw FileError(
          "\(path):\(record[0].line):1", "this row has \(record.count) fields, and the header names \(header.count)",
          remedy: "fields are separated by commas; one that holds a comma stands in quotes")
      }
      for (slot, column) in order.enumerated() {
        let field = record[column]
        if let word = meanings[slot].flatMap({ $0[scanner.text(field)] }) {
          values[slot].append(word)
        } else if let words = meanings[slot], Double(scanner.text(field)) == nil {
          throw FileError(
            "\(path):\(field.line):\(field.column)",
            "'\(shown(scanner.text(field)))' in column '\(shown(header[column]))' is not a word that it can hold",
            remedy: "write \(words.sorted { $0.value < $1.value }.map(\.key).joined(separator: " or "))")
        } else {
          values[slot].append(try scanner.number(field, column: header[column]))
        }
      }
      for (slot, column) in integerOrder.enumerated() {
        whole[slot].append(try scanner.integer(record[column], column: header[column]))
      }
      rowCount += 1
    }
    columns = Dictionary(zip(order, values), uniquingKeysWith: { first, _ in first })
    integers = Dictionary(zip(integerOrder, whole), uniquingKeysWith: { first, _ in first })
  }

  /// The columns that a key means: the one of that name; or those called `KEY0`, `KEY_1`, `KEY.2`, in the file's order;
  /// or, for `rest`, all that nothing else means.
  func columns(of key: String, claimed: Set<Int>) -> [Int] {
    if let index = header.firstIndex(of: key) { return [index] }
    if key == "rest" { return header.indices.filter { !claimed.contains($0) } }
    return header.indices.filter { index in
      guard header[index].hasPrefix(key) else { return false }
      var tail = header[index].dropFirst(key.count)
      if tail.first == "_" || tail.first == "." { tail = tail.dropFirst() }
      return !tail.isEmpty && tail.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
    }
  }

  /// Columns side by side as a tensor, of the rows given; one column called by its own name has no second dimension.
  func tensor(_ columns: [Int], isVector: Bool, rows: [Int], dtype: DType) -> Tensor? {
    let shape = isVector ? [rows.count] : [rows.count, columns.count]
    if dtype == .i64 {
      let values = gathered(columns.map { integers[$0] ?? (self.columns[$0] ?? []).map { Int64($0) } }, rows)
      return Tensor(dtype: .i64, shape: shape, bytes: values.withUnsafeBytes { Array($0) })
    }
    return Tensor(gathered(columns.map { self.columns[$0] ?? [] }, rows), shape: shape, dtype: dtype)
  }

  private func gathered<Value>(_ columns: [[Value]], _ rows: [Int]) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(rows.count * columns.count)
    for row in rows { for column in columns { values.append(column[row]) } }
    return values
  }
}
