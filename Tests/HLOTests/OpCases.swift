import LTMIR
import LTMSupport
import Testing

/// Numbers that depend on nothing but a seed.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// How a case fills an operand, and what that says of its dtype.
enum Fill: Sendable {
  /// Of the case's dtype.
  case range(Double, Double), values([Double])
  /// Whole numbers of a dtype of their own.
  case whole(DType, ClosedRange<Int>)
  /// Values of a dtype of their own.
  case given(DType, [Double])

  var dtype: DType? {
    switch self {
    case .range, .values: nil
    case .whole(let dtype, _), .given(let dtype, _): dtype
    }
  }

  func numbers(_ count: Int, _ random: inout SplitMix) -> [Double] {
    switch self {
    case .range(let low, let high): (0..<count).map { _ in Double.random(in: low..<high, using: &random) }
    case .whole(_, let range): (0..<count).map { _ in Double(Int.random(in: range, using: &random)) }
    case .values(let values), .given(_, let values): values
    }
  }

  static let bools = Fill.whole(.bool, 0...1)
}

/// An op, or a formula of ops, with operands, for one dtype.
struct OpCase: Sendable, CustomTestStringConvertible {
  let name: String
  let dtype: DType
  let op: Op
  let operands: [(shape: [Int], fill: Fill)]
  let attributes: Attributes

  var testDescription: String { name }

  /// The inputs `x0`, `x1`, ... and the op applied to them.
  func graph() throws -> Graph {
    var b = GraphBuilder(name: "case")
    let inputs = operands.enumerated().map { index, operand in
      b.input("x\(index)", TensorType(operand.fill.dtype ?? dtype, operand.shape.map { Dim($0) }), role: .argument)
    }
    b.output("value", try b.apply(op, inputs, attributes))
    return b.graph
  }

  func tensors() -> [String: Tensor] {
    var random = SplitMix(state: 3)
    var tensors: [String: Tensor] = [:]
    for (index, operand) in operands.enumerated() {
      let numbers = operand.fill.numbers(operand.shape.reduce(1, *), &random)
      tensors["x\(index)"] = Tensor(numbers, shape: operand.shape, dtype: operand.fill.dtype ?? dtype)
    }
    return tensors
  }
}

/// Every op that `decompose` leaves, and the composites that use them in ways of their own.
let opCases: [OpCase] = floatCases + exactCases + castCases

private typealias Row = (op: Op, operands: [([Int], Fill)], attributes: Attributes)

private func cases(_ rows: [Row], _ dtypes: [DType]) -> [OpCase] {
  dtypes.flatMap { dtype in
    rows.enumerated().map { index, row in
      OpCase(
        name: "\(row.op.name)-\(index) \(dtype)", dtype: dtype, op: row.op,
        operands: row.operands.map { (shape: $0.0, fill: $0.1) }, attributes: row.attributes)
    }
  }
}

private let any = Fill.range(-2, 2)
private let positive = Fill.range(0.3, 2)
private let edges = Fill.values([-0.0, .infinity, -.infinity, .nan, 1.5, -2])

private let floatCases = cases(
  elementwiseRows + shapeRows + reductionRows + contractionRows + compositeRows, [.f32, .f16, .bf16, .f64])

private let elementwiseRows: [Row] =
  [Op.neg, .abs, .exp, .expm1, .sin, .cos, .tanh, .erf, .floor, .ceil, .round, .isFinite].map {
    ($0, [([2, 3], any)], [:])
  } + [Op.log, .log1p, .sqrt].map { ($0, [([2, 3], positive)], [:]) }
  + [Op.neg, .abs, .erf, .tanh, .isFinite, .floor, .sign, .relu].map { ($0, [([6], edges)], [:]) }
  + [Op.add, .sub, .mul, .minimum, .maximum, .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual].map {
    ($0, [([2, 3], any), ([2, 3], any)], [:])
  }
  + [Op.minimum, .maximum, .equal, .notEqual, .less, .greaterEqual].map {
    ($0, [([6], edges), ([6], .values([.nan, 1, -.infinity, 2, .nan, -2]))], [:])
  } + [
    (.div, [([2, 3], any), ([2, 3], positive)], [:]), (.pow, [([2, 3], positive), ([2, 3], any)], [:]),
    (.where, [([2, 3], .bools), ([2, 3], any), ([2, 3], any)], [:]),
  ]

private let shapeRows: [Row] = [
  (.allReduce, [([2, 3], any)], ["replicas": .int(1), "first": .bool(false)]),
  (.broadcast, [([3], any)], ["shape": .dims([2, 3]), "axes": .ints([1])]),
  (.broadcast, [([2, 1], any)], ["shape": .dims([2, 4, 3]), "axes": .ints([0, 2])]),
  (.broadcast, [([], any)], ["shape": .dims([2, 2]), "axes": .ints([])]),
  (.reshape, [([2, 6], any)], ["shape": .dims([3, 4])]),
  (.transpose, [([2, 3, 4], any)], ["permutation": .ints([2, 0, 1])]),
  (.slice, [([2, 7], any)], ["axis": .int(1), "start": .dim(1), "limit": .dim(7), "stride": .int(3)]),
  (.concat, [([1, 2], any), ([2, 2], any), ([3, 2], any)], ["axis": .int(0)]),
  (.pad, [([2, 3], any)], ["axis": .int(1), "low": .int(1), "high": .int(2), "value": .float(0.5)]),
  (.gather, [([4, 3], any), ([2, 2], .whole(.i32, -2...6))], ["axis": .int(0)]),
  (.gather, [([2, 5, 2], any), ([3], .whole(.i64, 0...4))], ["axis": .int(1)]),
  (.scatterAdd, [([4, 3], any), ([5], .whole(.i32, -1...5)), ([5, 3], any)], ["axis": .int(0)]),
  (.scatterAdd, [([2, 4], any), ([2, 2], .whole(.i32, 0...3)), ([2, 2, 2], any)], ["axis": .int(1)]),
]

private let reductionRows: [Row] =
  [Op.sum, .max, .min, .prod, .mean, .logsumexp].flatMap { op -> [Row] in
    [
      (op, [([3, 4], any)], ["axes": .ints([1]), "keep": .bool(false)]),
      (op, [([2, 3, 4], any)], ["axes": .ints([0, 2]), "keep": .bool(true)]),
      (op, [([2, 3], any)], ["axes": .ints([0, 1]), "keep": .bool(false)]),
    ]
  } + [Op.max, .min, .sum].map { ($0, [([6], edges)], ["axes": .ints([0]), "keep": .bool(false)]) } + [
    (.sum, [([2, 2], any)], ["axes": .ints([]), "keep": .bool(false)]),
    (.argmax, [([3, 4], any)], ["axis": .int(1), "keep": .bool(false)]),
    (.argmin, [([3, 4], any)], ["axis": .int(0), "keep": .bool(true)]),
    (.argmax, [([5], .values([1, 3, 3, 2, 3]))], ["axis": .int(0), "keep": .bool(false)]),
    (.argmin, [([5], .values([1, .nan, 0, .nan, 3]))], ["axis": .int(0), "keep": .bool(false)]),
    (.argmax, [([3], .values([-.infinity, -.infinity, -.infinity]))], ["axis": .int(0), "keep": .bool(false)]),
  ]

private func pairing(_ lhs: [Int], _ rhs: [Int], batch: ([Int], [Int]) = ([], [])) -> Attributes {
  ["lhs_batch": .ints(batch.0), "rhs_batch": .ints(batch.1), "lhs_contract": .ints(lhs), "rhs_contract": .ints(rhs)]
}

private let contractionRows: [Row] = [
  (.contract, [([2, 3], any), ([3, 4], any)], pairing([1], [0])),
  (.contract, [([3, 2, 4], any), ([5, 2, 4, 3], any)], pairing([2], [2], batch: ([1, 0], [1, 3]))),
  (.contract, [([2], any), ([3], any)], pairing([], [])),
  (.matmul, [([2, 2, 3], any), ([2, 3, 2], any)], [:]),
  (.linear, [([2, 2, 3], any), ([4, 3], any), ([4], any)], [:]),
]

private let compositeRows: [Row] = [
  (.gelu, [([2, 3], any)], [:]), (.softmax, [([2, 4], any)], ["axis": .int(1)]),
  (.layerNorm, [([2, 4], any), ([4], any), ([4], any)], ["eps": .float(1e-5)]),
  (.crossEntropy, [([3, 4], any), ([3], .whole(.i32, 0...3))], [:]),
]

private let exactCases =
  cases(integerRows, [.i32, .i64, .u8])
  + cases(
    [Op.and, .or].map { ($0, [([6], .bools), ([6], .bools)], [:]) } + [
      (.not, [([6], .bools)], [:]), (.equal, [([6], .bools), ([6], .bools)], [:]),
      (.all, [([3, 2], .bools)], ["axes": .ints([1]), "keep": .bool(false)]),
      (.any, [([3, 2], .bools)], ["axes": .ints([0, 1]), "keep": .bool(true)]),
      (.sum, [([3, 2], .bools)], ["axes": .ints([0]), "keep": .bool(false)]),
      (.mean, [([3, 2], .bools)], ["axes": .ints([0, 1]), "keep": .bool(false)]),
      (.max, [([2, 3], .whole(.i32, -9...9))], ["axes": .ints([1]), "keep": .bool(false)]),
      (.argmax, [([2, 3], .given(.i64, [3, 3, 1, -4, -5, -4]))], ["axis": .int(1), "keep": .bool(false)]),
    ], [.bool])

private let small = Fill.values([0, 1, 2, 3, 100, 200])
private let other = Fill.values([5, 1, 7, 0, 2, 100])

private let integerRows: [Row] =
  [Op.add, .sub, .mul, .minimum, .maximum, .less, .greaterEqual, .equal].map {
    ($0, [([6], small), ([6], other)], [:])
  }
  + [Op.neg, .abs, .sign].map { ($0, [([6], small)], [:]) }
  + [Op.sum, .prod, .max, .min].map { ($0, [([3, 2], other)], ["axes": .ints([1]), "keep": .bool(false)]) } + [
    (.iota, [], ["shape": .dims([2, 3]), "axis": .int(1), "dtype": .dtype(.i32)]),
    (.pad, [([2], .values([1, 2]))], ["axis": .int(0), "low": .int(1), "high": .int(0), "value": .float(7)]),
  ]

/// From every dtype to every other: ties, subnormals of the target, its overflow; integers within what both hold.
private let castCases: [OpCase] = DType.allCases.filter { $0 != .float }.flatMap { from in
  let numbers: [Double] =
    from.isFloating
    ? [0, -0.0, 1, -1, 0.1, 1.0009765625, 1.00146484375, 65519, 65520, 1e-3, 3e-5, 250.7, .infinity, -.infinity]
    : from == .bool ? [0, 1] : from == .u8 ? [0, 1, 255] : [0, 1, -1, 300, -300, 70000]
  return DType.allCases.filter { $0 != .float && $0 != from }.map { to in
    // What lies beyond an integer is left to the target.
    let kept =
      to.isFloating || to == .bool
      ? numbers : from.isFloating ? numbers.filter { abs($0) < 256 && ($0 >= 0 || to != .u8) } : numbers
    return OpCase(
      name: "cast \(from) to \(to)", dtype: from, op: .cast, operands: [(shape: [kept.count], fill: .values(kept))],
      attributes: ["dtype": .dtype(to)])
  }
}
