import LTMIR
import LTMSupport
import LTMSyntax

/// What an initial value is for.
struct InitializedStorage {
  var shape: [Int]
  var dtype: DType
}

extension Elaborator {
  /// How a `param` or a `state` begins; `nil` after an error.
  func initializer(_ expr: Expr, for storage: InitializedStorage) -> Initializer? {
    let saved = initialized
    initialized = storage
    defer { initialized = saved }
    let value = evaluate(expr)
    switch value.kind {
    case .initializer(let initializer): return fits(initializer, storage.dtype, at: expr.span) ? initializer : nil
    case .boolean(let bool) where storage.dtype == .bool: return .constant(bool ? 1 : 0)
    case .poison: return nil
    default:
      if let constant = constant(value, at: expr.span) {
        return fits(constant, storage.dtype, at: expr.span) ? constant : nil
      }
      fail(
        "an initial value is zeros(), ones(), constant(v), uniform(bound), normal(std), kaiming_uniform() or xavier_uniform(), "
          + "and this is \(describe(value))", at: expr.span)
      return nil
    }
  }

  /// Whether a dtype holds what an initializer makes: as strict as a literal beside a tensor of it.
  private func fits(_ initializer: Initializer, _ dtype: DType, at span: Span) -> Bool {
    switch initializer {
    case .constant(let number): return fits(number, dtype, at: span)
    case .uniform, .normal:
      if dtype.isFloating { return true }
      fail("random initial values are floats, and this is \(dtype)", at: span, notes: ["constant(v) is one for it"])
      return false
    }
  }

  /// Whether a dtype holds a number; one that it rounds to 0 is a warning.
  func fits(_ number: Double, _ dtype: DType, at span: Span) -> Bool {
    if dtype.isFloating, number != 0, dtype.round(number) == 0 {
      diagnostics.add(Diagnostic(.warning, "\(Self.text(number)) is 0 in \(dtype)", at: span))
    }
    if dtype.holds(number) { return true }
    let end = dtype.isFloating ? ", whose largest number is \(Self.text(dtype.greatestFinite))" : ""
    fail("\(Self.text(number)) does not fit \(dtype)\(end)", at: span)
    return false
  }

  private static func text(_ number: Double) -> String { Int(exactly: number).map { "\($0)" } ?? "\(number)" }

  // MARK: Calls

  /// A call of an initializer.
  func initializer(_ builtin: Builtin, _ given: [Given], _ span: Span) -> Value {
    guard let shape = initialized?.shape else {
      return fail(
        "'\(builtin.rawValue)' is an initial value: it stands after 'param' or 'state'", at: span,
        notes: ["full(shape, value) makes a tensor"])
    }
    switch builtin {
    case .zerosLike:
      if case .tensor(let id) = given[0].value.kind { likeShape = builder.type(id).shape }
      return Value(.initializer(.constant(0)), span)
    case .zeros: return Value(.initializer(.constant(0)), span)
    case .ones: return Value(.initializer(.constant(1)), span)
    case .constant:
      guard let constant = constant(given[0].value, at: given[0].span) else { return notANumber(given[0]) }
      return Value(.initializer(constant), span)
    case .uniform: return spread(given[0], "the bound", span) { .uniform(bound: $0) }
    case .normal: return spread(given[0], "the standard deviation", span) { .normal(standardDeviation: $0) }
    case .kaimingUniform: return fans(shape, span) { fanIn, _ in 1 / fanIn.squareRoot() }
    case .xavierUniform: return fans(shape, span) { fanIn, fanOut in (6 / (fanIn + fanOut)).squareRoot() }
    case .div, .mod, .int, .count, .range, .member, .min, .max, .permute, .transpose, .flatten, .squeeze, .unsqueeze,
      .split, .unstack, .stack, .full, .einsum, .along, .reversed:
      internalFailure("elaboration", "'\(builtin.rawValue)' is no initializer")
    }
  }

  /// A number as an initializer, which keeps it as a Float; `nil` where the value is none.
  private func constant(_ value: Value, at span: Span) -> Initializer? {
    guard let number = value.number else { return nil }
    if let int = value.constantInteger, initialized?.dtype.isFloating == false, Int(exactly: number) != int {
      fail("an initial value has 53 bits, and \(int) needs more", at: span)
    }
    return .constant(number)
  }

  private func notANumber(_ given: Given) -> Value {
    fail("a number is needed here, and this is \(describe(given.value))", at: given.span)
  }

  /// An initializer that is as wide as a number says.
  private func spread(_ given: Given, _ what: String, _ span: Span, _ make: (Double) -> Initializer) -> Value {
    guard let number = given.value.number else { return notANumber(given) }
    guard number >= 0, number.isFinite else {
      return fail("\(what) is a finite number of 0 or more, and this is \(describe(given.value))", at: given.span)
    }
    return Value(.initializer(make(number)), span)
  }

  /// A uniform bound from the number of inputs and outputs of a weight `[outputs, inputs, ...]`.
  private func fans(_ shape: [Int], _ span: Span, _ bound: (Double, Double) -> Double) -> Value {
    guard shape.count >= 2 else {
      return fail("this initial value needs a weight of two dimensions or more, [outputs, inputs]", at: span)
    }
    let field = shape[2...].reduce(1.0) { $0 * Double($1) }
    return Value(.initializer(.uniform(bound: bound(Double(shape[1]) * field, Double(shape[0]) * field))), span)
  }
}
