import LTMIR
import LTMSupport

/// Turns nodes into lines, one node at a time.
struct Lowering {
  let graph: Graph
  var builder = HLOBuilder()
  /// How many exchanges between replicas there are so far: each has a channel of its own.
  var channels = 0
  private var values: [ValueID: HLOValue] = [:]
  /// All results of the ops that have several.
  private var results: [ValueID: [HLOValue]] = [:]

  init(_ graph: Graph) {
    self.graph = graph
    for input in graph.inputs {
      values[input.value] = builder.parameter(input.name, HLOType(graph[input.value].type))
    }
  }

  /// For a body, whose inputs are these values.
  init(_ body: Graph, _ inputs: [HLOValue], _ builder: HLOBuilder, channels: Int) {
    (graph, self.builder, self.channels) = (body, builder, channels)
    for (input, value) in zip(body.inputs, inputs) { values[input.value] = value }
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
    if node.op == .result {
      values[value] = node.attributes.int("index").flatMap { results[node.operands[0]]?[$0] }
      return
    }
    builder.begin("v\(value.index)", place: place(of: node))
    if node.op.hasBodies {
      let found = lowerBody(node, node.operands.map { self[$0] })
      results[value] = found
      values[value] = found[0]
      _ = builder.suspend()
      return
    }
    let result = lowered(node, node.operands.map { self[$0] })
    internalCheck(
      result.type == HLOType(node.type), "stablehlo",
      "\(node.op.name) became \(result.type), not \(node.type)")
    values[value] = builder.finish(result)
  }

  private mutating func lowered(_ node: Node, _ x: [HLOValue]) -> HLOValue {
    switch node.op.definition.lowering {
    case .primitive(let primitive): return elementwise(primitive, x, HLOType(node.type))
    case .reduction(let combiner): return reduction(node, x[0], combiner)
    case .structural(let read):
      return structural(read(node.attributes, node.operands.map { graph[$0].type }), x, HLOType(node.type))
    case .decompose, .whole, .control: internalFailure("stablehlo", "\(node.op.name) is left")
    }
  }

  private mutating func elementwise(_ primitive: Primitive, _ x: [HLOValue], _ type: HLOType) -> HLOValue {
    switch primitive {
    case .neg: arithmetic("negate", x)
    case .abs: type.dtype.format.numbers == .unsigned ? x[0] : builder.same("abs", x[0])
    case .exp: builder.same("exponential", x[0])
    case .expm1: inSingle("exponential_minus_one", x[0])
    case .log: builder.same("log", x[0])
    case .log1p: inSingle("log_plus_one", x[0])
    case .log2: binaryLogarithm(x[0])
    case .timesSigmoid: timesSigmoid(x[0], x[1])
    case .timesNormalCDF: timesNormalCDF(x[0], x[1])
    case .timesGaussian: timesGaussian(x[0], x[1])
    case .sqrt: builder.same("sqrt", x[0])
    case .sin: builder.same("sine", x[0])
    case .cos: builder.same("cosine", x[0])
    case .tanh: builder.same("tanh", x[0])
    case .erf: errorFunction(x[0])
    case .floor: builder.same("floor", x[0])
    case .ceil: builder.same("ceil", x[0])
    case .round: builder.same("round_nearest_even", x[0])
    case .isFinite: builder.function("is_finite", x, type)
    case .not: builder.same("not", x[0])
    case .add: arithmetic("add", x)
    case .sub: arithmetic("subtract", x)
    case .mul: arithmetic("multiply", x)
    case .div: x[0].dtype.isFloating ? builder.same("divide", x[0], x[1]) : wholeQuotient(x[0], x[1])
    case .pow: builder.same("power", x[0], x[1])
    case .minimum: builder.same("minimum", x[0], x[1])
    case .maximum: builder.same("maximum", x[0], x[1])
    case .equal: builder.compare("EQ", x[0], x[1])
    case .notEqual: builder.compare("NE", x[0], x[1])
    case .less: builder.compare("LT", x[0], x[1])
    case .lessEqual: builder.compare("LE", x[0], x[1])
    case .greater: builder.compare("GT", x[0], x[1])
    case .greaterEqual: builder.compare("GE", x[0], x[1])
    case .and, .bitAnd: builder.same("and", x[0], x[1])
    case .or, .bitOr: builder.same("or", x[0], x[1])
    case .bitXor: builder.same("xor", x[0], x[1])
    case .shiftLeft: builder.same("shift_left", x[0], x[1])
    case .shiftRight: builder.same("shift_right_arithmetic", x[0], x[1])
    case .select: builder.select(x[0], x[1], x[2])
    case .philox: internalFailure("stablehlo", "no op of a graph is a primitive \(primitive.rawValue)")
    case .after: builder.barrier(x[0], x[1])
    }
  }

  private mutating func structural(_ op: StructuralOp, _ x: [HLOValue], _ type: HLOType) -> HLOValue {
    switch op {
    case .input: internalFailure("stablehlo", "an input is no line of its own")
    case .constant(let value): builder.constant(value, type)
    case .iota(let axis): builder.emit("iota", "dim = \(axis) : \(type)", type)
    case .cast: cast(x[0], to: type.dtype)
    case .broadcast(let axes): builder.broadcast(x[0], to: type.shape, axes: axes)
    case .reshape: builder.reshape(x[0], to: type.shape)
    case .transpose(let permutation): builder.function("transpose", x, type, ", dims = \(list(permutation))")
    case .slice(let axis, let start, let limit, let stride):
      slice(x[0], axis, (start, limit, stride), type)
    case .concat(let axis): builder.function("concatenate", x, type, ", dim = \(axis)")
    case .pad(let axis, let low, let high, let value): pad(x[0], axis, (low, high), value, type)
    case .window(let axis, let form, let outside): windows(x[0], axis, form, outside: outside, type)
    case .gather(let axis): gather(x[0], x[1], axis: axis, type)
    case .scatterAdd(let axis): scatterAdd(x[0], x[1], x[2], axis: axis)
    case .writeAt(let axis, let wraps): written(x[0], x[1], at: x[2], axis: axis, wraps: wraps)
    case .argReduce(let combiner, let axis): indexOfExtremum(x[0], combiner, axis: axis, type)
    case .reduceScatter(1, _), .allGather(1): builder.reshape(x[0], to: type.shape)
    case .reduceScatter, .allGather:
      internalFailure("stablehlo", "only ranks on the target cpu divide an optimizer's state")
    case .allReduce(let replicas, let operation): allReduce(x[0], replicas: replicas, operation)
    case .line(let op, let axis): line(op, x[0], axis: axis, type)
    case .contract(let axes): contraction(axes, x[0], x[1], type)
    case .foldKey(let stream): foldedKey(x[0], stream: stream, number: x.dropFirst().first)
    case .randomBits(let form): randomBits(x[0], form, type)
    }
  }

  /// Halves go through f32: XLA's own formula in f16 rounds on the way.
  private mutating func inSingle(_ op: String, _ x: HLOValue) -> HLOValue {
    cast(builder.same(op, cast(x, to: x.dtype.accumulator)), to: x.dtype)
  }

  /// Arithmetic of bytes goes through i32 and saturates, as everywhere in ltm.
  private mutating func arithmetic(_ op: String, _ x: [HLOValue]) -> HLOValue {
    let dtype = x[0].dtype
    guard !dtype.isFloating, dtype != .bool, dtype.loaded != dtype else {
      return x.count == 1 ? builder.same(op, x[0]) : builder.same(op, x[0], x[1])
    }
    let wide = x.map { builder.convert($0, to: dtype.loaded) }
    return cast(wide.count == 1 ? builder.same(op, wide[0]) : builder.same(op, wide[0], wide[1]), to: dtype)
  }
}
