import LTMSupport

/// A file that cannot be read or written: which one, where in it, what is wrong, what would mend it.
package struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The file, as the user named it; `path:line:column` for a place in a text.
  package let path: String
  /// What is wrong: a clause, lower case, no full stop.
  package let problem: String
  /// What to do about it.
  package let remedy: String?

  /// A problem with a file.
  package init(_ path: String, _ problem: String, remedy: String? = nil) {
    self.path = path
    self.problem = problem
    self.remedy = remedy
  }

  /// The message for the user.
  package var diagnostic: Diagnostic {
    Diagnostic(.error, "\(path.isEmpty ? "''" : shown(path)): \(problem)", notes: remedy.map { [$0] } ?? [])
  }

  /// The message as a terminal shows it.
  package var description: String { diagnostic.rendered() }
}

/// A name from a file as a message may show it: no control characters, not endless.
func shown(_ name: String) -> String {
  let scalars = name.unicodeScalars.prefix(200).map { $0.value < 0x20 || $0.value == 0x7F ? "?" : String($0) }
  return scalars.joined() + (name.unicodeScalars.count > 200 ? "..." : "")
}
