/// A file's text, held once, with the table that turns byte offsets into lines.
///
/// Everything that points into a file holds a ``Span``; the text stays reachable from it, so that a diagnostic can be
/// shown with no other context.
public final class SourceFile: Sendable, Hashable {
  /// The path as the user gave it, which is how messages name the file.
  public let path: String
  /// The bytes of the file, UTF-8.
  public let bytes: [UInt8]
  /// The byte offset at which each line begins.
  private let lineStarts: [Int32]

  /// Holds `text` under the name `path`.
  public init(path: String, text: String) {
    self.path = path
    bytes = Array(text.utf8)
    var starts: [Int32] = [0]
    for (offset, byte) in bytes.enumerated() where byte == 0x0A { starts.append(Int32(clamping: offset + 1)) }
    lineStarts = starts
  }

  /// The 1-based line and column (in characters) of a byte offset.
  public func position(of offset: Int32) -> (line: Int, column: Int) {
    var low = 0
    var high = lineStarts.count - 1
    while low < high {
      let middle = (low + high + 1) / 2
      if lineStarts[middle] <= offset { low = middle } else { high = middle - 1 }
    }
    let end = min(Int(offset), bytes.count)
    let prefix = bytes[min(Int(lineStarts[low]), end)..<end]
    // Characters are slow to tell apart; in a line that nobody can read, code points will do.
    guard prefix.count <= Self.longLine else { return (low + 1, prefix.count { $0 & 0xC0 != 0x80 } + 1) }
    return (low + 1, String(decoding: prefix, as: UTF8.self).count + 1)
  }

  /// Lines of more bytes than this are not shown.
  static let longLine = 2000

  /// The text of a 1-based line, without its newline; empty past the end.
  public func line(_ number: Int) -> String { String(decoding: bytes[lineRange(number)], as: UTF8.self) }

  /// The bytes of a 1-based line, without its newline.
  func lineRange(_ number: Int) -> Range<Int> {
    guard number >= 1, number <= lineStarts.count else { return bytes.count..<bytes.count }
    let start = Int(lineStarts[number - 1])
    let end = number < lineStarts.count ? Int(lineStarts[number]) - 1 : bytes.count
    return start..<max(start, end)
  }

  /// The text of a byte range.
  public func text(_ range: Range<Int32>) -> String {
    let start = min(Int(range.lowerBound), bytes.count)
    return String(decoding: bytes[start..<min(Int(range.upperBound), bytes.count)], as: UTF8.self)
  }

  /// The word at a 1-based line and column, or the one character; `nil` where the line has no such column.
  package func span(line: Int, column: Int) -> Span? {
    let range = lineRange(line)
    guard column >= 1, range.count <= Self.longLine else { return nil }
    let text = String(decoding: bytes[range], as: UTF8.self)
    let rest = text.dropFirst(column - 1)
    guard let first = rest.first else { return nil }
    let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
    let start = range.lowerBound + text.prefix(column - 1).utf8.count
    return Span(self, Int32(clamping: start), Int32(clamping: start + max(word.utf8.count, first.utf8.count)))
  }

  /// Two files are the same when they are the same object.
  public static func == (left: SourceFile, right: SourceFile) -> Bool { left === right }
  /// Hashes the identity.
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// A half-open byte range of one file.
public struct Span: Hashable, Sendable, CustomStringConvertible {
  /// The file pointed into.
  public let file: SourceFile
  /// The first byte.
  public let start: Int32
  /// One past the last byte.
  public let end: Int32

  /// The bytes `start..<end` of `file`.
  public init(_ file: SourceFile, _ start: Int32, _ end: Int32) {
    self.file = file
    self.start = start
    self.end = max(start, end)
  }

  /// From the start of this span to the end of `other`.
  public func through(_ other: Span) -> Span { Span(file, start, other.end) }

  /// The text that the span covers.
  public var text: String { file.text(start..<end) }

  /// `path:line:column`, as editors and terminals link it.
  public var description: String {
    let at = file.position(of: start)
    return "\(file.path):\(at.line):\(at.column)"
  }
}

/// Where an op came from, in a form that outlives the source text: what the IR's text form prints and reads back.
public struct Location: Hashable, Sendable, CustomStringConvertible {
  /// The file's path.
  public let path: String
  /// The 1-based line.
  public let line: Int
  /// The 1-based column.
  public let column: Int

  /// A place in a file.
  public init(path: String, line: Int, column: Int) {
    self.path = path
    self.line = line
    self.column = column
  }

  /// The start of a span.
  public init(_ span: Span) {
    let at = span.file.position(of: span.start)
    self.init(path: span.file.path, line: at.line, column: at.column)
  }

  /// `path:line:column`.
  public var description: String { "\(path):\(line):\(column)" }
}
