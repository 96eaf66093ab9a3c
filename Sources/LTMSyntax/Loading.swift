import LTMSupport

/// The file that `bytes` hold, or `nil` where they are too many or not UTF-8, which is then reported.
public func sourceFile(path: String, bytes: [UInt8], into diagnostics: inout DiagnosticSet) -> SourceFile? {
  guard bytes.count <= Lexer.sizeLimit else {
    diagnostics.add(sizeDiagnostic(path: path, count: bytes.count))
    return nil
  }
  if let text = String(validating: bytes, as: UTF8.self) { return SourceFile(path: path, text: text) }
  // Repairing replaces only what follows the valid part, so offsets up to the first bad byte stay true.
  let file = SourceFile(path: path, text: String(decoding: bytes, as: UTF8.self))
  let common = zip(bytes, file.bytes).prefix { $0 == $1 }.count
  let offset = Int32(clamping: bytes[..<common].lastValidBoundary)
  let code = common < bytes.count ? " (byte 0x" + String(bytes[common], radix: 16, uppercase: true) + ")" : ""
  diagnostics.add(
    Diagnostic("the file is not valid UTF-8\(code)", at: Span(file, offset, offset + 1), notes: ["save it as UTF-8"]))
  return nil
}

/// A `train` block with one line, which is read from a text of its own; `nil` after a mistake, which is then reported.
package func trainBlock(of model: String, line: SourceFile, into diagnostics: inout DiagnosticSet) -> TrainDeclaration?
{
  var parser = Parser(Lexer(line))
  let item = parser.line(base: 0) { parser throws(Parser.Unwind) in try parser.parseTrainItem() }
  parser.skipLines()
  if item != nil, parser.token.kind != .end { _ = parser.expected("the end of the line") }
  for diagnostic in parser.sortedDiagnostics { diagnostics.add(diagnostic) }
  guard let item, !diagnostics.hasErrors else { return nil }
  return TrainDeclaration(model: Identifier(model, item.span), arguments: [], items: [item], span: item.span)
}

extension ArraySlice<UInt8> {
  /// The end of the last whole character.
  fileprivate var lastValidBoundary: Int {
    var end = endIndex
    while end > startIndex, endIndex - end < 4, String(validating: self[..<end], as: UTF8.self) == nil { end -= 1 }
    return end
  }
}
