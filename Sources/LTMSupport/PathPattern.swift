/// A path of layers or weights with places left open: `head`, `blocks.*.norm1`, `**.bias`, `norm*`.
///
/// `*` stands for one name or a part of one, `**` for any number of names, none included. A pattern holds for what it
/// names and for all below it.
package struct PathPattern: Hashable, Sendable {
  /// As written.
  package let text: String
  private let parts: [Substring]

  /// The pattern as written; one that ``isValid(_:)`` refuses matches nothing.
  package init(_ text: String) {
    self.text = text
    parts = Self.names(of: text)
  }

  /// How a pattern is written, for messages.
  package static let form =
    "names joined by '.', '*' for one of them and '**' for any number, as in blocks.*.norm1 or **.bias"

  /// Whether each part is a name, a number, one of them with a `*` in it, or `**`.
  package static func isValid(_ text: String) -> Bool {
    !text.isEmpty
      && names(of: text).allSatisfy { part in
        part == "**"
          || !part.isEmpty && !part.contains("**")
            && part.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "*" }
      }
  }

  /// Whether the layer or weight at `path` is meant.
  package func matches(_ path: String) -> Bool {
    var reached = closure([0])
    if reached.contains(parts.count) { return true }
    for name in Self.names(of: path) {
      var next: Set<Int> = []
      for index in reached where index < parts.count {
        if parts[index] == "**" {
          next.insert(index)
        } else if Self.part(parts[index], holdsFor: name) {
          next.insert(index + 1)
        }
      }
      reached = closure(next)
      if reached.contains(parts.count) { return true }
    }
    return false
  }

  /// The parts that may come next, where `**` may stand for nothing.
  private func closure(_ indices: Set<Int>) -> Set<Int> {
    var result = indices
    for index in parts.indices where result.contains(index) && parts[index] == "**" { result.insert(index + 1) }
    return result
  }

  private static func names(of path: String) -> [Substring] {
    path.split(separator: ".", omittingEmptySubsequences: false)
  }

  /// Whether a name is that of a part, in which each `*` stands for any characters.
  private static func part(_ part: Substring, holdsFor name: Substring) -> Bool {
    let (part, name) = (Array(part.utf8), Array(name.utf8))
    var (at, from, star, resume) = (0, 0, -1, 0)
    while from < name.count {
      if at < part.count, part[at] == UInt8(ascii: "*") {
        (star, resume) = (at, from)
        at += 1
      } else if at < part.count, part[at] == name[from] {
        at += 1
        from += 1
      } else if star >= 0 {
        resume += 1
        (at, from) = (star + 1, resume)
      } else {
        return false
      }
    }
    return part[at...].allSatisfy { $0 == UInt8(ascii: "*") }
  }
}
