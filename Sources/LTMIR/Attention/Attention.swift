import LTMSupport

// Rows: attention, as one op that never stores its scores. A target that has a form for it takes it whole; for others it is
// two products and a softmax. Scores, softmax and sums are in the accumulator's dtype; the weights are rounded to a half's
// before they are multiplied with the values, as every product's operands are.

extension OpDefinition {
  static let attention = OpDefinition(
    "The values, weighed by the softmax of the scores: `softmax(q k^T * scale + bias) v`, of `[batch, heads, length, width]`. "
      + "Fewer heads in `k` and `v` are shared by those of `q`; a query that sees no key gets zeros.",
    signature: [
      OpParameter("q", .tensor), OpParameter("k", .tensor), OpParameter("v", .tensor),
      OpParameter("causal", .bool, default: .bool(false)), OpParameter("mask", .optionalTensor),
      OpParameter("bias", .optionalTensor), OpParameter("scale", .float, isOptional: true),
      OpParameter("window", .int, isOptional: true), OpParameter("soft_cap", .float, isOptional: true),
      OpParameter("dropout", .float, default: .float(0)),
      OpParameter("offset", .optionalTensor, literal: .i32), OpParameter("key", .key, isOptional: true),
      OpParameter("given", .ints, isOptional: true, isInternal: true),
    ] + rowParameters, precision: .half, complete: { AttentionForm.completed($0, $1, from: 3) },
    infer: { (types, attributes) throws(OpError) in
      guard types.count >= 3 else { throw OpError("query, key and value are needed, \(types.count) given") }
      let form = try AttentionForm(types, attributes, from: 3)
      let dtype = try joinedDType(types.prefix(3) + (form.bias.map { [types[$0]] } ?? []), .floats)
      return TensorType(dtype, [form.batch, form.heads, form.queries, form.width])
    },
    evaluate: { x, attributes, result in AttentionReference(x, attributes).outputs(result.boundShape) },
    gradient: .rule { b, node, value, g in attentionGradients(&b, node, value, g) },
    lowering: .whole { b, node in attentionParts(&b, node)[0] },
    further: FurtherResults(
      isHidden: true,
      types: { _, first, _ in [TensorType(first.dtype.arithmetic, Array(first.shape.dropLast()))] },
      evaluate: { x, attributes, _ in [AttentionReference(x, attributes).logSums] }, decompose: attentionParts),
    examples: attentionExamples)

  static let attentionGradient = OpDefinition(
    "The gradients of an `attention`: of `q`, `k` and `v`, and of the scores where there is a bias. The weights are computed "
      + "again, of the logarithms of the sums that the attention gave.", isCallable: false,
    signature: [
      OpParameter("q", .tensor), OpParameter("k", .tensor), OpParameter("v", .tensor), OpParameter("output", .tensor),
      OpParameter("log_sum", .tensor), OpParameter("gradient", .tensor),
    ] + attention.signature.dropFirst(3), precision: .half, complete: { AttentionForm.completed($0, $1, from: 6) },
    infer: { (types, attributes) throws(OpError) in
      guard types.count >= 6 else { throw OpError("six operands are needed, \(types.count) given") }
      let form = try AttentionForm(types, attributes, from: 6)
      let result = [form.batch, form.heads, form.queries, form.width]
      for index in [3, 5] where types[index].shape != result {
        throw OpError("it is \(shapeText(types[index].shape)), not \(shapeText(result))", operands: [(index, nil)])
      }
      guard types[4].shape == Array(result.dropLast()), types[4].dtype.isFloating else {
        throw OpError("the logarithms of sums are \(types[4])", operands: [(4, nil)])
      }
      let bias = form.bias.map { [types[$0]] } ?? []
      return types[0].with(try joinedDType([types[0], types[1], types[2], types[3], types[5]] + bias, .floats))
    },
    evaluate: { x, attributes, _ in AttentionReference(x, attributes, from: 6).gradients()[0] }, gradient: .none,
    lowering: .whole { b, node in attentionGradientParts(&b, node)[0] },
    further: FurtherResults(
      isHidden: true,
      types: { types, first, attributes in
        guard let form = try? AttentionForm(types, attributes, from: 6) else { return [] }
        let keys = [types[1], types[2]].map { $0.with(first.dtype) }
        return keys + (form.bias == nil ? [] : [TensorType(first.dtype.arithmetic, form.scores)])
      },
      evaluate: { x, attributes, _ in Array(AttentionReference(x, attributes, from: 6).gradients().dropFirst()) },
      decompose: attentionGradientParts),
    examples: [
      OpExample(
        [
          ([2, 2, 3, 4], .positive), ([2, 1, 5, 4], .positive), ([2, 1, 5, 3], .positive),
          ([2, 2, 3, 3], .uniform(-2, -1)), ([2, 2, 3], .uniform(3, 4)), ([2, 2, 3, 3], .positive),
        ], ["causal": .bool(false), "dropout": .float(0)])
    ])
}

/// What suites over the op table try: every option, shared heads, unequal lengths and widths, size 1, queries without keys.
private let attentionExamples: [OpExample] = {
  func example(
    _ q: [Int], _ k: [Int], _ width: Int, _ others: [([Int], OpExample.Fill)] = [], causal: Bool = false,
    _ more: Attributes = [:]
  ) -> OpExample {
    var attributes = more
    attributes["causal"] = .bool(causal)
    if attributes["dropout"] == nil { attributes["dropout"] = .float(0) }
    return OpExample([(q, .any), (k, .any), (Array(k.dropLast()) + [width], .positive)] + others, attributes)
  }
  return [
    example([2, 2, 5, 4], [2, 2, 5, 4], 4, causal: true),
    example([1, 4, 3, 5], [1, 2, 7, 5], 3),
    example([1, 1, 1, 1], [1, 1, 1, 1], 1),
    example([1, 2, 1, 8], [1, 1, 6, 8], 8, [([], .integers(6))], causal: true),
    example([1, 2, 3, 4], [1, 2, 4, 4], 2, [([3, 4], .bools)]),
    example([2, 2, 3, 4], [2, 2, 6, 4], 5, [([2, 1, 1, 6], .bools), ([1, 2, 3, 6], .any)], ["scale": .float(0.3)]),
    example([1, 2, 6, 4], [1, 1, 6, 4], 4, [([2, 1, 1], .any)], causal: true, ["window": .int(2)]),
    example([1, 1, 6, 4], [1, 1, 2, 4], 4, causal: true, ["soft_cap": .float(0.8), "window": .int(2)]),
    example([4, 1, 2, 4], [4, 1, 6, 4], 4, [([4], .integers(5))], causal: true),
    example([1, 1, 4, 3], [1, 1, 5, 3], 2, [([4], .integers(1 << 31))], ["window": .int(2), "dropout": .float(0.4)]),
  ]
}()
