import LTMSupport

/// How a file's names of weights become the model's: `encoder.layer.*.attention -> blocks.*.attention`.
///
/// The left side is a path, where `*` stands for one name and `**` for any number of names. It fits a name that it is the whole
/// of or the beginning of; what it fits is replaced by the right side, whose stars stand, in order, for what those of
/// the left side stood for. An empty right side drops a prefix.
public struct WeightRename: Sendable, Hashable {
  /// As it was written.
  public let text: String
  private let from: [Substring]
  private let to: [Substring]

  /// Reads `FROM -> TO`.
  ///
  /// - Throws: an ``LTMError`` where there is no arrow, or the sides' stars differ.
  public init(parsing text: String) throws(LTMError) {
    let sides = text.split(separator: "->", omittingEmptySubsequences: false)
    guard sides.count == 2 else {
      throw LTMError("the rename '\(text)' is not written as 'FROM -> TO'", notes: [Self.example])
    }
    (from, to) = (Self.path(sides[0]), Self.path(sides[1]))
    self.text = text
    guard !from.isEmpty else {
      throw LTMError("the rename '\(text)' says nothing of what is renamed", notes: [Self.example])
    }
    // Each is tried with every number of names.
    guard from.count(where: { $0 == "**" }) <= Self.mostOpenStars else {
      throw LTMError(
        "the rename '\(text)' has more than \(Self.mostOpenStars) '**'", notes: ["a '*' stands for one name"])
    }
    guard Self.stars(from) == Self.stars(to) else {
      throw LTMError(
        "the rename '\(text)' has \(Self.count(from)) on its left side and \(Self.count(to)) on its right",
        notes: ["each star on the right stands for what the one on the left stood for, in the same order"])
    }
  }

  private static let mostOpenStars = 3
  private static let example = "as in --rename 'encoder.layer.*.attention.self.query -> blocks.*.attention.q'"

  private static func path(_ side: Substring) -> [Substring] {
    let text = side.drop { $0 == " " }.reversed().drop { $0 == " " || $0 == "." }.reversed()
    return String(text).split(separator: ".", omittingEmptySubsequences: false).map { $0 }.filter { !$0.isEmpty }
  }

  private static func stars(_ path: [Substring]) -> [Substring] { path.filter { $0 == "*" || $0 == "**" } }

  private static func count(_ path: [Substring]) -> String {
    let count = stars(path).count
    return count == 0 ? "no star" : count == 1 ? "one star" : "\(count) stars"
  }

  /// The new name; `nil` where the rule does not fit.
  public func renamed(_ name: String) -> String? {
    let names = name.split(separator: ".", omittingEmptySubsequences: false)
    guard let (captures, rest) = Self.match(from[...], names[...]) else { return nil }
    var remaining = captures[...]
    let made = to.flatMap { part in part == "*" || part == "**" ? remaining.popFirst() ?? [] : [part] }
    let parts = made + rest
    return parts.isEmpty ? nil : parts.joined(separator: ".")
  }

  /// What each star stands for, and the names behind the path; a `**` takes as few as it can.
  private static func match(
    _ path: ArraySlice<Substring>, _ names: ArraySlice<Substring>
  ) -> (captures: [[Substring]], rest: [Substring])? {
    guard let part = path.first else { return ([], Array(names)) }
    let further = path.dropFirst()
    if part == "**" {
      // At the end it takes all that is left.
      if further.isEmpty { return ([Array(names)], []) }
      for count in 0...names.count {
        if let (captures, rest) = match(further, names.dropFirst(count)) {
          return ([Array(names.prefix(count))] + captures, rest)
        }
      }
      return nil
    }
    guard let name = names.first, part == "*" || part == name,
      let (captures, rest) = match(further, names.dropFirst())
    else { return nil }
    return (part == "*" ? [[name]] + captures : captures, rest)
  }
}

/// How weights are taken from a file.
public struct WeightLoading: Sendable, Hashable {
  /// Applied to each name of the file, one after the other.
  public var renames: [WeightRename]
  /// Whether weights that the file lacks keep their initial values; else they are an error.
  public var isPartial: Bool
  /// Paths, with `*` and `**`, of what the file holds beside the model's weights and need not be warned of.
  public var ignored: [String]

  /// All of the model's weights, under its names.
  public init(renames: [WeightRename] = [], isPartial: Bool = false, ignored: [String] = []) {
    (self.renames, self.isPartial, self.ignored) = (renames, isPartial, ignored)
  }

  func renamed(_ name: String) -> String { renames.reduce(name) { $1.renamed($0) ?? $0 } }

  /// Whether a name is below an ignored path.
  func ignores(_ name: String) -> Bool {
    ignored.contains { pattern in (try? WeightRename(parsing: "\(pattern) -> \(pattern)"))?.renamed(name) != nil }
  }
}
