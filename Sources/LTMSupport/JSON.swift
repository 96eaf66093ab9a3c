/// A JSON value. Objects keep the order of their members, so that what we print reads as we wrote it.
package enum JSON: Hashable, Sendable {
  case null
  case bool(Bool)
  /// A number written without fraction or exponent that fits: exact.
  case int(Int)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  /// A key with its value.
  package struct Member: Hashable, Sendable {
    /// The key.
    package let key: String
    /// The value.
    package let value: JSON
    /// A key with its value.
    package init(_ key: String, _ value: JSON) {
      self.key = key
      self.value = value
    }
  }

  /// The value under `key` of an object.
  package subscript(key: String) -> JSON? {
    if case .object(let members) = self { members.first { $0.key == key }?.value } else { nil }
  }

  /// The element at `index` of an array; `nil` past its end.
  package subscript(index: Int) -> JSON? {
    if case .array(let elements) = self, elements.indices.contains(index) { elements[index] } else { nil }
  }

  /// The integer this is.
  package var intValue: Int? { if case .int(let value) = self { value } else { nil } }
  /// The string this is.
  package var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  /// The bool this is.
  package var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The elements, when this is an array.
  package var elements: [JSON]? { if case .array(let value) = self { value } else { nil } }
  /// The members, when this is an object.
  package var members: [Member]? { if case .object(let value) = self { value } else { nil } }
  /// The number this is, integers included.
  package var doubleValue: Double? {
    switch self {
    case .int(let value): Double(value)
    case .number(let value): value
    case .null, .bool, .string, .array, .object: nil
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .int(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral elements: JSON...) { self = .array(elements) }
  package init(nilLiteral: ()) { self = .null }
  package init(dictionaryLiteral elements: (String, JSON)...) { self = .object(elements.map { Member($0.0, $0.1) }) }
}

extension JSON: CustomStringConvertible {
  /// On one line.
  package var description: String { text() }

  /// The value as text: on one line, or with `indent` spaces a level. JSON has no NaN and no infinity: they are `null`.
  package func text(indent: Int? = nil, sortedKeys: Bool = false) -> String {
    var text = ""
    print(into: &text, Layout(indent: indent, sortedKeys: sortedKeys), level: 0)
    return text
  }

  private struct Layout {
    let indent: Int?
    let sortedKeys: Bool

    func newline(_ level: Int) -> String { indent.map { "\n" + String(repeating: " ", count: $0 * level) } ?? "" }
  }

  private func print(into text: inout String, _ layout: Layout, level: Int) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .int(let value): text += String(value)
    case .number(let value): text += value.isFinite ? "\(value)" : "null"
    case .string(let value): Self.quote(value, into: &text)
    case .array(let elements):
      Self.list(elements, "[", "]", into: &text, layout, level) { $0.print(into: &$1, layout, level: level + 1) }
    case .object(let members):
      let ordered = layout.sortedKeys ? members.sorted { $0.key < $1.key } : members
      Self.list(ordered, "{", "}", into: &text, layout, level) { member, text in
        Self.quote(member.key, into: &text)
        text += layout.indent == nil ? ":" : ": "
        member.value.print(into: &text, layout, level: level + 1)
      }
    }
  }

  private static func list<T>(
    _ items: [T], _ open: String, _ close: String, into text: inout String, _ layout: Layout, _ level: Int,
    _ item: (T, inout String) -> Void
  ) {
    text += open
    for (index, element) in items.enumerated() {
      text += (index == 0 ? "" : ",") + layout.newline(level + 1)
      item(element, &text)
    }
    text += (items.isEmpty ? "" : layout.newline(level)) + close
  }

  private static func quote(_ string: String, into text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\t": text += "\\t"
      case "\r": text += "\\r"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      case _: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
