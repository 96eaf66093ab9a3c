import LTMIR
import OpCases
import TestSupport
import Testing

/// Where compilers slip: threads, casts that must stay, ties, indices outside, sizes at both ends, numbers that are none.
@Suite struct EdgeTests {
  private func shaped(_ dtype: DType, _ shape: [Int]) -> TensorType { TensorType(dtype, shape.map { Dim($0) }) }

  private func expectAgreement(
    _ b: GraphBuilder, _ inputs: [String: Tensor], rounding: ReferenceRounding = .none, _ accuracy: Accuracy
  ) throws {
    let exact = try b.graph.evaluate(inputs, rounding: rounding)
    for subject in Subject.present {
      let found = try run(lowered(b.graph), on: subject.backend(), inputs)
      ConformanceTests.expectAgreement(found, exact, "\(subject)") { _ in accuracy }
    }
  }

  @Test("the same bits with 1, 2 and 3 threads", arguments: 0..<10) func threads(_ seed: UInt64) throws {
    let made = RandomGraph(seed: 700 + seed, .smooth, dtypes: [.f16, .bf16, .f32])
    let graph = try lowered(made.graph)
    let results = try (1...3).map { threads in
      try run(graph, on: processor(threads: threads), made.inputs)
    }
    #expect(results[0] == results[1])
    #expect(results[0] == results[2])
  }

  @Test("the same bits with 1, 2 and 3 threads, in large reductions and products") func largeThreads() throws {
    var b = GraphBuilder(name: "large")
    let x = b.input("x", shaped(.f32, [300, 517]), role: .argument)
    let w = b.input("w", shaped(.f32, [517, 130]), role: .argument)
    b.output("all", b.sum(x, [0, 1]))
    b.output("columns", b.sum(x, [0]))
    b.output("product", b.make(.matmul, [x, w]))
    b.output("softmax", b.make(.softmax, [x], ["axis": .int(1)]))
    let graph = try lowered(b.graph)
    let inputs = randomTensors(graph, [:], seed: 1)
    let results = try (1...3).map { threads in
      try run(graph, on: processor(threads: threads), inputs)
    }
    #expect(results[0] == results[1])
    #expect(results[0] == results[2])
    ConformanceTests.expectAgreement(results[0], try b.graph.evaluate(inputs), "large") { _ in .units(600) }
  }

  @Test("a cast rounds, wherever it is fused", arguments: [DType.f16, .bf16], [DType.f32, .f64])
  func castsAreBarriers(_ half: DType, _ wide: DType) throws {
    var b = GraphBuilder(name: "barrier")
    let x = b.input("x", shaped(wide, [5, 37]), role: .argument)
    let rounded = b.cast(b.cast(x, to: half), to: wide)
    b.output("round", rounded)
    b.output("error", b.sub(x, rounded))
    b.output("most", b.make(.max, [b.sub(x, rounded)], ["axes": .ints([1]), "keep": .bool(false)]))
    b.output("twice", b.cast(b.cast(b.scale(rounded, by: 3), to: half), to: wide))
    let fills = ["x": Fill.uniform(-70000, 70000)]
    try expectAgreement(b, randomTensors(b.graph, fills, seed: 2), rounding: .everyOp, .exact)
  }

  @Test("what a pad puts in is rounded by a cast that follows", arguments: [DType.f16, .bf16])
  func paddedCasts(_ half: DType) throws {
    var b = GraphBuilder(name: "padded")
    let x = b.input("x", shaped(half, [5]), role: .argument)
    let wide = b.cast(x, to: .f32)
    let padded = b.make(.pad, [wide], ["axis": .int(0), "low": .int(1), "high": .int(2), "value": .float(0.1)])
    b.output("error", b.sub(b.cast(b.cast(padded, to: half), to: .f32), padded))
    try expectAgreement(b, randomTensors(b.graph, [:], seed: 3), rounding: .everyOp, .exact)
  }

  @Test("the first of what is equal as a half is the greatest", arguments: [DType.f16, .bf16], [Op.argmax, .argmin])
  func tiedIndices(_ half: DType, _ op: Op) throws {
    var b = GraphBuilder(name: "tied")
    let x = b.input("x", shaped(half, [6, 3]), role: .argument)
    let y = b.input("y", shaped(half, [6, 3]), role: .argument)
    let sum = b.add(x, y)
    b.output("rows", b.make(op, [sum], ["axis": .int(1), "keep": .bool(false)]))
    b.output("columns", b.make(op, [sum], ["axis": .int(0), "keep": .bool(false)]))
    let small = (0..<18).map { Double($0 % 5 - 2) * 0x1p-13 }
    let inputs = [
      "x": try #require(Tensor([Double](repeating: 1, count: 18), shape: [6, 3], dtype: half)),
      "y": try #require(Tensor(small, shape: [6, 3], dtype: half)),
    ]
    try expectAgreement(b, inputs, rounding: .everyOp, .exact)
  }

  @Test("of many equals the first is the greatest, whoever reduces", arguments: [Op.argmax, .argmin])
  func manyTies(_ op: Op) throws {
    var b = GraphBuilder(name: "ties")
    let x = b.input("x", shaped(.f32, [3, 300]), role: .argument)
    b.output("rows", b.make(op, [x], ["axis": .int(1), "keep": .bool(false)]))
    b.output("columns", b.make(op, [b.transpose(x, [1, 0])], ["axis": .int(0), "keep": .bool(false)]))
    // The first extremum of each row stands behind place 0, and others behind that.
    let numbers = (0..<900).map { place in [37, 38, 131, 280].contains(place % 300) ? (op == .argmax ? 2.0 : -2) : 0 }
    try expectAgreement(b, ["x": try #require(Tensor(numbers, shape: [3, 300], dtype: .f32))], .exact)
  }

  @Test("bytes stop at their ends", arguments: [Op.add, .sub, .mul]) func bytes(_ op: Op) throws {
    var b = GraphBuilder(name: "bytes")
    let x = b.input("x", shaped(.u8, [5]), role: .argument)
    let y = b.input("y", shaped(.u8, [5]), role: .argument)
    b.output("z", b.make(op, [x, y]))
    let inputs = [
      "x": try #require(Tensor([200, 255, 0, 3, 16], shape: [5], dtype: .u8)),
      "y": try #require(Tensor([100, 255, 1, 4, 16], shape: [5], dtype: .u8)),
    ]
    try expectAgreement(b, inputs, rounding: .everyOp, .exact)
  }

  @Test("f64 becomes half in one rounding") func oneRounding() throws {
    var b = GraphBuilder(name: "once")
    let x = b.input("x", shaped(.f64, [4]), role: .argument)
    b.output("f16", b.cast(x, to: .f16))
    b.output("bf16", b.cast(x, to: .bf16))
    // Just above a tie of f16, of bf16; f32 would round to the tie, and the tie to even.
    let values = [1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-8 + 0x1p-40, -1 - 0x1p-11 - 0x1p-40, 65519.999999999]
    let x64 = try #require(Tensor(values, shape: [4], dtype: .f64))
    try expectAgreement(b, ["x": x64], rounding: .everyOp, .exact)
  }

  @Test("ties share a maximum's gradient, in fused halves too", arguments: [DType.f16, .bf16, .f32], [Op.max, .min])
  func ties(_ dtype: DType, _ op: Op) throws {
    var b = GraphBuilder(name: "ties")
    let x = b.input("x", shaped(dtype, [9, 17]), role: .argument)
    // A half between: compared after its rounding, or the tie is lost.
    let scaled = b.cast(b.scale(b.cast(x, to: .f32), by: 1.001), to: dtype)
    let top = b.make(op, [scaled], ["axes": .ints([1]), "keep": .bool(false)])
    b.output("top", top)
    b.output("gradient", try b.differentiate(top, withRespectTo: [x])[0])
    var random = SeededGenerator(seed: 5)
    let numbers = (0..<9 * 17).map { _ in Double(Int.random(in: -2...2, using: &random)) }
    let inputs = ["x": try #require(Tensor(numbers, shape: [9, 17], dtype: dtype))]
    try expectAgreement(b, inputs, rounding: .everyOp, .units(4))
  }

  @Test("an index outside reads the nearest place inside", arguments: [DType.i32, .i64]) func gather(_ index: DType)
    throws
  {
    var b = GraphBuilder(name: "outside")
    let x = b.input("x", shaped(.f32, [3, 5]), role: .argument)
    let i = b.input("i", shaped(index, [7]), role: .argument)
    let rows = b.make(.gather, [x, i], ["axis": .int(0)])
    b.output("rows", rows)
    b.output("columns", b.make(.gather, [x, i], ["axis": .int(1)]))
    b.output("added", b.make(.scatterAdd, [x, i, rows], ["axis": .int(0)]))
    let numbers: [Double] = [0, 2, 3, -1, 2_147_483_647, -2_147_483_648, 1]
    var inputs = randomTensors(b.graph, [:], seed: 1)
    inputs["i"] = Tensor(numbers, shape: [7], dtype: index)
    try expectAgreement(b, inputs, .units(4))
  }

  @Test(
    "sizes at both ends", arguments: [[1], [1, 1, 1], [70001], [1, 40961], [40961, 1], [2, 1, 20011], [3, 8192]])
  func sizes(_ shape: [Int]) throws {
    var b = GraphBuilder(name: "sizes")
    let x = b.input("x", shaped(.f32, shape), role: .argument)
    let axes = Array(shape.indices)
    b.output("tanh", b.make(.tanh, [x]))
    b.output("sum", b.sum(x, axes))
    b.output("max", b.make(.max, [x], ["axes": .ints([shape.count - 1]), "keep": .bool(true)]))
    b.output("mean", b.make(.mean, [x], ["axes": .ints([0]), "keep": .bool(false)]))
    b.output("softmax", b.make(.softmax, [x], ["axis": .int(shape.count - 1)]))
    b.output("half", b.sum(b.cast(x, to: .f16), axes))
    let inputs = randomTensors(b.graph, [:], seed: 1)
    let exact = try b.graph.evaluate(inputs)
    for subject in [Subject.cpu, .cpuUnfused] {
      let found = try run(lowered(b.graph), on: subject.backend(), inputs)
      // What half rounds, it rounds on the way in: 2^-11 of each of n numbers, of either sign.
      ConformanceTests.expectAgreement(found, exact, "\(subject) \(shape)") {
        $0 == "half" ? .units(40) : .rounding(steps: 4000)
      }
    }
  }

  @Test("NaN, infinities, zeros and the ends of the range", arguments: conformanceOps, [DType.f16, .bf16, .f32, .f64])
  func specials(_ op: Op, _ dtype: DType) throws {
    let numbers: [Double] = [
      0, -0.0, 1, -1, 0.5, -2.5, .infinity, -.infinity, .nan, dtype.greatestFinite, -dtype.greatestFinite, 1e-7, 88,
      -104, 3.2, dtype.leastNormal / 8,
    ]
    let arity = op.definition.signature.count
    // Formulas of tails hold their factor within what a tail can make 0: no activation has a larger one.
    let factors = op.vanishesInTail ? numbers.filter { abs($0) < 0x1p90 } : numbers
    let pairs = arity == 1 ? numbers.map { ($0, 0) } : factors.flatMap { a in numbers.map { (a, $0) } }
    var b = GraphBuilder(name: "specials")
    let type = shaped(dtype, [pairs.count])
    let x = b.input("x0", type, role: .argument)
    b.output("value", b.make(op, arity == 1 ? [x] : [x, b.input("x1", type, role: .argument)]))
    let inputs = [
      "x0": try #require(Tensor(pairs.map(\.0), shape: [pairs.count], dtype: dtype)),
      "x1": try #require(Tensor(pairs.map(\.1), shape: [pairs.count], dtype: dtype)),
    ].filter { b.graph.input($0.key) != nil }
    let exact = try #require(try b.graph.evaluate(inputs, rounding: .everyOp)["value"])
    for subject in [Subject.cpu, .sm80] {
      let found = try #require(try run(lowered(b.graph), on: subject.backend(), inputs)["value"]).doubles
      // A GPU's formulas for f64 are within some units; which zero a comparison of zeros gives is the machine's choice.
      let tolerance = Tolerance.relative(subject == .sm80 && dtype == .f64 ? 1e-12 : 16 * dtype.unit)
        .ignoringSignsOfZero
      for (index, pair) in pairs.enumerated() where !isBeyondFormulas(op, pair, dtype) {
        if subject != .cpu, isBeyondDeviceFormulas(op, pair, dtype) { continue }
        expectClose(found[index], exact.data[index], tolerance, "\(subject) \(op.name)\(pair) in \(dtype): ")
      }
    }
  }

  /// Waves of numbers beyond 2^30, and powers of zeros, of -1 to an infinity and of subnormal numbers.
  /// Whether a quotient has more digits than the op's page promises.
  private func isBeyondFormulas(_ op: Op, _ pair: (Double, Double), _ dtype: DType) -> Bool {
    guard op == .remainder || op == .fmod || op == .floorDivide, pair.0.isFinite, pair.1 != 0 else { return false }
    let bits = dtype == .f16 ? 13 : dtype == .bf16 ? 16 : 29
    return abs(pair.0 / pair.1) >= Double(sign: .plus, exponent: bits, significand: 1)
  }

  private func isBeyondDeviceFormulas(_ op: Op, _ pair: (Double, Double), _ dtype: DType) -> Bool {
    switch op {
    case .sin, .cos, .tan: abs(pair.0) > 0x1p30
    case .pow: pair.0 == 0 || (pair.0 == -1 && pair.1.isInfinite) || (dtype == .f64 && abs(pair.0) < 0x1p-1022)
    default: false
    }
  }

  /// Elementwise ops on one or two floats.
  static let conformanceOps = Op.allCases.filter { op in
    let signature = op.definition.signature
    return op.isElementwise && (1...2).contains(signature.count) && signature.allSatisfy { $0.kind == .tensor }
      && (try? op.definition.infer(signature.map { _ in TensorType(.f32, [2, 3]) }, [:]))?.shape == [2, 3]
      && opCases.contains { $0.op == op && $0.operands.allSatisfy { $0.shape == [2, 3] && $0.fill.dtype == nil } }
  }
}

extension DType {
  /// The smallest number with all digits.
  fileprivate var leastNormal: Double {
    switch self {
    case .f16: 0x1p-14
    case .f64: 0x1p-1022
    case .bf16, .f32, .float, .i32, .i64, .u8, .bool: 0x1p-126
    }
  }
}

extension Op {
  /// Whether it is a product with a function that vanishes in its tail.
  fileprivate var vanishesInTail: Bool { [.timesSigmoid, .timesNormalCDF, .timesGaussian].contains(self) }
}
