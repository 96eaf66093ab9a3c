/// A path of layers in which `*` stands for one name: `head`, `blocks.*.norm1`. It holds for the layer and all below it.
struct ScopePattern: Hashable {
  private let parts: [Substring]

  init(_ text: String) { parts = text.split(separator: ".", omittingEmptySubsequences: false) }

  /// Whether each part is a name, a number or `*`.
  static func isValid(_ text: String) -> Bool {
    !text.isEmpty
      && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { part in
        part == "*" || (!part.isEmpty && part.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" })
      }
  }

  /// Whether the layer or parameter at `path` is meant.
  func matches(_ path: String) -> Bool {
    let names = path.split(separator: ".", omittingEmptySubsequences: false)
    return names.count >= parts.count && zip(parts, names).allSatisfy { $0 == "*" || $0 == $1 }
  }
}
