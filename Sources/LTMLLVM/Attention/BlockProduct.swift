internal import CLLVM
import LTMIR
import LTMSupport

/// `c[row][column] = sum over steps of a[row, step] * b[step][column]`, or added to what `c` holds: numbers of `a` one at a
/// time, columns in vectors. Elements of `a` and `b` are words: one number, or two bf16, whose products are both added.
struct BlockProduct: Hashable {
  /// A multiple of the lanes.
  var columns: Int
  /// From one row of `a` to the next, and from one step.
  var rowStride: Int, stepStride: Int
  /// From one step of `b` to the next, and from one row of `c`.
  var columnStride: Int, resultStride: Int
  var adds: Bool
}

/// A kernel's products, each a function of its module: `void product(a *, b *, c *, int64_t steps, int64_t rows)`.
final class BlockProducts {
  private let ir: IRBuilder
  private let numbers: Schedule.Attention
  private let symbol: String
  private var functions: [BlockProduct: LLVMValueRef] = [:]
  private static let unroll = 4

  init(_ ir: IRBuilder, _ numbers: Schedule.Attention, symbol: String) {
    (self.ir, self.numbers, self.symbol) = (ir, numbers, symbol)
  }

  private var element: LLVMTypeRef { numbers.isDouble ? ir.double : ir.float }
  private var vector: LLVMTypeRef { ir.vector(element, numbers.lanes) }

  func call(
    _ product: BlockProduct, _ a: LLVMValueRef, _ b: LLVMValueRef, _ c: LLVMValueRef, steps: LLVMValueRef,
    rows: LLVMValueRef
  ) {
    _ = ir.call(function(product), [a, b, c, steps, rows])
  }

  private func function(_ product: BlockProduct) -> LLVMValueRef {
    if let known = functions[product] { return known }
    let (function, block) = (ir.function, ir.currentBlock)
    let parameters = ir.begin(
      function: "\(symbol).product\(functions.count)", result: ir.void,
      parameters: [ir.pointer, ir.pointer, ir.pointer, ir.i64, ir.i64], isInternal: true)
    guard let made = ir.function else { internalFailure("emission", "no product") }
    Body(products: self, product: product, parameters: parameters).emit()
    LLVMBuildRetVoid(ir.ref)
    ir.resume(function, at: block)
    functions[product] = made
    return made
  }

  /// Rows of a tile that has so many vectors of columns: enough sums to hide a product's latency, as registers hold.
  private func height(vectors: Int) -> Int {
    ir.profile.vectorRegisters >= 32 ? [1: 12, 2: 12, 3: 8][vectors] ?? 6 : vectors == 1 ? 8 : 6
  }

  private struct Body {
    let products: BlockProducts
    let product: BlockProduct
    let parameters: [LLVMValueRef]
    private var ir: IRBuilder { products.ir }
    private var lanes: Int { products.numbers.lanes }

    init(products: BlockProducts, product: BlockProduct, parameters: [LLVMValueRef]) {
      (self.products, self.product, self.parameters) = (products, product, parameters)
    }

    func emit() {
      let width = products.numbers.vectors * lanes
      let whole = product.columns / width * width
      ir.loop(0..<whole, step: width) { column, _ in
        rows(column, vectors: products.numbers.vectors)
        return []
      }
      let rest = (product.columns - whole) / lanes
      if rest > 0 { rows(ir.index(whole), vectors: rest) }
    }

    private func rows(_ column: LLVMValueRef, vectors: Int) {
      var (height, first, rest) = (products.height(vectors: vectors), ir.index(0), parameters[4])
      let whole = ir.multiply(ir.divide(rest, height), height)
      ir.loop(from: first, to: whole, step: height) { row, _ in
        tile(row, column, height, vectors)
        return []
      }
      // What is left, in tiles of a power of two rows.
      (first, rest) = (whole, ir.subtract(rest, whole))
      var part = 8
      while part >= height { part /= 2 }
      while part >= 1 {
        height = part
        ir.when(ir.less(ir.index(part - 1), rest)) { tile(first, column, height, vectors) }
        let taken = ir.select(ir.less(ir.index(part - 1), rest), ir.index(part), ir.index(0))
        (first, rest) = (ir.add(first, taken), ir.subtract(rest, taken))
        part /= 2
      }
    }

    private func tile(_ row: LLVMValueRef, _ column: LLVMValueRef, _ height: Int, _ vectors: Int) {
      let a = ir.address(parameters[0], products.element, ir.multiply(row, product.rowStride))
      let b = ir.address(parameters[1], products.element, column)
      let c = ir.address(
        parameters[2], products.element, ir.add(ir.multiply(row, product.resultStride), column))
      let bytes = ir.profile.vectorBytes
      let places = (0..<height * vectors).map { place in
        ir.address(
          c, products.element, ir.index(place / vectors * product.resultStride + place % vectors * lanes))
      }
      let zero: LLVMValueRef = LLVMConstNull(products.vector)
      let start = places.map { product.adds ? ir.load(products.vector, $0, align: bytes) : zero }
      func step(_ k: LLVMValueRef, _ sums: [LLVMValueRef]) -> [LLVMValueRef] {
        let line = ir.multiply(k, product.columnStride)
        let right = (0..<vectors).map { v in
          let place = ir.address(b, products.element, ir.add(line, ir.index(v * lanes)))
          return Lanes(ir.load(products.vector, place, align: bytes), ir)
        }
        let first = ir.multiply(k, product.stepStride)
        return (0..<height).flatMap { row -> [LLVMValueRef] in
          let place = ir.address(a, products.element, ir.add(first, ir.index(row * product.rowStride)))
          let left = ir.splat(
            ir.load(products.element, place, align: products.numbers.elementBytes), lanes)
          return right.enumerated().map { v, right in
            products.multiply(Lanes(left, ir), right, plus: Lanes(sums[row * vectors + v], ir)).ref
          }
        }
      }
      let steps = parameters[3]
      let whole = ir.multiply(ir.divide(steps, BlockProducts.unroll), BlockProducts.unroll)
      let unrolled = ir.loop(from: ir.index(0), to: whole, step: BlockProducts.unroll, carrying: start) { k, sums in
        (0..<BlockProducts.unroll).reduce(sums) { step(ir.add(k, ir.index($1)), $0) }
      }
      let sums = ir.loop(from: whole, to: steps, carrying: unrolled, step)
      for (sum, place) in zip(sums, places) { ir.store(sum, place, align: bytes) }
    }
  }

  private func multiply(_ a: Lanes, _ b: Lanes, plus sum: Lanes) -> Lanes {
    numbers.isPaired ? ir.dotBF16(a, b, plus: sum) : a.times(b, plus: sum)
  }
}
