import LTMIR
import LTMSupport
import LTMSyntax

// The types of what is known when code is elaborated: numbers, strings, layers, functions, lists and tuples of them.

extension Elaborator {
  /// A value for a parameter that is known at compile time; `nil` after an error.
  func compileTime(_ value: Value, _ parameter: Parameter, _ span: Span, allowsSymbols: Bool) -> Value? {
    guard let type = parameter.type, !type.isTensor else { return value }
    if let value = compileTime(value, type, allowsSymbols: allowsSymbols) { return value }
    if value.isPoison { return nil }
    fail(
      "'\(parameter.name.text)' is \(Self.words(type)), and this is \(described(value, type))", at: span,
      labels: [.init(parameter.span, "declared here")], notes: formNotes(value, type),
      fixIt: functionName(value, type).map { .init(span, $0) })
    return nil
  }

  /// The value as one of that type; `nil` where it is none.
  func compileTime(_ value: Value, _ type: TypeExpr, allowsSymbols: Bool) -> Value? {
    switch (type, value.kind) {
    case (.named(let name), _): return compileTime(value, name, allowsSymbols: allowsSymbols)
    case (.function, .function), (.function, .op), (.function, .builtin): return value
    case (.list(let element, _), .list(let items)):
      return converted(items, items.map { _ in element }, allowsSymbols).map { Value(.list($0), value.origin) }
    case (.tuple(let types, _), .tuple(let items)) where types.count == items.count:
      return converted(items, types, allowsSymbols).map { Value(.tuple($0), value.origin) }
    // One Int for all of them: the sizes of a square.
    case (.tuple(let types, _), .integer):
      return converted(types.map { _ in value }, types, allowsSymbols).map { Value(.tuple($0), value.origin) }
    case (.tensor, _), (.function, _), (.list, _), (.tuple, _): return nil
    }
  }

  private func converted(_ items: [Value], _ types: [TypeExpr], _ allowsSymbols: Bool) -> [Value]? {
    let values = zip(items, types).compactMap { item, type in
      item.isPoison ? item : compileTime(item, type, allowsSymbols: allowsSymbols)
    }
    return values.count == items.count ? values : nil
  }

  private func compileTime(_ value: Value, _ type: Identifier, allowsSymbols: Bool) -> Value? {
    switch (type.text, value.kind) {
    case ("Int", .integer(let dim)): return allowsSymbols || dim.constant != nil || isUnknown(dim) ? value : nil
    case ("Float", .float), ("Bool", .boolean), ("String", .string), ("DType", .dtype): return value
    case ("Float", .integer(let dim)) where isUnknown(dim): return Value(.poison, value.origin)
    case ("Float", .integer(let dim)): return dim.constant.map { Value(.float(Double($0)), value.origin) }
    case ("Layer", _): return value.isCallable ? value : nil
    case ("Padding", .integer), ("Padding", .string("same")), ("Padding", .string("valid")): return value
    case ("Padding", .tuple(let items)), ("Padding", .list(let items)):
      return items.allSatisfy { $0.constantInteger != nil || $0.isPoison } ? value : nil
    case (_, .instance(let id)): return world[id].type.declaration.name.text == type.text ? value : nil
    default: return nil
    }
  }

  // MARK: Words

  /// `an Int`, `a list [Int]`
  static func words(_ type: TypeExpr) -> String {
    switch type {
    case .named(let name):
      switch name.text {
      case "Int": "an Int"
      case "Layer": "a layer or a function"
      case "Padding": "an Int, a tuple of Ints, \"same\" or \"valid\""
      case "Float", "Bool", "String", "DType": "a \(name.text)"
      default: "a layer '\(name.text)'"
      }
    case .function: "a function"
    case .list: "a list \(text(type))"
    case .tuple: "a tuple \(text(type))"
    case .tensor: "a tensor"
    }
  }

  private static func text(_ type: TypeExpr) -> String {
    switch type {
    case .named(let name): name.text
    case .function: "func"
    case .list(let element, _): "[\(text(element))]"
    case .tuple(let types, _): "(\(types.map(text).joined(separator: ", ")))"
    case .tensor(_, _, let span): span.text
    }
  }

  /// The value in a few words; of a list of the wrong elements, with the first that is wrong.
  private func described(_ value: Value, _ type: TypeExpr) -> String {
    let types: [TypeExpr]
    switch (type, value.kind) {
    case (.list(let element, _), .list(let items)): types = items.map { _ in element }
    case (.tuple(let elements, _), .tuple(let items)) where elements.count == items.count: types = elements
    default: return describe(value)
    }
    for (index, (item, type)) in zip(value.items, types).enumerated()
    where compileTime(item, type, allowsSymbols: true) == nil {
      return "\(describe(value)), whose element \(index) is \(described(item, type))"
    }
    return describe(value)
  }

  private func formNotes(_ value: Value, _ type: TypeExpr) -> [String] {
    switch (type, value.kind) {
    case (.list, .list), (.tuple, .tuple): []
    case (.list, .tuple): ["a list is written in brackets: [2, 2]"]
    case (.tuple, .list): ["a tuple is written in parentheses: (2, 2)"]
    case (.list, _): ["a list is written [64, 128], and with one element [64]"]
    case (.tuple(let types, _), _):
      ["a tuple of \(types.count) is written (\(types.map { _ in "2" }.joined(separator: ", ")))"]
    case (.function, .instance): ["a layer is taken by a parameter of type Layer"]
    case (.function, .string): ["a function is given by its name, without quotes"]
    case (.named(let name), .function) where name.text == "String": ["a String stands in double quotes"]
    default: []
    }
  }

  /// The name that a String means where a function is wanted.
  private func functionName(_ value: Value, _ type: TypeExpr) -> String? {
    guard case (.function, .string(let name)) = (type, value.kind), value.origin.text == "\"\(name)\"",
      lookup(name, at: value.origin)?.isCallable ?? false
    else { return nil }
    return name
  }
}

extension TypeExpr {
  var isTensor: Bool { if case .tensor = self { true } else { false } }
}
