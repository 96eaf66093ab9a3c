import LTMIR
import OpCases
import Testing

/// An op with operands, in one dtype.
struct TextCase: Sendable, CustomTestStringConvertible {
  let number: Int
  let opCase: OpCase
  let dtype: DType

  /// No two are alike.
  var name: String { "\(number) \(opCase) \(dtype)" }
  var testDescription: String { name }

  /// The inputs `x0`, `x1`, ... and the op applied to them.
  func graph() throws -> Graph {
    var (b, _, value) = try opCase.builder(dtype)
    b.output("value", value)
    return b.graph
  }
}

/// The cases that every suite shares, in every dtype that each takes; and what is particular to a text for other compilers:
/// numbers at the edges, and casts from every dtype to every other.
let textCases = numbered(sharedCases + edgeCases + castCases)

/// The last two: what the conformance suite has not.
let particularCases = numbered(edgeCases + castCases)

private typealias Typed = (opCase: OpCase, dtype: DType)

private func numbered(_ cases: [Typed]) -> [TextCase] {
  cases.enumerated().map { TextCase(number: $0, opCase: $1.opCase, dtype: $1.dtype) }
}

private let floats: [DType] = [.f32, .f16, .bf16, .f64]

private let sharedCases: [Typed] = opCases.flatMap { opCase -> [Typed] in
  guard opCase.operands.contains(where: { $0.fill.dtype == nil }) else { return [(opCase, .f32)] }
  return (floats + [.i32, .i64, .u8, .bool]).filter { dtype in
    let isBanned = opCase.op.definition.precision == .banned && dtype.isHalf
    return !isBanned && (try? opCase.builder(dtype)) != nil
  }.map { (opCase, $0) }
}

private let edges = Fill.values([-0.0, .infinity, -.infinity, .nan, 1.5, -2])
private let others = Fill.values([.nan, 1, -.infinity, 2, .nan, -2])
private let along: Attributes = ["axis": .int(0), "keep": .bool(false)]

private let edgeCases: [Typed] = floats.flatMap { dtype -> [Typed] in
  let unary: [OpCase] = [Op.neg, .abs, .erf, .tanh, .isFinite, .floor, .sign, .relu].map { OpCase($0, [([6], edges)]) }
  let order = [false, true].map { OpCase(.argsort, [([6], others)], ["axis": .int(0), "descending": .bool($0)]) }
  let binary: [OpCase] = [Op.minimum, .maximum, .equal, .notEqual, .less, .greaterEqual].map {
    OpCase($0, [([6], edges), ([6], others)])
  }
  let reductions: [OpCase] = [Op.max, .min, .sum].map {
    OpCase($0, [([6], edges)], ["axes": .ints([0]), "keep": .bool(false)])
  }
  let indices: [OpCase] = [
    OpCase(.argmax, [([5], .values([1, 3, 3, 2, 3]))], along),
    OpCase(.argmin, [([5], .values([1, .nan, 0, .nan, 3]))], along),
    OpCase(.argmax, [([3], .values([-.infinity, -.infinity, -.infinity]))], along),
  ]
  let empty = OpCase(.sum, [([2, 2], .uniform(-2, 2))], ["axes": .ints([]), "keep": .bool(false)])
  let tails = OpCase(.erf, [([6], .values([3.2, -3.6, 4.5, -7, 2.9, 1e-4]))])
  return (unary + order + binary + reductions + indices + [empty, tails]).map { ($0, dtype) }
}

/// Ties, subnormals of the target, its overflow; integers within what both hold.
private let castCases: [Typed] = DType.allCases.filter { $0 != .float }.flatMap { from -> [Typed] in
  let numbers: [Double] =
    from.isFloating
    ? [0, -0.0, 1, -1, 0.1, 1.0009765625, 1.00146484375, 65519, 65520, 1e-3, 3e-5, 250.7, .infinity, -.infinity]
    : from == .bool ? [0, 1] : from == .u8 ? [0, 1, 255] : [0, 1, -1, 300, -300, 70000]
  return DType.allCases.filter { $0 != .float && $0 != from }.map { to in
    // What lies beyond an integer is left to the target.
    let kept =
      to.isFloating || to == .bool
      ? numbers : from.isFloating ? numbers.filter { abs($0) < 256 && ($0 >= 0 || to != .u8) } : numbers
    return (OpCase(.cast, [([kept.count], .values(kept))], ["dtype": .dtype(to)]), from)
  }
}
