import Foundation
import LTMIR
import OpCases
import Testing

/// What every target must get right to the last digits: tails, logarithms of powers of two, signs of zero, casts, long sums.
@Suite struct NumericsTests {
  private func results(_ b: GraphBuilder, _ inputs: [String: [Double]], _ dtype: DType) throws
    -> [(subject: Subject, values: [String: Tensor])]
  {
    let tensors = try inputs.mapValues { try #require(Tensor($0, shape: [$0.count], dtype: dtype)) }
    return try Subject.present.map { ($0, try run(lowered(b.graph), on: $0.backend(), tensors)) }
  }

  private func vector(_ dtype: DType, _ count: Int) -> TensorType { TensorType(dtype, [Dim(count)]) }

  private static let activations: [(op: Op, ulps: Double)] = [
    (.sigmoid, 2), (.silu, 2), (.gelu, 2), (.erf, 3), (.tanh, 3),
  ]

  /// Relative to each number, and not to the largest.
  @Test("tails", arguments: activations.indices, [DType.f16, .bf16, .f32, .f64])
  func tails(_ index: Int, _ dtype: DType) throws {
    let (op, ulps) = Self.activations[index]
    let dense: [Double] = (0..<400).map { Double($0) / 400 * 24 - 12 }
    let edges: [Double] = [-.infinity, .infinity, -0.0, -80, -10.5]
    let x = (dense + edges).map(dtype.round)
    var b = GraphBuilder(name: "tails")
    let value = b.make(op, [b.input("x", vector(dtype, x.count), role: .argument)])
    b.output("y", value)
    let exact = try b.graph.evaluate(["x": try #require(Tensor(x, shape: [x.count], dtype: dtype))])["y"]
    for (subject, found) in try results(b, ["x": x], dtype) {
      // XLA's own exponential and ours on top of it; subnormal numbers are zeros there.
      let allowed = subject == .xla ? 24 : dtype == .f64 ? 8 : ulps
      for (place, (y, want)) in zip(found["y"]?.doubles ?? [], exact?.data ?? []).enumerated() {
        let rounded = dtype.round(want)
        if y == rounded || (y.isNaN && want.isNaN) { continue }
        let bound = max(allowed * 2 * dtype.unit * abs(want), subject == .xla ? 0x1p-126 : dtype.smallest)
        #expect(abs(y - want) <= bound, "\(subject) \(op)(\(x[place])) in \(dtype): \(y), not \(want)")
      }
    }
  }

  /// Away from where the slope itself passes 0.
  @Test("tails of gradients", arguments: [Op.sigmoid, .silu, .gelu, .geluTanh, .erf, .tanh], [DType.bf16, .f32])
  func slopes(_ op: Op, _ dtype: DType) throws {
    let dense: [Double] = (0..<100).map { Double($0) / 100 * 8 - 10 }
    let edges: [Double] = [3, 5, 9, -.infinity, .infinity]
    let x = (dense + edges).map(dtype.round)
    var b = GraphBuilder(name: "slopes")
    let input = b.input("x", vector(dtype, x.count), role: .argument)
    b.output("slope", try b.differentiate(b.sum(b.make(op, [input]), [0]), withRespectTo: [input])[0])
    let exact = try b.graph.evaluate(["x": try #require(Tensor(x, shape: [x.count], dtype: dtype))])["slope"]
    for (subject, found) in try results(b, ["x": x], dtype) {
      // The tanh of gelu's approximation has an argument with errors of its own.
      let allowed = subject == .xla ? 64.0 : op == .geluTanh && dtype == .f32 ? 400 : 5
      for (place, (y, want)) in zip(found["slope"]?.doubles ?? [], exact?.data ?? []).enumerated() {
        // Device kernels multiply two bells, each of which may be 0 where the product is subnormal.
        if subject == .sm80, abs(want) < 0x1p-126, y == 0 { continue }
        let bound = max(allowed * 2 * dtype.unit * abs(want), subject == .xla ? 0x1p-126 : dtype.smallest)
        #expect(abs(y - want) <= bound, "\(subject) \(op)'(\(x[place])) in \(dtype): \(y), not \(want)")
      }
    }
  }

  @Test("infinities and zeros of activations", arguments: [Op.sigmoid, .silu, .gelu, .geluTanh, .relu, .softplus])
  func infinities(_ op: Op) throws {
    for dtype in [DType.f16, .bf16, .f32, .f64] {
      var b = GraphBuilder(name: "infinities")
      let x = b.input("x", vector(dtype, 3), role: .argument)
      let value = b.make(op, [x])
      b.output("y", value)
      b.output("slope", try b.differentiate(b.sum(value, [0]), withRespectTo: [x])[0])
      let exact = try b.graph.evaluate([
        "x": try #require(Tensor([-.infinity, .infinity, -1e4], shape: [3], dtype: dtype))
      ])
      #expect(exact["y"]?.data.allSatisfy { !$0.isNaN } == true)
      for (subject, found) in try results(b, ["x": [-.infinity, .infinity, -1e4]], dtype) {
        for name in ["y", "slope"] {
          #expect(found[name]?.doubles == exact[name]?.data, "\(subject) \(op) \(dtype) \(name)")
        }
      }
    }
  }

  @Test("logarithms of powers of two are whole", arguments: [DType.f16, .bf16, .f32, .f64])
  func wholeLogarithms(_ dtype: DType) throws {
    let least = dtype == .f64 ? -1022 : dtype == .f16 ? -14 : -126
    let x = (least...(1 - least)).map { Double(sign: .plus, exponent: $0, significand: 1) }
    var b = GraphBuilder(name: "logarithms")
    b.output("y", b.make(.log2, [b.input("x", vector(dtype, x.count), role: .argument)]))
    for (subject, found) in try results(b, ["x": x], dtype) {
      #expect(found["y"]?.doubles == x.map { dtype.round(Double($0.exponent)) }, "\(subject)")
    }
  }

  @Test("zeros keep their signs", arguments: [DType.f16, .bf16, .f32, .f64]) func zeros(_ dtype: DType) throws {
    let ops: [Op] = [.sin, .tanh, .erf, .expm1, .log1p, .sqrt, .floor, .ceil, .round, .neg, .abs, .sign, .silu, .gelu]
    var b = GraphBuilder(name: "zeros")
    let x = b.input("x", vector(dtype, 2), role: .argument)
    for op in ops { b.output(op.name, b.make(op, [x])) }
    b.output("cast", b.cast(x, to: dtype == .f16 ? .f32 : .f16))
    let exact = try b.graph.evaluate(["x": try #require(Tensor([-0.0, 0], shape: [2], dtype: dtype))])
    for (subject, found) in try results(b, ["x": [-0.0, 0]], dtype) {
      for (name, wanted) in exact {
        #expect(found[name]?.doubles.map(\.sign) == wanted.data.map(\.sign), "\(subject) \(name) \(dtype)")
      }
    }
  }

  private static let integers: [Double] = [
    16_842_753, 16_842_752, 16_842_751, -16_842_753, 2049, 257, 65_519, 65_520, 7,
  ]

  @Test("integers become halves in one rounding", arguments: [DType.i32, .i64, .u8], [DType.f16, .bf16])
  func integers(_ from: DType, _ to: DType) throws {
    let x = Self.integers.map(from.round)
    var b = GraphBuilder(name: "integers")
    b.output("y", b.cast(b.input("x", vector(from, x.count), role: .argument), to: to))
    for (subject, found) in try results(b, ["x": x], from) {
      #expect(found["y"]?.doubles == x.map(to.round), "\(subject)")
    }
  }

  @Test(
    "subnormal halves are rounded once", arguments: [(DType.f32, DType.f16), (.f64, .f16), (.f64, .bf16), (.f64, .f32)])
  func subnormals(_ from: DType, _ to: DType) throws {
    // Of the target's least numbers' own exponent, just above and just below the middle of two.
    let least = to == .f16 ? 0x1p-24 : to == .bf16 ? 0x1p-133 : 0x1p-149
    let digits = from == .f32 ? 0x1p-13 : 0x1p-40
    var x: [Double] = []
    for middle in [16.5, 3.5, 100.5, 0.5, 1, 1000.5] {
      for near in [middle * (1 + digits), middle, middle * (1 - digits)] { x += [near * least, -near * least] }
    }
    var b = GraphBuilder(name: "subnormals")
    b.output("y", b.cast(b.input("x", vector(from, x.count), role: .argument), to: to))
    for (subject, found) in try results(b, ["x": x], from) {
      // XLA has no subnormal numbers of f32's range.
      if subject == .xla, to != .f16 { continue }
      // The emulated device narrows to bf16 by this processor's instruction, which may flush them.
      if subject == .sm80, to == .bf16 { continue }
      #expect(found["y"]?.doubles == x.map(to.round), "\(subject)")
    }
  }

  @Test("long sums lose a few units at most") func longSums() throws {
    let (rows, columns) = (120_000, 4)
    var b = GraphBuilder(name: "sums")
    let x = b.input("x", TensorType(.f32, [Dim(rows), Dim(columns)]), role: .argument)
    b.output("columns", b.sum(x, [0]))
    b.output("all", b.sum(x, [0, 1]))
    b.output("rows", b.sum(b.make(.transpose, [x], ["permutation": .ints([1, 0])]), [1]))
    b.output("mean", b.make(.mean, [x], ["axes": .ints([0]), "keep": .bool(false)]))
    let tenth = Double(Float(0.1))
    let tensor = try #require(
      Tensor([Double](repeating: tenth, count: rows * columns), shape: [rows, columns], dtype: .f32))
    for subject in Subject.present where subject != .interpreter {
      let found = try run(lowered(b.graph), on: subject.backend(), ["x": tensor])
      for (name, exact) in ["columns": tenth * 120_000, "all": tenth * 480_000, "rows": tenth * 120_000, "mean": tenth]
      {
        let worst = found[name]?.doubles.map { abs($0 / exact - 1) }.max() ?? .infinity
        #expect(worst < 2e-6, "\(subject) \(name): \(worst)")
      }
    }
  }
}
