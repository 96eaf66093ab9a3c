import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

@Suite("lint, explain, blame")
struct ReportTests {
  @Test func adamsEpsIsZeroInF16AtO3AndTheLineIsNamed() throws {
    let program = try step(smallLoss(), policy("16 O3"), optimizer: adam)
    let text = program.warnings.map { $0.rendered() }
    #expect(text.count == 1)
    #expect(text.first?.hasPrefix("train.ltm:21:40: warning: Adam: 1e-08 (an operand of add) is 0 in f16") == true)
  }

  @Test("elsewhere eps is kept", arguments: ["16 O2", "16 O1", "bf16 O3", "32 O0", "64 O0"])
  func epsElsewhere(_ line: String) throws {
    #expect(try step(smallLoss(), policy(line), optimizer: adam).warnings.isEmpty)
  }

  @Test(
    "a mask that f16 cannot hold is an error, an infinity is not",
    arguments: [(-1e9, true), (-.infinity, false), (-6e4, false)])
  func mask(_ number: Double, _ isError: Bool) throws {
    var b = GraphBuilder(name: "loss")
    let x = b.input("x", TensorType(.float, [4]), role: .argument)
    let w = b.input("w", TensorType(.float, [4]), role: .parameter)
    b.location = Location(path: "model.ltm", line: 12, column: 30)
    let masked = b.select(b.make(.less, [x, w]), b.mul(x, w), b.fill(number, like: x))
    b.output("result", b.sum(b.make(.softmax, [masked], ["axis": .int(0)]), [0]))
    let findings = representability(of: try insertCasts(b.graph, policy("16 O2")).graph)
    #expect(findings.map(\.severity) == (isError ? [.error] : []))
    if isError {
      #expect(
        findings[0].rendered().hasPrefix("model.ltm:12:30: error: -1000000000 (an operand of where) is infinite in f16")
      )
      #expect(throws: DiagnosticSet.self) { try step(b.graph, policy("16 O2")) }
    }
    #expect(representability(of: try insertCasts(b.graph, policy("bf16 O2")).graph).isEmpty)
  }

  @Test("explain, as a user reads it", arguments: ["16 O1", "16 O2"])
  func explain(_ line: String) throws {
    let policy = try policy(line)
    let cast = try insertCasts(smallLoss(), policy)
    let report = ExplainReport(cast, policy: policy, bytes: [("weight_bytes", 72)])
    let name = "explain-" + line.replacing(" ", with: "-")
    try expectGolden(report.text, ownGoldens.appending(path: "\(name).txt"))
    try expectGolden(report.json.text(indent: 2) + "\n", ownGoldens.appending(path: "\(name).json"))
  }

  @Test("results of one op have dtypes of their own", arguments: ["16 O1", "16 O2", "bf16 O2", "16 O3"])
  func mixedResults(_ line: String) throws {
    func type(_ shape: [Int]) -> TensorType { TensorType(.float, shape.map { Dim($0) }) }
    let body = try Graph.body("block", [("x", type([2, 4])), ("w", type([4, 4])), ("s", TensorType(.f32, [4]))]) {
      (b, v) throws(OpError) in
      let product = b.make(.matmul, [v[0], v[1]])
      return [b.mul(v[2], v[2]), product, b.sum(product, [0, 1])]
    }
    var b = GraphBuilder(name: "forward")
    let x = b.input("x", type([2, 4]), role: .argument)
    let w = b.input("w", type([4, 4]), role: .parameter)
    let s = b.input("s", TensorType(.f32, [4]), role: .state)
    for (number, value) in try b.control(.checkpoint, [x, w, s], [:], bodies: [body]).enumerated() {
      b.output("y\(number)", value)
    }
    let cast = try insertCasts(b.graph, policy(line))
    #expect(cast.graph.verify(stage: [.afterCasts]) == [], "\(cast.graph.text)")
    let op = try #require(cast.graph.nodes.first { $0.op == .checkpoint })
    #expect(op.types.map(\.dtype)[0] == .f32 && op.types.map(\.dtype)[1].isHalf, "\(cast.graph.text)")
  }

  @Test("what a body gives to a state is f32 at every level", arguments: ["16 O1", "16 O2", "16 O3", "bf16 O3"])
  func statesOfBodies(_ line: String) throws {
    func type(_ shape: [Int]) -> TensorType { TensorType(.float, shape.map { Dim($0) }) }
    let body = try Graph.body("block", [("x", type([8, 4])), ("seen", type([4]))]) { (b, v) throws(OpError) in
      let mean = b.make(.mean, [b.mul(v[0], v[0])], ["axes": .ints([0]), "keep": .bool(false)])
      return [b.make(.relu, [v[0]]), b.add(v[1], mean)]
    }
    var b = GraphBuilder(name: "forward")
    let x = b.input("x", type([8, 4]), role: .argument)
    let seen = b.input("seen", type([4]), role: .state)
    let results = try b.control(.checkpoint, [x, seen], [:], bodies: [body])
    b.output("result", results[0])
    b.output("seen", results[1], updates: "seen")
    let graph = try insertCasts(b.graph, policy(line)).graph
    let made = try #require(graph.nodes.first { $0.op == .checkpoint }).bodies[0]
    let mean = try #require(made.nodes.first { $0.op == .mean })
    #expect(mean.type.dtype == .f32 && made.outputTypes[1].dtype == .f32, "\(graph.text)")
    #expect(graph.verify(stage: [.afterCasts]) == [], "\(graph.text)")
  }

  @Test("the body of a loop is explained once, with how often it runs") func explainBodies() throws {
    func type(_ shape: [Int]) -> TensorType { TensorType(.float, shape.map { Dim($0) }) }
    let body = try Graph.body("loop", [("w", type([4, 4])), ("h", type([2, 4])), ("x", type([2, 4]))]) {
      (b, v) throws(OpError) in [b.make(.tanh, [b.add(b.make(.matmul, [v[1], v[0]]), v[2])])]
    }
    var b = GraphBuilder(name: "forward")
    let x = b.input("x", type([5, 2, 4]), role: .argument)
    let w = b.input("w", type([4, 4]), role: .parameter)
    let h = b.input("h", type([2, 4]), role: .argument)
    let results = try b.control(
      .scan, [w, h, x],
      ["constants": .int(1), "carried": .int(1), "length": .dim(5), "reversed": .bool(false)], bodies: [body])
    b.output("result", results[0])
    let policy = try policy("16 O1")
    let report = ExplainReport(try insertCasts(b.graph, policy), policy: policy)
    let products = report.lines.filter { $0.what == "matmul" }
    #expect(products.map(\.rounds) == [5] && products.map(\.type.dtype) == [.f16])
    // A weight's cast stands before the loop, and nowhere else.
    let casts = report.lines.filter { $0.castFrom != nil && $0.type.shape == [4, 4] }
    #expect(casts.map(\.rounds) == [nil], "\(report.text)")
    #expect(report.text.contains("matmul x 5") && !report.text.contains("scan x"), "\(report.text)")
  }

  private func blamed(
    _ graph: Graph, _ policy: PrecisionPolicy, x: [Double], w: [Double], scale: Double = 65536
  ) throws -> String {
    let program = try step(graph, policy)
    var machine = try StepMachine(program, parameters: ["w": w, "seen": [0, 0]])
    if program.graph.input(StepControl.lossScale.rawValue) != nil {
      try machine.set(StepControl.lossScale.rawValue, [scale])
    }
    let argument = try #require(program.graph.input("x"))
    let type = program.graph[argument.value].type
    let inputs = machine.state.merging(["x": try tensor(x, [2], type.dtype)]) { $1 }
    let values = try program.graph.evaluateAll(inputs, rounding: .everyOp)
    let isScaled = policy.level.lossScale != .off
    let found = blame(program.graph, step: 12, lossScale: isScaled ? scale : nil) { facts(values[$0.index]) }
    return found.map { $0.rendered() } ?? "nothing"
  }

  /// What a replay would see in a value.
  private func facts(_ value: Reference) -> ValueFacts {
    value.data.reduce(into: []) { facts, number in
      if number.isNaN { facts.insert(.nan) }
      if number == .infinity { facts.insert(.positiveInfinity) }
      if number == -.infinity { facts.insert(.negativeInfinity) }
      if number == 0 { facts.insert(.zero) }
      if number.isFinite, number < 0 { facts.insert(.negative) }
    }
  }

  /// A loss of two weights, and what is said of it.
  struct Fault: Sendable, CustomTestStringConvertible {
    let name: String
    let w: [Double]
    let loss: @Sendable (inout GraphBuilder, ValueID) -> ValueID
    let message: [String]
    var line = "32 O0"
    var testDescription: String { name }
  }

  private static func unary(_ op: Op) -> @Sendable (inout GraphBuilder, ValueID) -> ValueID {
    { b, w in b.make(op, [w]) }
  }

  static let faults = [
    Fault(
      name: "log of a negative", w: [-1, 1], loss: unary(.log), message: ["log made the first NaN", "no value below 0"]),
    Fault(
      name: "log of 0", w: [0, 1], loss: unary(.log), message: ["log made the first infinity", "the logarithm of 0"]),
    Fault(
      name: "root of a negative", w: [-1, 1], loss: unary(.sqrt),
      message: ["sqrt made the first NaN", "no value below 0"]),
    Fault(
      name: "slope of the root at 0", w: [0, 1], loss: unary(.sqrt),
      message: ["the gradient of sqrt made the first infinity", "the slope of sqrt is infinite at 0"]),
    Fault(name: "0 / 0", w: [0, 1], loss: { b, w in b.div(w, w) }, message: ["div made the first NaN", "0 / 0"]),
    Fault(
      name: "1 / 0", w: [0, 1], loss: unary(.reciprocal),
      message: ["reciprocal made the first infinity", "divides by 0"]),
    Fault(
      name: "power of a negative", w: [-1, 1], loss: { b, w in b.make(.pow, [w, b.fill(0.5, like: w)]) },
      message: ["pow made the first NaN", "whole ones"]),
    Fault(
      name: "inf - inf of an overflow", w: [300, 1],
      loss: { b, w in
        let square = b.mul(w, w)
        return b.sub(square, square)
      }, message: ["mul made the first infinity", "f16 ends at 65504", "no loss scale can help"], line: "16 O2"),
    Fault(
      name: "overflow of f32", w: [1e30, 1], loss: unary(.square),
      message: ["square made the first infinity", "f32 ends at 3.4"]),
    Fault(
      name: "masked row", w: [1, 2],
      loss: { b, w in
        let none = b.make(.less, [w, w])
        return b.make(
          .softmax, [b.add(w, b.select(none, b.fill(0, like: w), b.fill(-.infinity, like: w)))], ["axis": .int(0)])
      }, message: ["softmax made the first NaN", "nothing but -inf", "where(any(mask"], line: "16 O2"),
    Fault(
      name: "masked row by a logarithm", w: [1, 2],
      loss: { b, w in
        b.make(.logSoftmax, [b.add(w, b.make(.log, [b.scale(w, by: 0)]))], ["axis": .int(0)])
      }, message: ["log_softmax made the first NaN", "nothing but -inf"]),
    Fault(
      name: "a masked row that is thrown away", w: [1, 2],
      loss: { b, w in
        let all = b.make(.greater, [w, b.fill(0, like: w)])
        let mask = b.select(all, b.fill(-.infinity, like: w), b.fill(0, like: w))
        let masked = b.make(.softmax, [b.add(w, mask)], ["axis": .int(0)])
        return b.select(all, b.fill(1, like: w), masked)
      }, message: ["softmax made the first NaN", "nothing but -inf"], line: "16 O3"),
    Fault(
      name: "too few numbers for a variance", w: [1, 2],
      loss: { b, w in
        b.make(
          .variance, [b.reshape(w, to: [2, 1])], ["axes": .ints([1]), "keep": .bool(false), "correction": .int(1)])
      }, message: ["variance made the first NaN", "a larger batch"]),
  ]

  @Test("a NaN is told from an infinity, with its cause", arguments: faults)
  func causes(_ fault: Fault) throws {
    var b = GraphBuilder(name: "loss")
    _ = b.input("x", TensorType(.float, [2]), role: .argument)
    let w = b.input("w", TensorType(.float, [2]), role: .parameter)
    let value = fault.loss(&b, w)
    b.output("result", b.make(.mean, [value], ["axes": .ints([0]), "keep": .bool(false)]))
    let text = try blamed(b.graph, policy(fault.line), x: [1, 1], w: fault.w)
    for part in fault.message { #expect(text.contains(part), "\(text)") }
    #expect(text.contains("@f32") == (fault.message.contains { $0.contains("f16 ends") }), "\(text)")
  }

  @Test func anOverflowInTheForwardPassIsBlamedOnItsOp() throws {
    let text = try blamed(productLoss(), policy("16 O2"), x: [300, 1], w: [300, 1])
    #expect(text.hasPrefix("model.ltm:3:7: error: step 12: mul in product made the first infinity, f16[2]"))
    #expect(text.contains("no loss scale can help"))
    #expect(text.contains("f16 ends at 65504: keep the layer in f32 with keep-f32=product"))
  }

  @Test func anOverflowOfAScaledGradientIsBlamedOnTheScale() throws {
    let text = try blamed(productLoss(), policy("16 O2"), x: [5, 1], w: [1, 1])
    #expect(
      text.hasPrefix("model.ltm:3:7: error: step 12: the gradient of mul in product made the first infinity"))
    #expect(text.contains("a gradient scaled by 65536: a smaller loss scale can help"))
  }

  @Test func badDataAndBadWeightsAreBlamedAsSuch() throws {
    let data = try blamed(productLoss(), policy("16 O2"), x: [.nan, 1], w: [1, 1])
    #expect(data.contains("step 12: the argument 'x' holds a NaN"))
    let weights = try blamed(productLoss(), policy("bf16 O3"), x: [1, 1], w: [.infinity, 1])
    #expect(weights.contains("step 12: 'w' holds an infinity before the step begins"))
  }

  @Test func aStepWithoutFaultBlamesNoOne() throws {
    #expect(try blamed(productLoss(), policy("16 O2"), x: [1, 1], w: [1, 1]) == "nothing")
  }
}
