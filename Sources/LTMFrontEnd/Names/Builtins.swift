import LTMIR
import LTMSyntax

/// What the language knows by name beside the ops: arithmetic on `Int`s, shapes that need more than one op, initializers.
enum Builtin: String, Sendable, CaseIterable {
  // On compile-time values
  case div, mod, int, count, range
  // What has a computed name
  case member
  case min, max
  // On tensors
  case permute, transpose, flatten, squeeze, unsqueeze, split, unstack, stack, full, einsum
  // What loops run over
  case along, reversed
  // Initial values of `param` and `state`
  case zeros, ones, constant, uniform, normal
  case zerosLike = "zeros_like"
  case kaimingUniform = "kaiming_uniform"
  case xavierUniform = "xavier_uniform"

  var isInitializer: Bool {
    switch self {
    case .zeros, .ones, .constant, .uniform, .normal, .zerosLike, .kaimingUniform, .xavierUniform: true
    case .div, .mod, .int, .count, .range, .member, .min, .max, .permute, .transpose, .flatten, .squeeze, .unsqueeze,
      .split, .unstack, .stack, .full, .einsum, .along, .reversed:
      false
    }
  }
}

extension Builtin {
  /// The op of the same name that draws random numbers.
  var draw: Op? { self == .uniform ? .uniform : self == .normal ? .normal : nil }

  /// The op meant by a name that is both, when a tensor is among the arguments.
  func op(for arguments: [Given]) -> Op? {
    let tensors = arguments.filter(\.value.isTensor).count
    guard tensors > 0 else { return nil }
    switch self {
    case .div: return .div
    case .min:
      return arguments.count == 2 && arguments[1].name == nil && (tensors == 2 || !arguments[0].value.isTensor)
        ? .minimum : .min
    case .max:
      return arguments.count == 2 && arguments[1].name == nil && (tensors == 2 || !arguments[0].value.isTensor)
        ? .maximum : .max
    case .mod, .int, .count, .range, .member, .permute, .transpose, .flatten, .squeeze, .unsqueeze, .split, .unstack,
      .stack,
      .full, .einsum, .along, .reversed,
      .zeros, .ones, .constant, .uniform, .normal, .zerosLike, .kaimingUniform, .xavierUniform:
      return nil
    }
  }
}

/// The names that no declaration gives: ops, built-ins, dtypes, constants.
enum Names {
  /// `inf`, `nan`, `pi`
  static let constants: [String: Double] = ["inf": .infinity, "nan": .nan, "pi": .pi]

  /// Known only where a function is elaborated.
  static let training = "training"

  /// What a parameter can be declared as, beside tensors and layers.
  static let types = TypeExpr.valueTypes

  /// The ops that `.ltm` can call.
  static let ops: [String: Op] = Dictionary(
    uniqueKeysWithValues: Op.allCases.filter(\.definition.isCallable).map { ($0.name, $0) })

  /// Everything, for resolution and suggestions.
  static let all: Set<String> =
    Set(ops.keys).union(Builtin.allCases.map(\.rawValue)).union(constants.keys).union(DType.allCases.map(\.rawValue))

  /// The value of a built-in name; built-ins come before the ops that they widen.
  static func kind(_ name: String) -> Value.Kind? {
    if let number = constants[name] { return .float(number) }
    if let builtin = Builtin(rawValue: name) { return .builtin(builtin) }
    if let op = ops[name] { return .op(op) }
    return DType(rawValue: name).map { .dtype($0) }
  }

  /// Whether a name can be a symbolic dimension.
  static func isSymbol(_ name: String) -> Bool { name.first?.isUppercase ?? false }
}
