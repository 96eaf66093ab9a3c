import Foundation
import LTMFrontEnd
import LTMGrammar
import LTMIR
import LTMRuntime
import LTMSupport
import LTMSyntax

/// A `.ltm` file as text: what editors and build scripts do with one.
public struct Source: Sendable {
  /// The path, which is how messages name the file.
  public let path: String
  /// The text.
  public let text: String
  private let file: SourceFile

  /// Reads a file.
  public init(contentsOf path: String) throws(LTMError) {
    try self.init(path: path, bytes: reporting { try readFile(path) })
  }

  /// Takes bytes that came from elsewhere.
  public init(path: String, bytes: [UInt8]) throws(LTMError) {
    var diagnostics = DiagnosticSet()
    guard let file = sourceFile(path: path, bytes: bytes, into: &diagnostics) else { throw LTMError(diagnostics) }
    self.path = path
    self.file = file
    text = String(decoding: file.bytes, as: UTF8.self)
  }

  /// Everything that can be known before a run: syntax, names, shapes, the `train` block. Returns the warnings; throws
  /// when there are errors.
  @discardableResult
  public func check() throws(LTMError) -> [Diagnostic] {
    let bytes = file.bytes
    let path = path
    return try reporting {
      let loaded = try load(path: path) { $0 == path ? bytes : try sourceBytes($0) }
      let found = loaded.check()
      try found.throwIfErrors()
      let lines = loaded.optionLines.compactMap { TrainingOptions.problem($0.name, $0.value, at: $0.span) }
      try DiagnosticSet(lines).throwIfErrors()
      // A file may well be checked where its data is not.
      let missing = loaded.dataFiles.filter { file in
        ((try? dataFiles(file.path)) ?? []).allSatisfy { !FileManager.default.fileExists(atPath: $0) }
      }
      return found.warnings
        + missing.map { path, span in
          Diagnostic(
            .warning, "there is no file '\(path)'", at: span,
            notes: ["a path is relative to the .ltm file; another is given with --data"])
        }
    }
  }

  /// The file in the one layout; comments stay. Throws when it does not parse.
  public func formatted() throws(LTMError) -> String {
    let file = file
    return try reporting { try format(file) }
  }

  /// Replaces the file by `text`, whole or not at all.
  public func replace(with text: String) throws(LTMError) {
    let path = path
    try reporting { try writeAtomically(path, Array(text.utf8)) }
  }

  /// The syntax tree as text.
  public func syntaxTree() throws(LTMError) -> String {
    var diagnostics = DiagnosticSet()
    let module = parse(file, into: &diagnostics)
    if diagnostics.hasErrors { throw LTMError(diagnostics) }
    return dump(module)
  }

  /// The normative grammar.
  public static var grammar: String { Grammar.ebnf }
  /// The prelude, as `.ltm`.
  public static var prelude: String { preludeText }
  /// The op table as Markdown.
  public static var ops: String { opReference() }
}
