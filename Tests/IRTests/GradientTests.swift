import LTMIR
import LTMSupport
import Testing

@Suite("gradients of graphs")
struct GradientTests {
  private func vector(_ b: inout GraphBuilder, _ name: String = "x", _ dtype: DType = .f64) -> ValueID {
    b.input(name, TensorType(dtype, [3]), role: .argument)
  }

  private func evaluate(_ b: GraphBuilder, _ value: ValueID, _ x: [Double], rounding: ReferenceRounding = .none) throws
    -> [Double]
  {
    var b = b
    b.output("result", value)
    let dtype = b.type(ValueID(0)).dtype
    let tensor = try #require(Tensor(x, shape: [x.count], dtype: dtype))
    return try #require(try b.graph.evaluate(["x": tensor], rounding: rounding)["result"]).data
  }

  @Test("a value read often gets the sum")
  func fanIn() throws {
    var b = GraphBuilder(name: "g")
    let x = vector(&b)
    let y = b.add(b.mul(x, x), b.add(x, x))
    let gradient = try b.differentiate(y, withRespectTo: [x])[0]
    #expect(try evaluate(b, gradient, [1, 2, -3]) == [4, 6, -4])
  }

  @Test("a fan-in of halves is summed in f32 and rounded once")
  func fanInOfHalves() throws {
    var b = GraphBuilder(name: "g")
    let x = vector(&b, "x", .f16)
    // 2048 + 1 + 1: in f16 each 1 alone would be lost.
    let parts = [2048.0, 1, 1].map { b.scale(x, by: $0) }
    let y = b.add(b.add(parts[0], parts[1]), parts[2])
    let gradient = try b.differentiate(y, withRespectTo: [x])[0]
    #expect(b.type(gradient).dtype == .f16)
    #expect(try evaluate(b, gradient, [0, 0, 0], rounding: .everyOp) == [2050, 2050, 2050])
  }

  @Test("an input that plays no part has a gradient of zeros")
  func unused() throws {
    var b = GraphBuilder(name: "g")
    let x = vector(&b)
    let other = vector(&b, "other")
    let gradient = try b.differentiate(b.exp(other), withRespectTo: [x])[0]
    #expect(b.type(gradient) == b.type(x))
    b.output("result", gradient)
    let zeros = try #require(Tensor(zeros: [3], dtype: .f64))
    #expect(try b.graph.evaluate(["x": zeros, "other": zeros])["result"]?.data == [0, 0, 0])
  }

  @Test("stop_gradient stops it")
  func stopped() throws {
    var b = GraphBuilder(name: "g")
    let x = vector(&b)
    let y = b.mul(x, b.make(.stopGradient, [x]))
    let gradient = try b.differentiate(y, withRespectTo: [x])[0]
    #expect(try evaluate(b, gradient, [1, 2, 3]) == [1, 2, 3])
  }

  @Test("a value in between can be asked for")
  func intermediate() throws {
    var b = GraphBuilder(name: "g")
    let x = vector(&b)
    let square = b.mul(x, x)
    let y = b.scale(square, by: 3)
    let gradients = try b.differentiate(y, withRespectTo: [square, x])
    #expect(try evaluate(b, gradients[0], [1, 2, 3]) == [3, 3, 3])
    #expect(try evaluate(b, gradients[1], [1, 2, 3]) == [6, 12, 18])
  }

  @Test("a cast's gradient is cast back")
  func castBack() throws {
    var b = GraphBuilder(name: "g")
    let x = vector(&b, "x", .f32)
    let half = b.cast(x, to: .f16)
    let gradients = try b.differentiate(b.exp(half), withRespectTo: [x, half])
    #expect(gradients.map { b.type($0).dtype } == [.f32, .f16])
  }

  @Test("gradient nodes take place and scope of the op that they are for")
  func places() throws {
    var b = GraphBuilder(name: "g")
    b.location = Location(path: "a.ltm", line: 1, column: 2)
    let x = vector(&b)
    b.location = Location(path: "a.ltm", line: 3, column: 4)
    b.scope = "fc1"
    let y = b.exp(x)
    (b.location, b.scope) = (nil, "")
    let before = b.graph.nodes.count
    let gradient = try b.differentiate(y, withRespectTo: [x])[0]
    #expect(b.graph[gradient].location == Location(path: "a.ltm", line: 3, column: 4))
    #expect(b.graph[gradient].scope == "fc1")
    #expect(b.graph[gradient].reason == "gradient of exp")
    #expect(b.graph.nodes.count > before)
    #expect(b.location == nil && b.scope == "" && b.reason == nil)
  }

  /// Ops whose value, once rounded to half, no longer tells the slope.
  static let tails: [(op: Op, x: [Double], attributes: Attributes)] = [
    (.exp, [-20, -9, 3], [:]), (.expm1, [-9, -12, 1], [:]), (.tanh, [4, -6, 5], [:]), (.sigmoid, [9, 10, -12], [:]),
    (.sqrt, [0x1p-20, 3, 0.7], [:]), (.rsqrt, [0x1p-4, 3, 0.7], [:]), (.reciprocal, [0.7, 3, -300], [:]),
    (.softmax, [1, 12, 1.5], ["axis": .int(0)]), (.logSoftmax, [1000, 989, 980], ["axis": .int(0)]),
    (.logsumexp, [1000, 1000, 1000], ["axes": .ints([0]), "keep": .bool(false)]),
    (.logsumexp, [-50, -49, -60], ["axes": .ints([0]), "keep": .bool(true)]),
  ]

  @Test("a gradient is made of the unrounded value", arguments: tails, [DType.f16, .bf16])
  func unrounded(_ item: (op: Op, x: [Double], attributes: Attributes), _ dtype: DType) throws {
    func gradient(_ dtype: DType, _ x: [Double], _ rounding: ReferenceRounding) throws -> [Double] {
      var b = GraphBuilder(name: "g")
      let x0 = vector(&b, "x", dtype)
      let value = b.make(item.op, [x0], item.attributes)
      // A seed that differs from place to place, and is exact in every dtype.
      let seed = b.type(value).rank == 1 && b.type(value).shape[0] == 3 ? [64.0, 128, -256] : [64]
      let given = b.input("seed", b.type(value), role: .argument)
      b.output("gradient", try b.differentiate(value, withRespectTo: [x0], seed: given)[0])
      let inputs = [
        "x": try #require(Tensor(x, shape: [3], dtype: dtype)),
        "seed": try #require(Tensor(seed, shape: b.type(value).staticShape ?? [], dtype: dtype)),
      ]
      return try #require(try b.graph.evaluate(inputs, rounding: rounding)["gradient"]).data
    }
    let exact = try gradient(.f64, item.x.map(dtype.round), .none)
    let found = try gradient(dtype, item.x, .everyOp)
    for (value, wanted) in zip(found, exact) {
      let ulp = max(abs(wanted) * (dtype == .f16 ? 0x1p-10 : 0x1p-7), dtype == .f16 ? 0x1p-24 : 0)
      #expect(abs(value - wanted) <= ulp, "\(item.op.name) at \(item.x) in \(dtype): \(found) is not \(exact)")
    }
  }

  @Test("nothing flows into what is only stopped, compared or rounded down")
  func reached() throws {
    var b = GraphBuilder(name: "g")
    let names = ["read", "stopped", "compared", "floored", "unread"]
    let inputs = names.map { vector(&b, $0) }
    let isLess = b.make(.less, [inputs[2], inputs[0]])
    let rest = b.add(b.make(.stopGradient, [inputs[1]]), b.make(.floor, [inputs[3]]))
    let y = b.select(isLess, b.mul(inputs[0], inputs[0]), rest)
    let gradients = try b.gradients(of: y, withRespectTo: inputs)
    #expect(gradients.map { $0 != nil } == [true, false, false, false, false])
  }

  @Test("a gradient that cannot be is an error")
  func errors() throws {
    var b = GraphBuilder(name: "g")
    let x = vector(&b)
    let index = b.input("i", TensorType(.i32, [3]), role: .argument)
    #expect(throws: OpError.self) { try b.differentiate(x, withRespectTo: [index]) }
    #expect(throws: OpError.self) { try b.differentiate(index, withRespectTo: [x]) }
    let seed = b.constant(1, TensorType(.f32, [3]))
    #expect(throws: OpError.self) { try b.differentiate(x, withRespectTo: [x], seed: seed) }
  }

  @Test("nothing is computed for what does not lead to a wanted value")
  func onlyWhatLeads() throws {
    var b = GraphBuilder(name: "g")
    let x = vector(&b)
    let other = vector(&b, "other")
    let y = b.add(b.exp(x), b.make(.sin, [other]))
    _ = try b.differentiate(y, withRespectTo: [x])
    #expect(!b.graph.nodes.contains { $0.op == .cos })
  }

  @Test("symbolic shapes have gradients too, which bind")
  func symbolic() throws {
    var b = GraphBuilder(name: "g")
    let x = b.input("x", TensorType(.f64, [Dim(symbol: "B"), 4]), role: .argument)
    let labels = b.input("y", TensorType(.i32, [Dim(symbol: "B")]), role: .argument)
    let loss = b.make(.crossEntropy, [x, labels])
    b.output("gradient", try b.differentiate(loss, withRespectTo: [x])[0])
    #expect(b.graph.verify() == [])
    let tensor = try #require(Tensor(zeros: [2, 4], dtype: .f64))
    let classes = try #require(Tensor([1.0, 3.0], shape: [2], dtype: .i32))
    let gradient = try #require(try b.graph.evaluate(["x": tensor, "y": classes])["gradient"])
    #expect(gradient.data == [0.125, -0.375, 0.125, 0.125, 0.125, 0.125, 0.125, -0.375])
  }
}
