import LTMIR
import LTMSupport
import LTMSyntax

extension Elaborator {
  /// `require condition`: where it does not hold, the message points at the argument that broke it, in the caller's text.
  /// False where it does not.
  @discardableResult
  func check(_ requirement: Requirement) -> Bool {
    // What stands for any argument is none that a caller gave.
    guard generic == nil, condition(requirement.condition, of: "require") == false else { return true }
    let named = knownValues(in: requirement.condition)
    let place = named.lazy.map(\.value.origin).first(where: isGiven) ?? frame.callSpan ?? requirement.span
    let found = named.map { "\($0.name) is \(shown($0.value))" }.joined(separator: " and ")
    fail(
      "'\(frame.name)' requires \(requirement.condition.span.text)" + (found.isEmpty ? "" : ", and \(found)"),
      at: place,
      labels: place == requirement.span ? [] : [.init(requirement.span, "required here")])
    return false
  }

  /// The numbers and Bools that a condition reads by name, in the order of their first mention.
  private func knownValues(in condition: Expr) -> [(name: String, value: Value)] {
    var seen: Set<String> = []
    return condition.names.compactMap { name in
      guard Names.constants[name] == nil, seen.insert(name).inserted, let value = lookup(name, at: condition.span),
        value.isWeak || value.isText
      else { return nil }
      return (name, value)
    }
  }

  private func shown(_ value: Value) -> String {
    switch value.kind {
    case .integer(let dim): "\(dim)"
    case .boolean(let bool): "\(bool)"
    case .string(let text): "\"\(text)\""
    default: value.number.map { Int(exactly: $0).map(String.init) ?? "\($0)" } ?? describe(value)
    }
  }

  /// Whether a value was written by the caller, not by the declaration that the running code belongs to.
  private func isGiven(_ origin: Span) -> Bool {
    guard let code = frame.function else { return false }
    return origin.file != code.file || origin.start < code.start || origin.start >= code.end
  }
}

extension Value {
  fileprivate var isText: Bool { if case .string = kind { true } else { false } }
}

extension Expr {
  /// The names that it reads, from left to right.
  fileprivate var names: [String] {
    switch kind {
    case .name(let name): [name]
    case .template(let parts): parts.compactMap { part in if case .name(let name) = part { name.text } else { nil } }
    case .integer, .float, .boolean, .string, .invalid: []
    case .list(let items), .tuple(let items): items.flatMap(\.names)
    case .comprehension(let body, variable: _, in: let range): range.names + body.names
    case .collect(let loop): loop.values.names
    case .call(let callee, let arguments): callee.names + arguments.flatMap(\.value.names)
    case .member(let base, _), .pinned(dtype: _, let base), .recompute(let base), .unary(_, let base): base.names
    case .index(let base, _): base.names
    case .binary(_, let left, let right), .range(let left, let right), .pipe(let left, let right):
      left.names + right.names
    case .conditional(let condition, let then, let otherwise): condition.names + then.names + otherwise.names
    }
  }
}
