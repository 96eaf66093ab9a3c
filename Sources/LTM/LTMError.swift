import LTMCUDA
import LTMFrontEnd
import LTMGraphPasses
import LTMRuntime
import LTMSupport

/// What every call of this package throws: one or more messages, each with its place and remedy.
public struct LTMError: Error, Sendable, CustomStringConvertible {
  /// The messages, in the order found.
  public let diagnostics: [Diagnostic]

  /// The messages of a phase.
  public init(_ set: DiagnosticSet) { diagnostics = set.all.map { $0.showingItsLine() } }
  /// One message.
  public init(_ diagnostic: Diagnostic) { diagnostics = [diagnostic.showingItsLine()] }
  /// One message with no place in a file.
  public init(_ message: String, notes: [String] = []) { diagnostics = [Diagnostic(.error, message, notes: notes)] }

  /// Whether ltm itself is at fault, not what it was given.
  public var isInternal: Bool { diagnostics.contains { $0.severity == .internalError } }

  /// The messages as a terminal shows them, without colour.
  public var description: String { diagnostics.map { $0.rendered() }.joined(separator: "\n") }
}

extension Diagnostic {
  /// The message about an op, which remembers its place alone, with the line that it stands on, where that can be read.
  func showingItsLine() -> Diagnostic {
    guard span == nil, let location else { return self }
    let text: String? =
      location.path == preludePath
      ? preludeText : (try? readFile(location.path)).map { String(decoding: $0, as: UTF8.self) }
    var shown = self
    shown.span = text.flatMap {
      SourceFile(path: location.path, text: $0).span(line: location.line, column: location.column)
    }
    return shown
  }
}

/// The bytes of a file that the front end asks for; it names the path itself.
func sourceBytes(_ path: String) throws(Diagnostic) -> [UInt8] {
  do {
    return try readFile(path)
  } catch {
    throw Diagnostic(.error, error.problem)
  }
}

/// Runs `body`, turning whatever a phase throws into an ``LTMError``.
func reporting<R>(_ body: () throws -> R) throws(LTMError) -> R {
  do {
    return try body()
  } catch let error as LTMError {
    throw error
  } catch let error as DiagnosticSet {
    throw LTMError(error)
  } catch let error as Diagnostic {
    throw LTMError(error)
  } catch let error as FileError {
    throw LTMError(error.diagnostic)
  } catch let error as CUDAError {
    throw LTMError(error.diagnostic)
  } catch let error as PassFailure {
    throw LTMError(error.diagnostic)
  } catch {
    throw LTMError("\(error)")
  }
}
