import LTMIR
import TestSupport
import Testing

/// Functions of one number on all numbers of 16 bits, within 1 ulp of the reference in f64.
@Suite struct HalfTests {
  private static let functions: [(op: Op, attributes: Attributes)] = [
    (.tan, [:]), (.asin, [:]), (.acos, [:]), (.atan, [:]), (.sinh, [:]), (.cosh, [:]), (.asinh, [:]), (.acosh, [:]),
    (.atanh, [:]), (.trunc, [:]), (.elu, ["alpha": .float(1)]), (.selu, [:]), (.celu, ["alpha": .float(0.7)]),
    (.mish, [:]), (.softsign, [:]), (.logSigmoid, [:]), (.relu6, [:]), (.hardsigmoid, [:]), (.hardswish, [:]),
    (.hardtanh, ["min_val": .float(-1), "max_val": .float(1)]),
    (.threshold, ["threshold": .float(0.1), "value": .float(20)]),
    (.clamp, ["min": .float(-2), "max": .float(.infinity)]),
  ]

  @Test("all halves", arguments: functions.indices, [DType.f16, .bf16])
  func all(_ index: Int, _ dtype: DType) throws {
    let (op, attributes) = Self.functions[index]
    let bytes = (0...UInt16.max).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    let x = try #require(Tensor(dtype: dtype, shape: [65536], bytes: bytes))
    var b = GraphBuilder(name: "halves")
    b.output("y", b.make(op, [b.input("x", TensorType(dtype, [65536]), role: .argument)], attributes))
    let exact = try #require(try b.graph.evaluate(["x": x])["y"]).data
    let found = try #require(try run(lowered(b.graph), on: Subject.cpu.backend(), ["x": x])["y"]).doubles
    var worst = 0.0
    for (place, (y, want)) in zip(found, exact.map(dtype.round)).enumerated() where y != want {
      if y.isNaN, want.isNaN { continue }
      let ulp = max(want.isFinite ? want.ulp * 0x1p53 * dtype.unit : 0, dtype.smallest)
      let isNear = abs(y - want) <= ulp
      #expect(isNear, "\(op)(\(x.doubles[place])) in \(dtype): \(y), not \(want)")
      if !isNear { return }
      worst = max(worst, abs(y - want) / ulp)
    }
  }
}
