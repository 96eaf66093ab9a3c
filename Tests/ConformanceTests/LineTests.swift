import Foundation
import LTMIR
import OpCases
import TestSupport
import Testing

/// Lines longer than one network sorts and one block sums, on the processor: exact orders, and errors that stay small.
@Suite struct LineTests {
  private static let lengths = [1, 7, 8, 9, 255, 4096, 4097, 9001, 20000]
  private static let dtypes: [DType] = [.f16, .bf16, .f32, .f64, .i32, .i64, .u8, .bool]

  /// Some of few values, some of many; with zeros of both signs, infinities and NaN where there are such.
  private func line(_ count: Int, _ dtype: DType) -> [Double] {
    var random = SeededGenerator(seed: UInt64(count))
    let numbers = (0..<count).map { place -> Double in
      let number = Double.random(in: -100..<100, using: &random)
      if dtype == .bool { return number < 0 ? 0 : 1 }
      if dtype == .u8 { return abs(number.rounded()) }
      let scaled = place % 3 == 0 ? (number / 20).rounded() : number
      return dtype.isFloating ? dtype.round(scaled) : (number * 1e7).rounded()
    }
    guard dtype.isFloating, count > 200 else { return numbers }
    let edges: [Double] = [.nan, .infinity, -.infinity, -0.0, 0, .nan, .infinity, 0, -0.0]
    return numbers.enumerated().map { $0.offset % 19 == 0 ? edges[$0.offset / 19 % edges.count] : $0.element }
  }

  @Test("sorted as the reference does", arguments: lengths, dtypes)
  func orders(_ count: Int, _ dtype: DType) throws {
    var b = GraphBuilder(name: "lines")
    let x = b.input("x", TensorType(dtype, [2, Dim(count)]), role: .argument)
    for isDescending in [false, true] {
      let sorted = b.make(.sort, [x], ["axis": .int(1), "descending": .bool(isDescending)])
      b.output("values\(isDescending)", sorted)
      b.output("indices\(isDescending)", b.result(1, of: sorted))
      for k in [1, 50, 300] where k <= count {
        let top = b.make(.topk, [x], ["axis": .int(1), "k": .int(k), "largest": .bool(isDescending)])
        b.output("top\(k)\(isDescending)", top)
        b.output("places\(k)\(isDescending)", b.result(1, of: top))
      }
    }
    let numbers = line(2 * count, dtype)
    let inputs = ["x": try #require(Tensor(numbers, shape: [2, count], dtype: dtype))]
    let exact = try b.graph.evaluate(inputs)
    let found = try run(lowered(b.graph), on: Subject.cpu.backend(), inputs)
    expectAgreement(found, exact, "\(count) \(dtype)") { _ in .exact }
  }

  /// In rising and falling order too, which give a selection the most to keep.
  @Test func ordersOfOrdered() throws {
    var b = GraphBuilder(name: "ordered")
    let count = 5000
    let x = b.input("x", TensorType(.f32, [2, Dim(count)]), role: .argument)
    for largest in [false, true] {
      let top = b.make(.topk, [x], ["axis": .int(1), "k": .int(40), "largest": .bool(largest)])
      b.output("places\(largest)", b.result(1, of: top))
    }
    let numbers = (0..<count).map(Double.init) + (0..<count).map { -Double($0 / 7) }
    let inputs = ["x": try #require(Tensor(numbers, shape: [2, count], dtype: .f32))]
    let found = try run(lowered(b.graph), on: Subject.cpu.backend(), inputs)
    expectAgreement(found, try b.graph.evaluate(inputs), "ordered") { _ in .exact }
  }

  /// The error grows with the logarithm of the length: in one chain it would be some thousand units.
  @Test("long sums", arguments: [0, 1], [false, true]) func longSums(_ axis: Int, _ isReversed: Bool) throws {
    let count = 300_000
    var b = GraphBuilder(name: "sums")
    let shape: [Int] = axis == 0 ? [count, 2] : [2, count]
    let x = b.input("x", TensorType(.f32, shape.map { Dim($0) }), role: .argument)
    b.output("y", b.make(.cumsum, [x], ["axis": .int(axis), "reversed": .bool(isReversed)]))
    var random = SeededGenerator(seed: 5)
    let numbers = (0..<2 * count).map { _ in Double.random(in: 0..<1, using: &random) }
    let inputs = ["x": try #require(Tensor(numbers, shape: shape, dtype: .f32))]
    let exact = try #require(try b.graph.evaluate(inputs)["y"])
    let found = try #require(try run(lowered(b.graph), on: Subject.cpu.backend(), inputs)["y"])
    let errors = zip(found.doubles, exact.data).map { abs($0 - $1) / max($1, 1) }
    let isClose = !errors.isEmpty && errors.allSatisfy { $0 < 16 * 0x1p-24 }
    #expect(isClose, "\(errors.prefix(8))")
  }

  @Test("the same on any number of threads", arguments: [2, 3]) func threads(_ threads: Int) throws {
    var b = GraphBuilder(name: "threads")
    let x = b.input("x", TensorType(.f32, [300, 130]), role: .argument)
    b.output("sums", b.make(.cumsum, [x], ["axis": .int(1), "reversed": .bool(false)]))
    b.output("down", b.make(.cumsum, [x], ["axis": .int(0), "reversed": .bool(true)]))
    b.output("order", b.make(.argsort, [x], ["axis": .int(1), "descending": .bool(false)]))
    let inputs = randomTensors(b.graph, [:], seed: 3)
    let one = try run(lowered(b.graph), on: processor(threads: 1), inputs)
    let several = try run(lowered(b.graph), on: processor(threads: threads), inputs)
    for (name, tensor) in one { #expect(several[name]?.doubles == tensor.doubles, "\(name)") }
  }
}
