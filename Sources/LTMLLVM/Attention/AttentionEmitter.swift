internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

// Attention block by block, as FlashAttention does it: the scores of some queries with some keys are made in scratch memory,
// become weights there, and are used up before the next block of keys. A query that sees no key at all has a sum of 0, and
// gives zeros and an infinite logarithm, beside which every weight is 0 going back.
extension KernelEmitter {
  func attention(_ numbers: Schedule.Attention, symbol: String) {
    guard case .attention(let attention) = kernel.kernel.form else {
      internalFailure("emission", "\(kernel.kernel.name) has no attention")
    }
    // Weights meet halves: they need no more digits than the logarithm of their sum, which is an f32.
    let operands = [attention.query, attention.key, attention.value]
    func isHalf(_ dtype: DType) -> Bool {
      operands.allSatisfy { id in
        if case .load(let buffer, _, _, _) = kernel.kernel[id] { kernel.kernel[buffer].dtype == dtype } else { false }
      }
    }
    ir.accuracy = numbers.isPaired || isHalf(.f16) || isHalf(.bf16) ? .f16 : .single
    evaluator.begin(kernel.kernel.body[0])
    let emitter = AttentionEmitter(
      emitter: self, attention: attention, layout: AttentionLayout(kernel, attention, numbers),
      products: BlockProducts(ir, numbers, symbol: symbol))
    if attention.backward == nil { emitter.forward() } else { emitter.backward() }
  }
}

struct AttentionEmitter {
  let emitter: KernelEmitter
  let attention: KernelAttention
  let layout: AttentionLayout
  let products: BlockProducts

  var ir: IRBuilder { emitter.ir }
  var evaluator: Evaluator { emitter.evaluator }
  var kernel: FlatKernel { emitter.kernel }
  var numbers: Schedule.Attention { layout.numbers }
  var lanes: Int { numbers.lanes }
  var queryAxis: Int { kernel.kernel.queryAxis.index }
  var element: LLVMTypeRef { numbers.isDouble ? ir.double : ir.float }

  /// The address of an element of a block.
  func place(_ block: AttentionLayout.Block, _ index: LLVMValueRef) -> LLVMValueRef {
    guard let offset = layout.offsets[block] else { internalFailure("emission", "no block of \(block)") }
    return ir.address(ir.address(emitter.scratch, ir.i8, ir.index(offset)), element, index)
  }
  func start(_ block: AttentionLayout.Block) -> LLVMValueRef { place(block, ir.index(0)) }

  func load(_ block: AttentionLayout.Block, _ index: LLVMValueRef, lanes: Int) -> Lanes {
    Lanes(ir.load(ir.vector(element, lanes), place(block, index), align: numbers.elementBytes), ir)
  }
  func store(_ value: Lanes, _ block: AttentionLayout.Block, _ index: LLVMValueRef) {
    ir.store(value.ref, place(block, index), align: numbers.elementBytes)
  }
  func constant(_ value: Double, lanes: Int) -> Lanes { Lanes(ir.constant(value, ir.vector(element, lanes)), ir) }

  /// Sets elements of a block to a number.
  func fill(_ block: AttentionLayout.Block, _ value: Double, from first: LLVMValueRef, count: Int) {
    let vector = constant(value, lanes: lanes)
    ir.loop(0..<count, step: lanes) { index, _ in
      store(vector, block, ir.add(first, index))
      return []
    }
  }

  func result(_ kind: KernelAttention.Result) -> FlatAccess? {
    guard let store = attention.results[kind], let place = attention.stores.firstIndex(of: store) else { return nil }
    return kernel.stores[0][place]
  }

  // MARK: Blocks of queries

  /// Lanes that the softmax takes at once: two registers hide each other's latency.
  var together: Int { numbers.queries % (2 * lanes) == 0 ? 2 * lanes : lanes }

  /// The first query of a block: the last block begins where it is whole.
  func firstQuery(_ block: LLVMValueRef) -> LLVMValueRef {
    layout.blocks == 1
      ? ir.index(0) : ir.minimum(ir.multiply(block, numbers.queries), ir.index(layout.queries - numbers.queries))
  }

  /// Visits the block's queries in vectors.
  func eachVector(_ first: LLVMValueRef, _ body: (_ offset: LLVMValueRef, _ live: Int) -> Void) {
    func visit(_ offset: LLVMValueRef, _ live: Int) {
      let vector = VectorAxis(axis: queryAxis, lanes: together, live: live)
      evaluator.at(queryAxis, ir.add(first, offset), vector: vector) { body(offset, live) }
    }
    let whole = layout.liveQueries / together * together
    ir.loop(0..<whole, step: together) { offset, _ in
      visit(offset, together)
      return []
    }
    if layout.liveQueries > whole { visit(ir.index(whole), layout.liveQueries - whole) }
  }

  /// Which keys some query of a block may see: from the first to behind the last.
  func keyRange(_ first: LLVMValueRef) -> (low: LLVMValueRef, high: LLVMValueRef) {
    let bounds = KeyBounds(kernel, attention)
    func value(_ id: ScalarID, at query: LLVMValueRef) -> LLVMValueRef {
      evaluator.at(queryAxis, query) {
        LLVMBuildSExt(ir.ref, evaluator.value(id).lanes.ref, ir.i64, "")
      }
    }
    var (low, high) = (ir.index(0), ir.index(layout.keys))
    let last = ir.add(first, ir.index(layout.liveQueries - 1))
    for bound in bounds.upper {
      high = ir.minimum(high, ir.add(value(bound.id, at: last), ir.index(bound.isIncluded ? 1 : 0)))
    }
    for bound in bounds.lower {
      low = ir.maximum(low, ir.add(value(bound.id, at: first), ir.index(bound.isIncluded ? 0 : 1)))
    }
    return (low, ir.maximum(high, ir.index(0)))
  }

  // MARK: The score

  /// The score of the queries at hand with a key, of their product.
  func score(_ product: Lanes) -> Lanes {
    evaluator.bind(attention.product, product)
    return evaluator.value(attention.score, lanes: together)
  }

  /// Words of two rows' lanes, the later one above.
  func paired(_ low: Lanes, _ high: Lanes?) -> Lanes {
    func half(_ value: Lanes) -> Lanes { value.narrowed(to: ir.bfloat).cast(to: ir.i16).extended(to: ir.i32) }
    let words = high.map { half(low).or(half($0).shiftedLeft(16)) } ?? half(low)
    return words.cast(to: ir.float)
  }
}

/// Bounds that a score's condition sets to the keys that a query sees, each an i32 that grows with the query, or stays.
struct KeyBounds {
  typealias Bound = (id: ScalarID, isIncluded: Bool)
  private(set) var upper: [Bound] = []
  private(set) var lower: [Bound] = []
  private let kernel: FlatKernel
  private let keys: Int

  init(_ kernel: FlatKernel, _ attention: KernelAttention) {
    self.kernel = kernel
    keys = attention.keys.index
    // A score that is hidden may be of any value otherwise.
    guard case .apply(.select, let parts, _) = kernel.kernel[attention.score],
      kernel.kernel[parts[2]] == .constant(-.infinity, kernel.kernel.dtype(parts[2]))
    else { return }
    read(parts[0])
  }

  private mutating func read(_ condition: ScalarID) {
    guard case .apply(let primitive, let parts, _) = kernel.kernel[condition] else { return }
    if primitive == .and { return parts.forEach { read($0) } }
    guard kernel.kernel[parts[0]] == .axis(AxisID(keys)), kernel.kernel.dtype(parts[1]) == .i32,
      !kernel.dependencies[parts[1].index].contains(keys), isRising(parts[1])
    else { return }
    switch primitive {
    case .less, .lessEqual: upper.append((parts[1], primitive == .lessEqual))
    case .greater, .greaterEqual: lower.append((parts[1], primitive == .greaterEqual))
    default: break
    }
  }

  /// Whether a value is no less for a later query.
  private func isRising(_ id: ScalarID) -> Bool {
    let query = kernel.kernel.queryAxis
    if !kernel.dependencies[id.index].contains(query.index) { return true }
    switch kernel.kernel[id] {
    case .axis(query): return true
    case .apply(.add, let parts, _): return parts.allSatisfy(isRising)
    case .apply(.sub, let parts, _):
      return isRising(parts[0]) && !kernel.dependencies[parts[1].index].contains(query.index)
    default: return false
    }
  }
}
