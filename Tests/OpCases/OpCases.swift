import LTMIR

/// Operands for every op: what the tests of gradients, decompositions and text forms run over. Ops that are not here are
/// tried on the examples of their own paragraphs.
package let opCases: [OpCase] = examples + furtherCases

private let examples = Op.allCases.filter { op in !furtherCases.contains { $0.op == op } }.flatMap { op in
  op.definition.examples.map { OpCase(op, $0) }
}

private let furtherCases: [OpCase] =
  elementwiseCases + shapeCases + reductionCases + contractionCases + normalizationCases + lossCases

private let any = Fill.any
private let positive = Fill.positive

private let elementwiseCases: [OpCase] = [
  OpCase(.allReduce, [([2, 3], any)], ["replicas": .int(1), "operation": .word("sum")]),
  OpCase(.reduceScatter, [([2, 3], any)], ["replicas": .int(1), "operation": .word("mean")]),
  OpCase(.allGather, [([4], any)], ["replicas": .int(1)]), OpCase(.sumOverRanks, [([2, 3], any)]),
  OpCase(.rankCount, [([2, 3], any)]),
  OpCase(.cast, [([2, 3], any)], ["dtype": .dtype(.f64)]), OpCase(.cast, [([2, 3], any)], ["dtype": .dtype(.i32)]),
  OpCase(.iota, [], ["shape": .dims([2, 3]), "axis": .int(1), "dtype": .dtype(.i32)]),
  OpCase(.where, [([2, 3], .bools), ([2, 3], any), ([2, 3], any)]),
]

private let shapeCases: [OpCase] = [
  OpCase(.broadcast, [([3], any)], ["shape": .dims([2, 3]), "axes": .ints([1])]),
  OpCase(.broadcast, [([2, 1], any)], ["shape": .dims([2, 4, 3]), "axes": .ints([0, 2])]),
  OpCase(.reshape, [([2, 6], any)], ["shape": .dims([3, 4])]),
  OpCase(.transpose, [([2, 3, 4], any)], ["permutation": .ints([2, 0, 1])]),
  OpCase(.slice, [([2, 5], any)], ["axis": .int(1), "start": .dim(1), "limit": .dim(4), "stride": .int(1)]),
  OpCase(.slice, [([2, 7], any)], ["axis": .int(1), "start": .dim(1), "limit": .dim(7), "stride": .int(3)]),
  OpCase(.concat, [([2, 2], any), ([2, 3], any)], ["axis": .int(1)]),
  OpCase(.concat, [([1, 2], any), ([2, 2], any), ([3, 2], any)], ["axis": .int(0)]),
  OpCase(.pad, [([2, 3], any)], ["axis": .int(1), "low": .int(1), "high": .int(2), "value": .float(0.5)]),
  OpCase(.gather, [([4, 3], any), ([2, 2], .integers(4))], ["axis": .int(0)]),
  OpCase(.gather, [([2, 5], any), ([3], .integers(5))], ["axis": .int(1)]),
  OpCase(.scatterAdd, [([4, 3], any), ([5], .integers(4)), ([5, 3], any)], ["axis": .int(0)]),
]

private let reductionCases: [OpCase] =
  [Op.sum, .mean, .max, .min, .prod, .logsumexp].flatMap { op in
    [
      OpCase(op, [([3, 4], any)], ["axes": .ints([1]), "keep": .bool(false)]),
      OpCase(op, [([2, 3, 4], any)], ["axes": .ints([0, 2]), "keep": .bool(true)]),
      OpCase(op, [([2, 3], any)], ["axes": .ints([0, 1]), "keep": .bool(false)]),
    ]
  } + [
    OpCase(.all, [([3, 4], .bools)], ["axes": .ints([1]), "keep": .bool(false)]),
    OpCase(.any, [([3, 4], .bools)], ["axes": .ints([0]), "keep": .bool(true)]),
    OpCase(.argmax, [([3, 4], any)], ["axis": .int(1), "keep": .bool(false)]),
    OpCase(.argmin, [([3, 4], any)], ["axis": .int(0), "keep": .bool(true)]),
    OpCase(.variance, [([3, 4], any)], ["axes": .ints([1]), "keep": .bool(false), "correction": .int(1)]),
    OpCase(.variance, [([3, 4], any)], ["axes": .ints([0]), "keep": .bool(true), "correction": .int(0)]),
    OpCase(.mean, [([3, 4], .bools)], ["axes": .ints([0, 1]), "keep": .bool(false)]),
    OpCase(.sum, [([3, 4], .bools)], ["axes": .ints([0]), "keep": .bool(false)]),
  ]

/// The axes of a contraction.
package func pairing(_ lhs: [Int], _ rhs: [Int], batch: ([Int], [Int]) = ([], [])) -> Attributes {
  [
    "lhs_batch": .ints(batch.0), "rhs_batch": .ints(batch.1), "lhs_contract": .ints(lhs), "rhs_contract": .ints(rhs),
  ]
}

private let contractionCases: [OpCase] = [
  OpCase(.contract, [([2, 3], any), ([3, 4], any)], pairing([1], [0])),
  OpCase(.contract, [([2, 3, 4], any), ([4, 5, 3], any)], pairing([1, 2], [2, 0])),
  OpCase(.contract, [([3, 2, 4], any), ([5, 2, 4, 3], any)], pairing([2], [2], batch: ([1, 0], [1, 3]))),
  OpCase(.contract, [([2], any), ([3], any)], pairing([], [])),
  OpCase(.matmul, [([2, 3], any), ([3, 4], any)]), OpCase(.matmul, [([2, 2, 3], any), ([2, 3, 2], any)]),
  OpCase(.linear, [([4, 3], any), ([2, 3], any)]), OpCase(.linear, [([2, 2, 3], any), ([4, 3], any), ([4], any)]),
]

private let normalizationCases: [OpCase] = [
  OpCase(.softmax, [([2, 3, 2], any)], ["axis": .int(1)]), OpCase(.softmax, [([2, 4], any)], ["axis": .int(1)]),
  OpCase(.logSoftmax, [([3, 2], any)], ["axis": .int(0)]), OpCase(.logSoftmax, [([2, 4], any)], ["axis": .int(1)]),
  OpCase(.layerNorm, [([2, 2, 4], any), ([4], any), ([4], any)], ["eps": .float(1e-5)]),
  OpCase(.rmsNorm, [([3, 4], any), ([4], any)], ["eps": .float(1e-6)]),
  OpCase(
    .batchNorm, [([2, 3, 2], any), ([3], any), ([3], any), ([3], any), ([3], positive)], ["eps": .float(1e-5)]),
]

private let lossCases: [OpCase] = [
  OpCase(.crossEntropy, [([3, 4], any), ([3], .integers(4))]),
  OpCase(.crossEntropy, [([2, 2, 3], any), ([2, 2], .integers(3))]),
  OpCase(.crossEntropy, [([3, 4], any), ([3], .integers(6))]),
]
