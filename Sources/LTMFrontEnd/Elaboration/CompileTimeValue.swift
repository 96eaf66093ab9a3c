import LTMIR
import LTMSupport
import LTMSyntax

/// A compile-time value given from outside: a flag, or Swift.
package enum CompileTimeValue: Hashable, Sendable, CustomStringConvertible {
  case int(Int)
  case float(Double)
  case bool(Bool)
  /// A String, or a function by its name, as the parameter's type says.
  case string(String)
  case list([CompileTimeValue])
  case tuple([CompileTimeValue])

  /// Reads `64`, `1e-3`, `true`, `same`, `"same"`, `[784, 128]`, `(2, 2)`.
  package init?(_ text: String) {
    var reader = CompileTimeReader(rest: text[...])
    guard let value = reader.value(depth: 0), reader.isAtEnd else { return nil }
    self = value
  }

  package var description: String {
    switch self {
    case .int(let value): "\(value)"
    case .float(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let value): value
    case .list(let items): "[\(items.map(\.description).joined(separator: ", "))]"
    case .tuple(let items): "(\(items.map(\.description).joined(separator: ", ")))"
    }
  }

  /// As a value that was made at a place.
  func value(at span: Span) -> Value {
    switch self {
    case .int(let value): Value(.integer(Dim(value)), span)
    case .float(let value): Value(.float(value), span)
    case .bool(let value): Value(.boolean(value), span)
    case .string(let value): Value(.string(value), span)
    case .list(let items): Value(.list(items.map { $0.value(at: span) }), span)
    case .tuple(let items): Value(.tuple(items.map { $0.value(at: span) }), span)
    }
  }

  /// The value as one that can be given from outside; `nil` where it is none.
  init?(_ value: Value) {
    switch value.kind {
    case .integer(let dim):
      guard let number = dim.constant else { return nil }
      self = .int(number)
    case .float(let number): self = .float(number)
    case .boolean(let bool): self = .bool(bool)
    case .string(let text): self = .string(text)
    case .function(let function): self = .string(function.declaration.name.text)
    case .op(let op): self = .string(op.name)
    case .builtin(let builtin): self = .string(builtin.rawValue)
    case .list(let items):
      guard let values = Self.values(items) else { return nil }
      self = .list(values)
    case .tuple(let items):
      guard let values = Self.values(items) else { return nil }
      self = .tuple(values)
    default: return nil
    }
  }

  private static func values(_ items: [Value]) -> [CompileTimeValue]? {
    let values = items.compactMap { CompileTimeValue($0) }
    return values.count == items.count ? values : nil
  }
}

/// Reads a value as it is written in a flag.
private struct CompileTimeReader {
  var rest: Substring
  private static let depthLimit = 16

  init(rest: Substring) { self.rest = rest }

  var isAtEnd: Bool { rest.allSatisfy { $0 == " " } }

  mutating func value(depth: Int) -> CompileTimeValue? {
    skipBlanks()
    guard let first = rest.first, depth < Self.depthLimit else { return nil }
    switch first {
    case "[": return sequence("]", depth).flatMap { $0.isEmpty ? nil : .list($0) }
    case "(": return sequence(")", depth).flatMap { $0.count < 2 ? nil : .tuple($0) }
    case "\"":
      guard let end = rest.dropFirst().firstIndex(of: "\"") else { return nil }
      let text = rest[rest.index(after: rest.startIndex)..<end]
      rest = rest[rest.index(after: end)...]
      return .string(String(text))
    default: return word(isAlone: depth == 0)
    }
  }

  private mutating func sequence(_ close: Character, _ depth: Int) -> [CompileTimeValue]? {
    var items: [CompileTimeValue] = []
    rest.removeFirst()
    while true {
      skipBlanks()
      if accept(close) { return items }
      guard let item = value(depth: depth + 1) else { return nil }
      items.append(item)
      skipBlanks()
      if accept(close) { return items }
      guard accept(",") else { return nil }
    }
  }

  /// A number, a Bool or a name; alone it is all of the text.
  private mutating func word(isAlone: Bool) -> CompileTimeValue? {
    let text = isAlone ? rest : rest.prefix { !"[](),\"".contains($0) }
    rest = rest.dropFirst(text.count)
    let word = String(text.reversed().drop { $0 == " " }.reversed())
    if word.isEmpty { return nil }
    if let value = Int(word) { return .int(value) }
    if let value = Double(word) { return .float(value) }
    return Bool(word).map { .bool($0) } ?? .string(word)
  }

  private mutating func skipBlanks() { rest = rest.drop { $0 == " " } }

  private mutating func accept(_ character: Character) -> Bool {
    guard rest.first == character else { return false }
    rest.removeFirst()
    return true
  }
}

extension Elaborator {
  /// A value from outside for a parameter: where it takes a function, a name means one.
  func outside(_ value: CompileTimeValue, for parameter: Parameter?, in module: Int, at span: Span) -> Value {
    within(Frame(name: parameter?.name.text ?? "", module: module)) {
      named(value.value(at: span), parameter?.type)
    }
  }

  private func named(_ value: Value, _ type: TypeExpr?) -> Value {
    switch (type, value.kind) {
    case (.function?, .string(let name)): return callable(name, at: value.origin)
    case (.named(let layer)?, .string(let name)) where layer.text == "Layer": return callable(name, at: value.origin)
    case (.list(let element, _)?, .list(let items)):
      return Value(.list(items.map { named($0, element) }), value.origin)
    case (.tuple(let types, _)?, .tuple(let items)) where types.count == items.count:
      return Value(.tuple(zip(items, types).map { named($0, $1) }), value.origin)
    default: return value
    }
  }

  private func callable(_ name: String, at span: Span) -> Value {
    if let value = lookup(name, at: span) { return value }
    let names = file.visibleNames(in: frame.module) + Array(Names.all)
    let near = suggestion(for: name, among: names)
    return fail(
      "'\(frame.name)': there is no function '\(name)'", at: span, notes: near.map { ["did you mean '\($0)'?"] } ?? [])
  }
}
