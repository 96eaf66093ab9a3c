import LTMIR
import LTMKernels

/// Builds kernels in tests with little ceremony.
struct KernelMaker {
  var kernel: Kernel

  init(_ name: String, domain: [Int], inner: [Int] = []) {
    kernel = Kernel(name: name)
    kernel.axes = (domain + inner).enumerated().map { KernelAxis(name: "a\($0)", extent: $1) }
    kernel.domainRank = domain.count
  }

  mutating func buffer(_ dtype: DType, _ shape: [Int], _ access: KernelBuffer.Access = .read) -> BufferID {
    kernel.buffers.append(KernelBuffer(name: "b\(kernel.buffers.count)", dtype: dtype, shape: shape, access: access))
    return BufferID(kernel.buffers.count - 1)
  }

  mutating func local(_ dtype: DType) -> LocalID {
    kernel.locals.append(KernelLocal(name: "l\(kernel.locals.count)", dtype: dtype))
    return LocalID(kernel.locals.count - 1)
  }

  mutating func add(_ expression: ScalarExpr) -> ScalarID {
    kernel.expressions.append(expression)
    return ScalarID(kernel.expressions.count - 1)
  }

  /// A load at axes.
  mutating func load(_ buffer: BufferID, _ axes: [Int]) -> ScalarID {
    add(.load(buffer, axes.map { .affine(Affine(axis: AxisID($0))) }, guards: [], otherwise: 0))
  }

  mutating func apply(_ primitive: Primitive, _ operands: [ScalarID]) -> ScalarID {
    let operand = kernel.dtype(operands[operands.count > 2 ? 1 : 0])
    let makesBool =
      switch primitive {
      case .isFinite, .not, .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual, .and, .or: true
      default: false
      }
    return add(.apply(primitive, operands, makesBool ? .bool : operand))
  }

  mutating func constant(_ value: Double, _ dtype: DType = .f32) -> ScalarID { add(.constant(value, dtype)) }

  func at(_ axes: [Int]) -> [Affine] { axes.map { Affine(axis: AxisID($0)) } }

  mutating func store(_ buffer: BufferID, _ axes: [Int], _ value: ScalarID) {
    kernel.body.append(.store(KernelStore(buffer, at(axes), value)))
  }

  mutating func loop(over axes: [Int], _ stores: [KernelStore]) {
    kernel.body.append(.loop(over: axes.map { AxisID($0) }, stores: stores))
  }

  mutating func reduce(_ combiner: Combiner, over axes: [Int], _ value: ScalarID) -> ScalarID {
    let result = local(kernel.dtype(value))
    kernel.body.append(.reduce(result, combiner, over: axes.map { AxisID($0) }, value: value))
    return add(.local(result))
  }

  mutating func contract(over axes: [Int], _ lhs: ScalarID, _ rhs: ScalarID) -> ScalarID {
    let result = local(kernel.dtype(lhs))
    kernel.body.append(.contract(result, over: axes.map { AxisID($0) }, lhs: lhs, rhs: rhs))
    return add(.local(result))
  }

  mutating func epilogue(_ buffer: BufferID, _ axes: [Int], _ combiner: Combiner, over: [Int], _ value: ScalarID) {
    let store = KernelStore(buffer, at(axes), value)
    kernel.body.append(.epilogue(store, combiner, over: over.map { AxisID($0) }))
  }

  mutating func argReduce(_ combiner: Combiner, over axis: Int, _ value: ScalarID) -> ScalarID {
    let result = local(.i32)
    kernel.body.append(.argReduce(result, combiner, over: AxisID(axis), value: value))
    return add(.local(result))
  }

  mutating func scratch(over axis: Int, _ value: ScalarID) -> ScalarID {
    let result = local(kernel.dtype(value))
    kernel.body.append(.scratch(result, over: AxisID(axis), value: value))
    return add(.scratch(result))
  }
}

/// `y = f(x)` elementwise.
func unaryKernel(_ primitive: Primitive, _ dtype: DType, _ count: Int, result: DType? = nil) -> Kernel {
  var maker = KernelMaker("\(primitive)", domain: [count])
  let x = maker.buffer(dtype, [count])
  let value = maker.apply(primitive, [maker.load(x, [0])])
  let y = maker.buffer(result ?? (maker.kernel.dtype(value) == .bool ? .bool : dtype), [count], .write)
  maker.store(y, [0], value)
  return maker.kernel
}

/// `y = f(a, b)` elementwise.
func binaryKernel(_ primitive: Primitive, _ dtype: DType, _ count: Int) -> Kernel {
  var maker = KernelMaker("\(primitive)", domain: [count])
  let (a, b) = (maker.buffer(dtype, [count]), maker.buffer(dtype, [count]))
  let value = maker.apply(primitive, [maker.load(a, [0]), maker.load(b, [0])])
  let y = maker.buffer(maker.kernel.dtype(value) == .bool ? .bool : dtype, [count], .write)
  maker.store(y, [0], value)
  return maker.kernel
}

/// `y[m, n] = narrow(relu(sum over k of x w + b[n]))`; `w` is `[k, n]`, or `[n, k]` when transposed.
func linearKernel(
  m: Int, n: Int, k: Int, dtype: DType, transposedLeft: Bool = false, transposedRight: Bool = false, batch: Int? = nil,
  epilogue: Bool = true
) -> Kernel {
  let outer = batch.map { [$0] } ?? []
  let (am, an, ak) = (outer.count, outer.count + 1, outer.count + 2)
  var maker = KernelMaker("linear", domain: outer + [m, n], inner: [k])
  let prefix = Array(outer.indices)
  let x = maker.buffer(dtype, outer + (transposedLeft ? [k, m] : [m, k]))
  let w = maker.buffer(dtype, outer + (transposedRight ? [n, k] : [k, n]))
  let bias = maker.buffer(dtype, [n])
  let y = maker.buffer(dtype, outer + [m, n], .write)
  let lhs = maker.load(x, prefix + (transposedLeft ? [ak, am] : [am, ak]))
  let rhs = maker.load(w, prefix + (transposedRight ? [an, ak] : [ak, an]))
  var value = maker.contract(over: [ak], lhs, rhs)
  if epilogue {
    value = maker.apply(.add, [value, maker.load(bias, [an])])
    value = maker.apply(.maximum, [value, maker.constant(0, maker.kernel.dtype(value))])
  }
  maker.store(y, prefix + [am, an], value)
  return maker.kernel
}

/// A row's softmax, in one kernel.
func softmaxKernel(rows: Int, columns: Int, dtype: DType) -> Kernel {
  var maker = KernelMaker("softmax", domain: [rows], inner: [columns])
  let x = maker.buffer(dtype, [rows, columns])
  let y = maker.buffer(dtype, [rows, columns], .write)
  let value = maker.load(x, [0, 1])
  let greatest = maker.reduce(.maximum, over: [1], value)
  let e = maker.scratch(over: 1, maker.apply(.exp, [maker.apply(.sub, [value, greatest])]))
  let sum = maker.reduce(.add, over: [1], e)
  maker.loop(over: [1], [KernelStore(y, maker.at([0, 1]), maker.apply(.div, [e, sum]))])
  return maker.kernel
}

/// `y[n] = combine over m of x[m, n]`, or `y[m]` over n.
func reduceKernel(_ combiner: Combiner, m: Int, n: Int, dtype: DType, overRows: Bool, result: DType) -> Kernel {
  var maker = KernelMaker("reduce", domain: [overRows ? n : m], inner: [overRows ? m : n])
  let x = maker.buffer(dtype, [m, n])
  let y = maker.buffer(result, [overRows ? n : m], .write)
  let value = maker.reduce(combiner, over: [1], maker.load(x, overRows ? [1, 0] : [0, 1]))
  maker.store(y, [0], value)
  return maker.kernel
}

/// A linear kernel that also sums its result over the rows, finds the least of each row, tells whether all of it is finite,
/// and sums all of it: what is stored, that is, and 1 more than it, so that lanes beyond the edge would show.
func reducingKernel(
  m: Int, n: Int, k: Int, _ dtype: DType, left: Bool = false, right: Bool = false, batch: Int? = nil,
  stores: Bool = true, epilogue: Bool = true
) -> Kernel {
  var maker = KernelMaker("folding", domain: [])
  maker.kernel = linearKernel(
    m: m, n: n, k: k, dtype: dtype, transposedLeft: left, transposedRight: right, batch: batch, epilogue: epilogue)
  let outer = batch == nil ? [] : [0]
  let (rows, columns) = (outer.count, outer.count + 1)
  guard var value = maker.kernel.body.last?.roots.first else { return maker.kernel }
  let wide = maker.kernel.dtype(value)
  if dtype.isHalf {
    value = maker.add(.round(value, dtype))
    // As fusion writes it, or from the value before.
    if right { maker.kernel.body = maker.kernel.body.dropLast() + [maker.kernel.body[1].mapRoots { _ in value }] }
  }
  let more = maker.apply(.add, [value, maker.constant(1, wide)])
  if !stores {
    maker.kernel.body.removeLast()
    maker.kernel.buffers.removeLast()
  }
  let (sums, least) = (maker.buffer(dtype, [n], .write), maker.buffer(wide, [m, 1], .write))
  let (finite, total) = (maker.buffer(.bool, [], .write), maker.buffer(wide, [1], .write))
  maker.epilogue(sums, [columns], .add, over: outer + [rows], more)
  let place = [Affine(axis: AxisID(rows)), Affine(constant: 0)]
  maker.kernel.body.append(
    .epilogue(KernelStore(least, place, more), .minimum, over: (outer + [columns]).map { AxisID($0) }))
  maker.epilogue(finite, [], .and, over: outer + [rows, columns], maker.apply(.isFinite, [value]))
  let all = KernelStore(total, [Affine(constant: 0)], more)
  maker.kernel.body.append(.epilogue(all, .add, over: (outer + [rows, columns]).map { AxisID($0) }))
  return maker.kernel.canonicalised()
}
