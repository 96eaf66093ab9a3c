import LTMIR
import LTMSupport
import LTMTokenizers

/// The tokenizer that texts are read by; two are the same where their files are.
package struct TextReading: Hashable, Sendable {
  /// The file.
  package let path: String
  /// What it says.
  package let tokenizer: TextTokenizer

  /// Reads a `tokenizer.json`.
  package init(path: String) throws(Diagnostic) {
    self.path = path
    let bytes: [UInt8]
    do {
      bytes = try ByteSource(path: path).all(limit: TextTokenizer.sizeLimit)
    } catch {
      throw error.diagnostic
    }
    tokenizer = try TextTokenizer(bytes, path: path)
  }

  package static func == (one: TextReading, other: TextReading) -> Bool { one.path == other.path }
  package func hash(into hasher: inout Hasher) { hasher.combine(path) }

  /// The lines of a text, without what ends them.
  package static func lines(of path: String) throws(FileError) -> [String] {
    let text = try text(of: path)
    var lines = text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).map { line in
      String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
    }
    if lines.last?.isEmpty ?? false { lines.removeLast() }
    guard !lines.isEmpty else { throw FileError(path, "is empty", remedy: "each line is a row") }
    return lines
  }

  static func text(of path: String) throws(FileError) -> String {
    let bytes = try ByteSource(path: path).all(limit: 4 << 30)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw FileError(path, "is no UTF-8", remedy: "a tokenizer reads texts in UTF-8; iconv makes one")
    }
    return text
  }
}

/// Texts as rows of tokens, all of one length.
package struct TokenRows: Sendable {
  private let rows: [TextTokens]
  /// Tokens of each row.
  package let length: Int

  /// - Parameters:
  ///   - length: that of a row, where the model says it: longer texts are cut, shorter ones filled up.
  ///   - path: what messages call the texts.
  package init(_ texts: [String], _ reading: TextReading, length: Int?, path: String) throws(FileError) {
    var rows: [TextTokens] = []
    rows.reserveCapacity(texts.count)
    for (index, text) in texts.enumerated() {
      do {
        rows.append(try reading.tokenizer.encode(text, most: length))
      } catch {
        throw FileError(path, "cannot be cut into tokens in row \(index): \(error.message)")
      }
    }
    self.length = length ?? max(1, rows.map(\.ids.count).max() ?? 1)
    guard rows.count <= ResourceUsage.allowedBytes / 16 / self.length else {
      throw FileError(
        path, "makes \(rows.count) rows of \(self.length) tokens, as long as the longest",
        remedy: "cut long texts: a tokenizer.json may say how many tokens are kept, under 'truncation'")
    }
    self.rows = rows.map { [length = self.length] in reading.tokenizer.padded($0, to: length) }
  }

  /// Some of the rows: the numbers of the tokens, or for a parameter of another dtype whether there is a token.
  package func tensor(rows chosen: [Int]? = nil, dtype: DType?) -> Tensor? {
    let chosen = chosen ?? Array(rows.indices)
    let shape = [chosen.count, length]
    guard let dtype, ![.i32, .i64, .u8].contains(dtype) else {
      let numbers = chosen.flatMap { rows[$0].ids }
      return Tensor(dtype: .i32, shape: shape, bytes: numbers.withUnsafeBytes { Array($0) })
    }
    let mask = chosen.flatMap { rows[$0].mask.map { $0 ? UInt8(1) : 0 } }
    return Tensor(dtype: dtype == .bool ? .bool : .u8, shape: shape, bytes: mask)
  }
}

extension DataField {
  /// Whether the parameter takes a row of tokens.
  var takesTokens: Bool { row?.count == 1 }
}

/// The lines of a text as rows of tokens.
func lineTensors(_ path: String, _ fields: [DataField], _ reading: TextReading) throws(FileError) -> SplitTensors {
  if let other = fields.first(where: { !$0.takesTokens }) {
    throw FileError(
      path, "is rows of tokens, and '\(other.parameter)' takes none",
      remedy: "a parameter i32[B, T] takes them, a bool[B, T] where they are; a .csv holds more than texts")
  }
  let rows = try TokenRows(TextReading.lines(of: path), reading, length: fields.tokenLength, path: path)
  return SplitTensors(train: try fields.map { (field) throws(FileError) in try rows.named(field, path, rows: nil) })
}

extension [DataField] {
  /// How many tokens a row has, where a parameter says it.
  var tokenLength: Int? { lazy.filter(\.takesTokens).compactMap { $0.row?[0] }.min() }
}

extension TokenRows {
  /// The tensor of a field.
  func named(_ field: DataField, _ path: String, rows: [Int]?) throws(FileError) -> NamedTensor {
    guard let tensor = tensor(rows: rows, dtype: field.dtype) else { throw FileError(path, "has too many rows") }
    return NamedTensor(name: field.key, tensor: tensor)
  }
}

/// The rows of a text as tokens: so many each, the later ones from further on. What is left at the end is no row.
func tokenWindows(
  _ path: String, _ fields: [DataField], _ reading: TextReading, _ window: Int, stride: Int
) throws(FileError) -> SplitTensors {
  guard fields.count == 1, let field = fields.first else {
    throw FileError(
      path, "is read token by token, and there are \(fields.count) parameters",
      remedy: "a text is rows for one parameter")
  }
  let ids: [Int32]
  do {
    ids = try reading.tokenizer.encodeWhole(TextReading.text(of: path))
  } catch let error as FileError {
    throw error
  } catch {
    throw FileError(path, "cannot be cut into tokens: \((error as? Diagnostic)?.message ?? "\(error)")")
  }
  guard window > 0, stride > 0, ids.count >= window else {
    throw FileError(path, "has \(ids.count) tokens, and a row takes \(window)", remedy: "choose a smaller window")
  }
  let rows = (ids.count - window) / stride + 1
  guard rows <= ResourceUsage.allowedBytes / 64 / window else {
    throw FileError(path, "makes \(rows) rows of \(window) tokens", remedy: "choose a larger window_stride")
  }
  let all = (0..<rows).flatMap { ids[$0 * stride..<$0 * stride + window] }
  guard let tensor = Tensor(dtype: .i32, shape: [rows, window], bytes: all.withUnsafeBytes { Array($0) }) else {
    throw FileError(path, "has too many rows")
  }
  return SplitTensors(train: [NamedTensor(name: field.key, tensor: tensor)])
}
