import LTMIR
import LTMSupport

/// Turns nodes into lines, one node at a time.
struct Lowering {
  let graph: Graph
  var builder = HLOBuilder()
  /// How many exchanges between replicas there are so far: each has a channel of its own.
  var channels = 0
  private var values: [ValueID: HLOValue] = [:]

  init(_ graph: Graph) {
    self.graph = graph
    for input in graph.inputs {
      values[input.value] = builder.parameter(input.name, HLOType(graph[input.value].type))
    }
  }

  /// What a value of the graph became.
  subscript(value: ValueID) -> HLOValue {
    guard let found = values[value] else {
      internalFailure("stablehlo", "\(value) is used before it is made")
    }
    return found
  }

  /// Lowers a node.
  mutating func lower(_ value: ValueID) {
    let node = graph[value]
    builder.begin("v\(value.index)", place: place(of: node))
    let result = lowered(node, node.operands.map { self[$0] })
    internalCheck(
      result.type == HLOType(node.type), "stablehlo",
      "\(node.op.name) became \(result.type), not \(node.type)")
    values[value] = builder.finish(result)
  }

  private mutating func lowered(_ node: Node, _ x: [HLOValue]) -> HLOValue {
    let type = HLOType(node.type)
    switch node.op {
    case .constant: return builder.constant(node.attributes.float("value") ?? 0, type)
    case .iota: return builder.emit("iota", "dim = \(axis(node)) : \(type)", type)
    case .neg: return arithmetic("negate", x)
    case .abs: return type.dtype == .u8 ? x[0] : builder.same("abs", x[0])
    case .exp: return builder.same("exponential", x[0])
    case .expm1: return inSingle("exponential_minus_one", x[0])
    case .log: return builder.same("log", x[0])
    case .log1p: return inSingle("log_plus_one", x[0])
    case .sqrt: return builder.same("sqrt", x[0])
    case .sin: return builder.same("sine", x[0])
    case .cos: return builder.same("cosine", x[0])
    case .tanh: return builder.same("tanh", x[0])
    case .erf: return errorFunction(x[0])
    case .floor: return builder.same("floor", x[0])
    case .ceil: return builder.same("ceil", x[0])
    case .round: return builder.same("round_nearest_even", x[0])
    case .isFinite: return builder.function("is_finite", x, type)
    case .not: return builder.same("not", x[0])
    case .add: return arithmetic("add", x)
    case .sub: return arithmetic("subtract", x)
    case .mul: return arithmetic("multiply", x)
    case .div: return builder.same("divide", x[0], x[1])
    case .pow: return builder.same("power", x[0], x[1])
    case .minimum: return builder.same("minimum", x[0], x[1])
    case .maximum: return builder.same("maximum", x[0], x[1])
    case .equal: return builder.compare("EQ", x[0], x[1])
    case .notEqual: return builder.compare("NE", x[0], x[1])
    case .less: return builder.compare("LT", x[0], x[1])
    case .lessEqual: return builder.compare("LE", x[0], x[1])
    case .greater: return builder.compare("GT", x[0], x[1])
    case .greaterEqual: return builder.compare("GE", x[0], x[1])
    case .and: return builder.same("and", x[0], x[1])
    case .or: return builder.same("or", x[0], x[1])
    case .where: return builder.select(x[0], x[1], x[2])
    case .cast: return cast(x[0], to: type.dtype)
    case .broadcast: return builder.broadcast(x[0], to: type.shape, axes: node.attributes.ints("axes") ?? [])
    case .reshape: return builder.reshape(x[0], to: type.shape)
    case .transpose:
      return builder.function("transpose", x, type, ", dims = \(list(node.attributes.ints("permutation") ?? []))")
    case .slice: return slice(node, x[0], type)
    case .concat: return builder.function("concatenate", x, type, ", dim = \(axis(node))")
    case .pad: return pad(node, x[0], type)
    case .gather: return gather(x[0], x[1], axis: axis(node), type)
    case .scatterAdd: return scatterAdd(x[0], x[1], x[2], axis: axis(node))
    case .sum: return reduction(node, x[0], .add)
    case .prod: return reduction(node, x[0], .multiply)
    case .max: return reduction(node, x[0], .maximum)
    case .min: return reduction(node, x[0], .minimum)
    case .all: return reduction(node, x[0], .and)
    case .any: return reduction(node, x[0], .or)
    case .argmax: return indexOfExtremum(node, x[0], wins: "GT", identity: .maximum)
    case .argmin: return indexOfExtremum(node, x[0], wins: "LT", identity: .minimum)
    case .allReduce: return allReduce(node, x[0])
    case .contract: return contraction(node, x[0], x[1], type)
    case .input, .result, .call, .checkpoint, .scan, .while, .dimension, .sign, .log2, .rsqrt, .reciprocal, .square,
      .relu, .sigmoid, .silu, .gelu, .geluTanh,
      .softplus, .stopGradient, .mean, .variance, .logsumexp, .matmul, .linear, .softmax, .logSoftmax, .layerNorm,
      .rmsNorm, .batchNorm, .crossEntropy, .mseLoss, .l1Loss, .bceWithLogits, .binaryCrossEntropy, .huberLoss:
      internalFailure("stablehlo", "\(node.op.name) is left")
    }
  }

  func axis(_ node: Node) -> Int { node.attributes.int("axis") ?? 0 }

  /// Halves go through f32: XLA's own formula in f16 rounds on the way.
  private mutating func inSingle(_ op: String, _ x: HLOValue) -> HLOValue {
    cast(builder.same(op, cast(x, to: x.dtype.accumulator)), to: x.dtype)
  }

  /// Arithmetic of bytes goes through i32 and saturates, as everywhere in ltm.
  private mutating func arithmetic(_ op: String, _ x: [HLOValue]) -> HLOValue {
    guard x[0].dtype == .u8 else { return x.count == 1 ? builder.same(op, x[0]) : builder.same(op, x[0], x[1]) }
    let wide = x.map { builder.convert($0, to: .i32) }
    return cast(wide.count == 1 ? builder.same(op, wide[0]) : builder.same(op, wide[0], wide[1]), to: .u8)
  }
}
