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
  /// The texts of columns of categories in the order of their numbers, by the column's name.
  private(set) var categories: [String: [String]] = [:]
  /// Rows that are left out for a category that training did not see.
  private var dropped: Set<Int> = []
  /// Those that were asked for as texts.
  private(set) var texts: [Int: [String]] = [:]
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
  ///
  /// - Parameters:
  ///   - categories: columns whose texts, where they are no numbers, are numbered in their order.
  ///   - rules: what is known of their numbers.
  ///   - texts: columns that are kept as they are.
  ///   - mayLack: whether a field may hold nothing; it is NaN then.
  mutating func read(
    _ wanted: Set<Int>, exact: Set<Int> = [], words: [Int: [String: Double]], categories: Set<Int> = [],
    _ rules: CategoryRules = CategoryRules(), texts kept: Set<Int> = [], mayLack: Bool = false
  ) throws(FileError) {
    let order = wanted.sorted()
    let integerOrder = exact.sorted()
    var values = order.map { _ in [Double]() }
    var whole = integerOrder.map { _ in [Int64]() }
    let keptOrder = kept.sorted()
    var keptTexts = keptOrder.map { _ in [String]() }
    var texts = order.map { categories.contains($0) ? Categories(rules, column: header[$0]) : nil }
    while let record = try scanner.record() {
      if record.count == 1, header.count > 1, scanner.isBlank(record[0]) { continue }
      guard record.count == header.count else {
        throw FileError(
          "\(path):\(record[0].line):1", "this row has \(record.count) fields, and the header names \(header.count)",
          remedy: "fields are separated by commas; one that holds a comma stands in quotes")
      }
      for (slot, column) in order.enumerated() {
        let field = record[column]
        if texts[slot] != nil {
          values[slot].append(texts[slot]?.add(scanner.text(field), field) ?? .nan)
        } else {
          values[slot].append(try value(field, column, words[column], mayLack: mayLack))
        }
      }
      for (slot, column) in integerOrder.enumerated() {
        whole[slot].append(try scanner.integer(record[column], column: header[column]))
      }
      for (slot, column) in keptOrder.enumerated() { keptTexts[slot].append(scanner.text(record[column])) }
      rowCount += 1
    }
    for (slot, column) in order.enumerated() {
      guard let text = texts[slot] else { continue }
      let numbers = try text.numbers(values[slot], scanner, mayLack: mayLack)
      values[slot] = numbers.values
      self.categories[header[column]] = numbers.texts
      dropped.formUnion(numbers.dropped)
    }
    columns = Dictionary(zip(order, values), uniquingKeysWith: { first, _ in first })
    self.texts = Dictionary(zip(keptOrder, keptTexts), uniquingKeysWith: { first, _ in first })
    integers = Dictionary(zip(integerOrder, whole), uniquingKeysWith: { first, _ in first })
  }

  private func value(
    _ field: CSVScanner.Field, _ column: Int, _ words: [String: Double]?, mayLack: Bool
  ) throws(FileError) -> Double {
    if mayLack, words == nil, missingWords.contains(scanner.text(field)) { return .nan }
    guard let words else { return try scanner.number(field, column: header[column]) }
    let text = scanner.text(field)
    if let word = words[text] { return word }
    guard Double(text) != nil else {
      throw FileError(
        "\(path):\(field.line):\(field.column)",
        "'\(shown(text))' in column '\(shown(header[column]))' is not a word that it can hold",
        remedy: "write \(words.sorted { $0.value < $1.value }.map(\.key).joined(separator: " or "))")
    }
    return try scanner.number(field, column: header[column])
  }

  /// Puts something in place of what is missing; gives the rows that are complete then.
  mutating func settle(_ rule: MissingRule?, training: [Int]) -> [Int] {
    let kept = (0..<rowCount).filter { !dropped.contains($0) }
    guard let rule else { return kept }
    if rule == .drop { return kept.filter { row in columns.values.allSatisfy { !$0[row].isNaN } } }
    for (column, values) in columns where values.contains(where: \.isNaN) {
      let known = training.map { values[$0] }.filter { !$0.isNaN }
      let mean = known.isEmpty ? 0 : known.reduce(0, +) / Double(known.count)
      columns[column] = values.map { $0.isNaN ? (rule == .mean ? mean : 0) : $0 }
    }
    return kept
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
