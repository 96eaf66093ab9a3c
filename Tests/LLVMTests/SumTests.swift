import Foundation
import LTMIR
import LTMKernels
import LTMLLVM
import Testing

/// Long sums: their error grows with the logarithm of the length, whatever adds them up.
@Suite struct SumTests {
  /// The largest relative error among a launch's results, all of which should be the same sum of tenths.
  private func error(_ kernel: Kernel, _ data: [[Double]], result: Int, terms: Int, of term: Float = 0.1) throws
    -> Double
  {
    let results = try [TaskOrder.together, .backwards].map { try launch(kernel, data, order: $0)[result] }
    #expect(results[0] == results[1])
    let exact = Double(term) * Double(terms)
    return results[0].doubles.map { abs($0 / exact - 1) }.max() ?? .infinity
  }

  private func tenths(_ count: Int) -> [Double] { [Double](repeating: Double(Float(0.1)), count: count) }

  private func zeros(_ count: Int) -> [Double] { [Double](repeating: 0, count: count) }

  @Test(arguments: [(100_003, 16), (262_144, 3), (37, 50_000)], [true, false])
  func reductions(_ size: (Int, Int), _ overRows: Bool) throws {
    let (m, n) = size
    let kernel = reduceKernel(.add, m: m, n: n, dtype: .f32, overRows: overRows, result: .f32)
    let (results, terms) = overRows ? (n, m) : (m, n)
    let found = try error(kernel, [tenths(m * n), zeros(results)], result: 1, terms: terms)
    #expect(found < 8e-7, "\(found)")
  }

  /// Over two axes, of which the inner one is short.
  @Test(arguments: [[0, 2], [2, 0]]) func outerAxes(_ order: [Int]) throws {
    let extents = [20_000, 5, 7]
    var maker = KernelMaker("outer", domain: [5], inner: order.map { extents[$0] })
    let x = maker.buffer(.f32, extents)
    let y = maker.buffer(.f32, [5], .write)
    let place = order == [0, 2] ? [1, 0, 2] : [2, 0, 1]
    let sum = maker.reduce(.add, over: [1, 2], maker.load(x, place))
    maker.store(y, [0], sum)
    let found = try error(maker.kernel, [tenths(700_000), zeros(5)], result: 1, terms: 140_000)
    #expect(found < 8e-7, "\(found)")
  }

  /// A row's and a column's contraction with ones, and a matrix times a vector.
  @Test(arguments: [DType.f32, .f16], [true, false]) func contractions(_ dtype: DType, _ isAlong: Bool) throws {
    let (rows, depth) = (5, 100_000)
    var maker = KernelMaker("product", domain: [rows], inner: [depth])
    let x = maker.buffer(dtype, isAlong ? [rows, depth] : [depth, rows])
    let w = maker.buffer(dtype, [depth])
    let y = maker.buffer(.f32, [rows], .write)
    let sum = maker.contract(over: [1], maker.load(x, isAlong ? [0, 1] : [1, 0]), maker.load(w, [1]))
    maker.store(y, [0], sum)
    let tenth = Float(dtype.round(0.1))
    let data = [
      [Double](repeating: Double(tenth), count: rows * depth), [Double](repeating: 1, count: depth), zeros(rows),
    ]
    let found = try error(maker.kernel, data, result: 2, terms: depth, of: tenth)
    #expect(found < 1e-6, "\(found)")
  }

  /// What a contraction gives, reduced on the way: over everything, and over the rows.
  @Test func epilogueReductions() throws {
    let (m, n, k) = (30_000, 32, 4)
    var maker = KernelMaker("epilogueReductions", domain: [m, n], inner: [k])
    let (x, w) = (maker.buffer(.f32, [m, k]), maker.buffer(.f32, [k, n]))
    let y = maker.buffer(.f32, [m, n], .write)
    let (all, columns) = (maker.buffer(.f32, [], .write), maker.buffer(.f32, [n], .write))
    let product = maker.contract(over: [2], maker.load(x, [0, 2]), maker.load(w, [2, 1]))
    maker.store(y, [0, 1], product)
    maker.epilogue(all, [], .add, over: [0, 1], product)
    maker.epilogue(columns, [1], .add, over: [0], product)
    var data = [zeros(m * k), [Double](repeating: 1, count: k * n), zeros(m * n), [0], zeros(n)]
    for row in 0..<m { data[0][row * k] = Double(Float(0.1)) }
    guard case .contraction = LTMLLVM.schedule(maker.kernel, .host).strategy else {
      return #expect(Bool(false), "no tiles")
    }
    let found = try [
      error(maker.kernel, data, result: 3, terms: m * n), error(maker.kernel, data, result: 4, terms: m),
    ]
    #expect(found.allSatisfy { $0 < 2e-6 }, "\(found)")
  }

  /// Many updates of the same destination.
  @Test(arguments: [1, 3, 40]) func destinations(_ columns: Int) throws {
    let (rows, updates) = (3, 150_000)
    var maker = KernelMaker("scatter", domain: [rows, columns], inner: [updates])
    let (index, u) = (maker.buffer(.i32, [updates]), maker.buffer(.f32, [updates, columns]))
    let y = maker.buffer(.f32, [rows, columns], .write)
    let isHere = maker.apply(.equal, [maker.load(index, [2]), maker.add(.axis(AxisID(0)))])
    let update = maker.add(.apply(.select, [isHere, maker.load(u, [2, 1]), maker.constant(0)], .f32))
    maker.store(y, [0, 1], maker.reduce(.add, over: [2], update))
    guard case .scatter = LTMLLVM.schedule(maker.kernel, .host).strategy else {
      return #expect(Bool(false), "no scatter")
    }
    let data = [(0..<updates).map { Double($0 % 3) }, tenths(updates * columns), zeros(rows * columns)]
    let found = try error(maker.kernel, data, result: 2, terms: updates / 3)
    #expect(found < 3e-6, "\(found)")
  }
}
