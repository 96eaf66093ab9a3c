internal import CLLVM
import LTMIR
import LTMKernels

/// Emits a kernel as `void name(void **buffers, int64_t firstTask, int64_t endTask, void *scratch)`.
struct KernelEmitter {
  let ir: IRBuilder
  let evaluator: Evaluator
  let kernel: FlatKernel
  let firstTask: LLVMValueRef
  let endTask: LLVMValueRef
  let scratch: LLVMValueRef
  /// The memory that the launch's tasks share.
  let workspace: LLVMValueRef
  let isPaired: Bool

  /// Makes the function.
  static func emit(
    _ source: Kernel, _ schedule: Schedule, named symbol: String, isInternal: Bool = false, into ir: IRBuilder
  ) {
    let kernel = FlatKernel(source)
    ir.debug?.begin(source)
    ir.accuracy = .init(source)
    let parameters = ir.begin(
      function: symbol, result: ir.void, parameters: [ir.pointer, ir.i64, ir.i64, ir.pointer], isInternal: isInternal)
    let evaluator = Evaluator(ir, kernel, arguments: parameters[0])
    let entry = ir.address(parameters[0], ir.pointer, ir.index(source.buffers.count))
    let workspace = schedule.workspaceBytes == 0 ? parameters[3] : ir.load(ir.pointer, entry, align: 8)
    let emitter = KernelEmitter(
      ir: ir, evaluator: evaluator, kernel: kernel, firstTask: parameters[1], endTask: parameters[2],
      scratch: parameters[3], workspace: workspace, isPaired: kernel.allowsPairs(ir.profile, schedule.strategy))
    switch schedule.strategy {
    case .pointwise(let numbers): emitter.pointwise(numbers)
    case .blocks(let numbers): emitter.blocks(numbers)
    case .columns(let numbers): emitter.columns(numbers)
    case .rows(let numbers): emitter.rows(numbers)
    case .scatter(let numbers): emitter.scatter(numbers)
    case .prefix(let numbers): emitter.prefix(numbers)
    case .order(let numbers): emitter.order(numbers)
    case .attention(let numbers): emitter.attention(numbers, symbol: symbol)
    case .contraction(let tiles): emitter.contraction(tiles, symbol: symbol)
    case .product(let numbers): emitter.product(numbers)
    case .axpy(let numbers): emitter.axpy(numbers)
    }
    // The pool's release of a task does not order streamed stores.
    if emitter.evaluator.hasStreamed { _ = ir.call(intrinsic: "llvm.x86.sse.sfence", [], []) }
    LLVMBuildRetVoid(ir.ref)
  }

  /// The indices along `axes` (outermost first) of a linear index.
  func decompose(_ linear: LLVMValueRef, _ axes: [Int]) -> [(axis: Int, value: LLVMValueRef)] {
    var rest = linear
    var places: [(Int, LLVMValueRef)] = []
    for axis in axes.reversed() {
      let isLast = places.count == axes.count - 1
      places.append((axis, isLast ? rest : ir.remainder(rest, kernel.extent(axis))))
      rest = ir.divide(rest, kernel.extent(axis))
    }
    return places.reversed()
  }

  /// Whole vectors along an axis.
  func fullVector(_ axis: Int, _ lanes: Int) -> VectorAxis {
    var vector = VectorAxis(axis: axis, lanes: lanes, live: lanes)
    vector.isPaired = isPaired && lanes >= ir.profile.floatLanes * 2
    vector.isAligned = true
    return vector
  }

  /// Every expression that the kernel's statements evaluate.
  var roots: [ScalarID] { kernel.kernel.body.flatMap(\.roots) }

  /// The tasks of a range that this call has to do, counted from its beginning.
  func eachTask(_ range: Range<Int>, _ body: (LLVMValueRef) -> Void) {
    if range.isEmpty { return }
    let clip = { (task: LLVMValueRef) in
      let low = ir.index(range.lowerBound)
      return ir.subtract(ir.minimum(ir.maximum(task, low), ir.index(range.upperBound)), low)
    }
    ir.loop(from: clip(firstTask), to: clip(endTask)) { task, _ in
      evaluator.scope { body(task) }
      return []
    }
  }

  /// Visits `units` numbered pieces of work, `perTask` of them in each task after the first ones.
  func eachUnit(_ units: Int, perTask: Int, after: Int = 0, _ body: (LLVMValueRef) -> Void) {
    func unit(_ task: LLVMValueRef) -> LLVMValueRef {
      after == 0 ? task : ir.subtract(ir.maximum(task, ir.index(after)), ir.index(after))
    }
    let first = ir.multiply(unit(firstTask), perTask)
    let end = ir.minimum(ir.multiply(unit(endTask), perTask), ir.index(units))
    ir.loop(from: first, to: end) { unit, _ in
      body(unit)
      return []
    }
  }

  /// Visits the points of some inner axes in order, carrying values; what does not vary is computed outside. With `merge`, the
  /// values are sums, and long ones are cut.
  func nest(
    _ axes: ArraySlice<Int>, hoisting roots: [ScalarID], inside: [Int] = [], carrying values: [LLVMValueRef] = [],
    merge: ((Lanes, Lanes) -> Lanes)? = nil, _ body: ([LLVMValueRef]) -> [LLVMValueRef]
  ) -> [LLVMValueRef] {
    evaluator.hoist(roots, outOf: axes + inside)
    guard let axis = axes.first else { return body(values) }
    return ir.sums(0..<kernel.extent(axis), start: values, merge: merge) { i, carried in
      evaluator.at(axis, i) {
        let start = merge == nil ? carried : values
        let part = nest(
          axes.dropFirst(), hoisting: roots, inside: inside, carrying: start, merge: merge, body)
        return add(part, to: carried, merge)
      }
    }
  }

  /// Sums with what one step came to, where that began anew.
  private func add(
    _ part: [LLVMValueRef], to sums: [LLVMValueRef], _ merge: ((Lanes, Lanes) -> Lanes)?
  ) -> [LLVMValueRef] {
    guard let merge else { return part }
    return zip(sums, part).map { merge(Lanes($0, ir), Lanes($1, ir)).ref }
  }
}
