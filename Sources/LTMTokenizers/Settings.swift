import LTMSupport

/// A part of a `tokenizer.json`, with its path in the file for messages.
struct Settings {
  let value: JSON
  /// Members from the root, as in `model.vocab`.
  let path: String
  let file: String

  /// What is wrong with this part.
  func error(_ problem: String, remedy: String? = nil) -> Diagnostic {
    Diagnostic(
      .error, "\(file): \(path.isEmpty ? "it" : "'\(path)'") \(problem)", notes: remedy.map { [$0] } ?? [])
  }

  /// The member `key`; `nil` where it is absent or null.
  subscript(key: String) -> Settings? {
    guard let member = value[key], member != .null else { return nil }
    return Settings(value: member, path: path.isEmpty ? key : "\(path).\(key)", file: file)
  }

  /// The member `key`, which must be there.
  func required(_ key: String) throws(Diagnostic) -> Settings {
    guard let member = self[key] else { throw error("has no '\(key)'") }
    return member
  }

  /// The word under `type`, which says what kind of step this is; a model of older files has none.
  func type() throws(Diagnostic) -> String { try required("type").string() }

  func string() throws(Diagnostic) -> String {
    guard let text = value.stringValue else { throw error("is no string") }
    return text
  }

  func scalars() throws(Diagnostic) -> [Unicode.Scalar] { Array(try string().unicodeScalars) }

  func bool(_ key: String, or fallback: Bool) throws(Diagnostic) -> Bool {
    guard let member = self[key] else { return fallback }
    guard let value = member.value.boolValue else { throw member.error("is neither true nor false") }
    return value
  }

  /// An integer within a range.
  func integer(_ range: ClosedRange<Int>) throws(Diagnostic) -> Int {
    guard let number = value.intValue else { throw error("is no integer") }
    guard range.contains(number) else {
      throw error("is \(number), which is not from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func integer(_ key: String, _ range: ClosedRange<Int>, or fallback: Int) throws(Diagnostic) -> Int {
    guard let member = self[key] else { return fallback }
    return try member.integer(range)
  }

  /// The number of a token.
  func tokenID() throws(Diagnostic) -> Int { try integer(0...TokenTable.largestID) }

  /// The elements of a list.
  func elements() throws(Diagnostic) -> [Settings] {
    guard let elements = value.elements else { throw error("is no list") }
    return elements.enumerated().map { Settings(value: $1, path: "\(path)[\($0)]", file: file) }
  }

  /// The one scalar of a string.
  func scalar() throws(Diagnostic) -> Unicode.Scalar {
    let text = try scalars()
    guard text.count == 1 else { throw error("is not one character") }
    return text[0]
  }

  /// A step that the package knows and we do not, or that nobody does.
  func unknown(_ kind: String, _ name: String, known: [String]) -> Diagnostic {
    error("asks for the \(kind) '\(name)', which ltm does not have", remedy: "it has \(known.joined(separator: ", "))")
  }
}
