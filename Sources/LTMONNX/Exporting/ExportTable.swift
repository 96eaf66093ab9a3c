import LTMIR

/// How an op is said in ONNX.
enum ExportRow: Sendable {
  typealias Write = @Sendable (inout GraphExporter, Node, [String]) throws -> String
  /// Element by element: operands may be smaller than the result, and are spread as the operator reads them.
  case elementwise(Write)
  /// Operands have the shapes that the graph gives them. Where it does not take a node, the op's formula stands for it.
  case whole(takes: @Sendable (Node) -> Bool, Write)
  /// A value that may be smaller than the graph has it; gives its shape too.
  case spread(@Sendable (inout GraphExporter, Node) throws -> (name: String, shape: [Dim]))

  /// Any node of the op.
  static func whole(_ write: @escaping Write) -> ExportRow { .whole(takes: { _ in true }, write) }

  /// An operator that takes the operands as they are.
  static func named(_ op: String) -> ExportRow { .elementwise { x, _, names in x.emit(op, names) } }

  /// An operator with one attribute, which is the op's.
  static func named(_ op: String, _ attribute: String, _ ours: String) -> ExportRow {
    .elementwise { x, node, names in x.emit(op, names, [(attribute, .float(node.attributes[float: ours]))]) }
  }
}

/// The ops that ONNX has operators for. All others are exported by their formulas, as kernels are made of them.
enum ExportTable {
  static let rows: [Op: ExportRow] = [elementwise, formulas, shapes, reductions, products, indexing]
    .reduce(into: [:]) { all, family in all.merge(family) { first, _ in first } }

  /// The opset that is written, and the one for files with bf16, which convolutions and pools take since then.
  static let (opset, brainOpset) = (20, 22)

  /// Whether a node is exported as it is; the formulas of others need sizes that are numbers.
  static func takes(_ node: Node) -> Bool {
    switch rows[node.op] {
    case .whole(let takes, _)?: takes(node)
    case .elementwise?, .spread?: true
    case nil: node.type.staticShape == nil && !sizesDoNotMatter.contains(node.op) && !hasNumbersAlong(node)
    }
  }

  /// Whether the axis that such an op works along has a number for its size, which is all that its formula asks for.
  private static func hasNumbersAlong(_ node: Node) -> Bool {
    let ops: Set<Op> = [.flip, .roll, .padAround, .repeatInterleave]
    let axes = node.attributes.ints("axes") ?? node.attributes.int("axis").map { [$0] } ?? []
    return ops.contains(node.op) && axes.allSatisfy { node.type.shape[$0].constant != nil }
  }

  /// Why a node that no row takes is not exported.
  static func problem(with node: Node) -> ExportProblem {
    if random.contains(node.op) { return ExportProblem("ONNX has no random numbers that are the same everywhere") }
    let sizes = Set(node.type.shape.flatMap(\.symbols)).sorted()
    guard case .decompose = node.op.definition.lowering, !sizes.isEmpty else {
      return ExportProblem("ONNX has no operator for it")
    }
    let flags = sizes.map { "--dim \($0)=64" }.joined(separator: " ")
    return ExportProblem("it is exported by its formula, which needs sizes that are numbers, as by \(flags)")
  }

  private static let random: Set<Op> = [
    .uniform, .normal, .bernoulli, .categorical, .permutation, .dropout, .randomBits,
  ]

  /// Ops whose formulas are the same for every size.
  private static let sizesDoNotMatter: Set<Op> = [
    .square, .rsqrt, .trunc, .threshold, .atan2, .maskedFill, .prelu, .glu, .swiglu, .rmsNorm, .crossEntropy, .mseLoss,
    .l1Loss, .bceWithLogits, .binaryCrossEntropy, .huberLoss, .smoothL1Loss, .nllLoss, .klDiv, .variance, .std, .norm,
    .cosineSimilarity, .expand, .tril, .triu, .attention, .sort, .topk, .oneHot,
  ]
}
