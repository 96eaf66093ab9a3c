import LTMIR
import OpCases

// Operands beyond the small ones that every suite uses: vectors with tails, rows of one element, several tasks.

private let any = Fill.uniform(-2, 2)

/// An elementwise case on other sizes; `nil` for what is not elementwise.
private func resized(_ opCase: OpCase, _ shape: [Int]) -> OpCase? {
  guard let first = opCase.operands.first, opCase.op.isElementwise,
    opCase.operands.allSatisfy({ $0.shape == [2, 3] }), first.shape == [2, 3]
  else { return nil }
  guard opCase.attributes.entries.allSatisfy({ $0.name == "dtype" || $0.value.isFloat }) else { return nil }
  return OpCase(opCase.op, opCase.operands.map { (shape, $0.fill) }, opCase.attributes)
}

extension Attribute {
  fileprivate var isFloat: Bool { if case .float = self { true } else { false } }
}

extension Op {
  /// As far as the precision class tells: no loss and no normalisation.
  var isElementwise: Bool {
    switch definition.precision {
    case .loss, .banned, .normalization, .half: false
    case .float32, .widest, .follow, .never: true
    }
  }
}

private let elementwiseCases = opCases.flatMap { opCase in
  [[1], [3, 37], [2, 1, 5]].compactMap { resized(opCase, $0) }
}

private let castCases = DType.allCases.filter { $0 != .float }.map { dtype in
  OpCase(.cast, [([3, 37], .uniform(-300, 300))], ["dtype": .dtype(dtype)])
}

/// Lines of less than a vector, of several, and of more than one network sorts; few different values.
private let lineCases: [OpCase] =
  [[3, 37], [40, 5], [1, 300], [2, 3, 17]].flatMap { shape in
    [0, shape.count - 1].flatMap { axis in
      [
        OpCase(.argsort, [(shape, .integers(9))], ["axis": .int(axis), "descending": .bool(true)]),
        OpCase(.sort, [(shape, any)], ["axis": .int(axis), "descending": .bool(false)]),
        OpCase(.cumsum, [(shape, .uniform(0, 1))], ["axis": .int(axis), "reversed": .bool(axis == 0)]),
      ]
    }
  } + [
    OpCase(.topk, [([3, 700], any)], ["axis": .int(1), "k": .int(5), "largest": .bool(true)]),
    OpCase(.topk, [([40, 3], any)], ["axis": .int(0), "k": .int(17), "largest": .bool(false)]),
    OpCase(.takeAlongAxis, [([3, 19, 5], any), ([3, 7, 5], .integers(23))], ["axis": .int(1)]),
    OpCase(.oneHot, [([3, 17], .integers(40))], ["classes": .dim(37)]),
  ]

private let viewCases: [OpCase] = [
  OpCase(.broadcast, [([], any)], ["shape": .dims([3, 17]), "axes": .ints([])]),
  OpCase(.broadcast, [([17], any)], ["shape": .dims([5, 17]), "axes": .ints([1])]),
  OpCase(.broadcast, [([5, 1], any)], ["shape": .dims([5, 33]), "axes": .ints([0, 1])]),
  OpCase(.reshape, [([6, 35], any)], ["shape": .dims([14, 15])]),
  OpCase(.transpose, [([19, 37], any)], ["permutation": .ints([1, 0])]),
  OpCase(.transpose, [([3, 17, 5], any)], ["permutation": .ints([1, 2, 0])]),
  OpCase(.slice, [([3, 40], any)], ["axis": .int(1), "start": .dim(1), "limit": .dim(38), "stride": .int(2)]),
  OpCase(.slice, [([40, 3], any)], ["axis": .int(0), "start": .dim(39), "limit": .dim(40), "stride": .int(1)]),
  OpCase(.concat, [([3, 17], any), ([3, 1], any), ([3, 33], any)], ["axis": .int(1)]),
  OpCase(.concat, [([17], any), ([1], any)], ["axis": .int(0)]),
  OpCase(.pad, [([3, 17], any)], ["axis": .int(1), "low": .int(5), "high": .int(0), "value": .float(0)]),
  OpCase(.pad, [([3, 17], any)], ["axis": .int(0), "low": .int(0), "high": .int(2), "value": .float(1)]),
  OpCase(.gather, [([9, 17], any), ([21], .integers(9))], ["axis": .int(0)]),
  OpCase(.gather, [([3, 9, 5], any), ([2, 3], .integers(9))], ["axis": .int(1)]),
  // Indices outside are clamped.
  OpCase(.gather, [([4, 5], any), ([4], .integers(9))], ["axis": .int(0)]),
  OpCase(.scatterAdd, [([4, 17], any), ([21], .integers(7)), ([21, 17], any)], ["axis": .int(0)]),
  OpCase(.scatterAdd, [([3, 5], any), ([9], .integers(5)), ([3, 9], any)], ["axis": .int(1)]),
  OpCase(.iota, [], ["shape": .dims([3, 17]), "axis": .int(0), "dtype": .dtype(.f32)]),
  OpCase(.iota, [], ["shape": .dims([37]), "axis": .int(0), "dtype": .dtype(.u8)]),
]

private let rowCases: [OpCase] =
  [Op.sum, .mean, .max, .min, .logsumexp].flatMap { op in
    [
      OpCase(op, [([5, 67], any)], ["axes": .ints([1]), "keep": .bool(false)]),
      OpCase(op, [([67, 5], any)], ["axes": .ints([0]), "keep": .bool(true)]),
      OpCase(op, [([3, 17, 5], any)], ["axes": .ints([1]), "keep": .bool(false)]),
      OpCase(op, [([9, 1], any)], ["axes": .ints([1]), "keep": .bool(false)]),
      OpCase(op, [([1, 33], any)], ["axes": .ints([0]), "keep": .bool(false)]),
    ]
  } + [
    OpCase(.prod, [([3, 17], .uniform(0.7, 1.3))], ["axes": .ints([1]), "keep": .bool(false)]),
    OpCase(.all, [([5, 67], .bools)], ["axes": .ints([1]), "keep": .bool(false)]),
    OpCase(.any, [([67, 5], .bools)], ["axes": .ints([0]), "keep": .bool(false)]),
    OpCase(.argmax, [([5, 67], any)], ["axis": .int(1), "keep": .bool(false)]),
    OpCase(.argmin, [([67, 5], any)], ["axis": .int(0), "keep": .bool(true)]),
    OpCase(.variance, [([5, 67], any)], ["axes": .ints([1]), "keep": .bool(false), "correction": .int(0)]),
    OpCase(.softmax, [([5, 67], any)], ["axis": .int(1)]), OpCase(.softmax, [([67, 5], any)], ["axis": .int(0)]),
    OpCase(.softmax, [([9, 1], any)], ["axis": .int(1)]), OpCase(.logSoftmax, [([5, 67], any)], ["axis": .int(1)]),
    OpCase(.layerNorm, [([5, 67], any), ([67], any), ([67], any)], ["eps": .float(1e-5)]),
    OpCase(.rmsNorm, [([2, 3, 33], any), ([33], any)], ["eps": .float(1e-6)]),
    OpCase(.crossEntropy, [([5, 37], any), ([5], .integers(37))]),
    OpCase(.crossEntropy, [([1, 3], any), ([1], .integers(3))]),
    OpCase(.mseLoss, [([5, 37], any), ([5, 37], any)]),
  ]

private let productCases: [OpCase] = [
  OpCase(.matmul, [([17, 33], any), ([33, 19], any)]), OpCase(.matmul, [([1, 5], any), ([5, 37], any)]),
  OpCase(.matmul, [([37, 5], any), ([5, 1], any)]), OpCase(.matmul, [([3, 7, 9], any), ([3, 9, 11], any)]),
  OpCase(.linear, [([17, 33], any), ([37, 33], any), ([37], any)]),
  OpCase(.contract, [([33], any), ([33], any)], pairing([0], [0])),
  OpCase(.contract, [([5, 17], any), ([17, 5, 3], any)], pairing([0, 1], [1, 0])),
]

/// Every case of the suite.
let conformanceCases = opCases + elementwiseCases + castCases + viewCases + lineCases + rowCases + productCases
