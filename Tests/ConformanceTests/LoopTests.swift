import LTM
import LTMHLO
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMPTX
import LTMSupport
import TestSupport
import Testing

/// Ops with bodies on every target: each runs them its own way.
@Suite struct LoopTests {
  enum Program: String, CaseIterable {
    /// Carried sums of rows that start where vectors may not.
    case sums, reversedSums
    /// Two carried values that change places, and a third that stays.
    case swap
    /// A loop in a loop, over rows and columns.
    case nested
    /// What a loop makes is used in it, before it, and after it; a carried value is given out twice.
    case mixed
    /// A recurrent network and the gradients of all its inputs.
    case gradient, reversedGradient
    case call, checkpoint
    /// A loop that runs once.
    case once
  }

  @Test(arguments: Subject.present, Program.allCases)
  fileprivate func agrees(_ subject: Subject, _ program: Program) throws {
    let graph = try lowered(program.graph())
    let given = try graph.inputs.map { ($0.name, try tensor(graph[$0.value].type, seed: $0.name.utf8.count)) }
    let inputs = Dictionary(uniqueKeysWithValues: given)
    let found = try run(graph, on: subject.backend(), inputs)
    let exact = try graph.evaluate(inputs, rounding: .none)
    expectAgreement(found, exact, "\(subject) \(program)") { _ in .rounding(steps: 200) }
  }

  @Test("the plan is legal, and gives what the graph does", arguments: Program.allCases, [true, false])
  fileprivate func plan(_ program: Program, fuse: Bool) throws {
    let graph = try lowered(program.graph())
    let plan = try buildPlan(graph, fuse: fuse)
    #expect(plan.verify() == [], "\(plan)")
    #expect(plan.bodies.isEmpty == false)
    let given = try graph.inputs.map { ($0.name, try tensor(graph[$0.value].type, seed: $0.name.utf8.count)) }
    let inputs = Dictionary(uniqueKeysWithValues: given)
    let exact = try graph.evaluate(inputs, rounding: .none)
    for plan in [plan, plan.flattened()] {
      for (name, values) in try plan.evaluate(inputs, rounding: false) {
        expectClose(values, try #require(exact[name]), .relative(1e-12), "\(program) \(name): ")
      }
    }
  }

  @Test("a longer loop is no longer plan, and two equal loops have one body")
  func sharing() throws {
    let (short, long) = (try network(4, reversed: false), try network(400, reversed: false))
    let plans = try [short, long].map { try buildPlan(lowered($0)) }
    #expect(plans[0].bodies.map(\.frame.steps.count) == plans[1].bodies.map(\.frame.steps.count))
    #expect(plans[1].kernels.count <= plans[0].kernels.count + 4)
    #expect(plans[1].launches.map(\.runs).max() == 400)
    #expect(plans[1].flattened().launches.count == plans[1].launches.reduce(0) { $0 + $1.runs })
    var b = GraphBuilder(name: "twice")
    let x = b.input("x", TensorType(.f32, [5, 3]), role: .argument)
    let once = try runningSums(&b, x, reversed: false)
    b.output("y", try runningSums(&b, once[1], reversed: false)[1])
    #expect(try buildPlan(lowered(b.graph)).bodies.count == 1)
  }

  private func tensor(_ type: TensorType, seed: Int) throws -> Tensor {
    let shape = try #require(type.staticShape)
    let values = (0..<shape.reduce(1, *)).map { Double(($0 * 37 + seed * 11) % 23) / 16 - 0.6 }
    return try #require(Tensor(values, shape: shape, dtype: type.dtype))
  }
}

private func f32(_ shape: [Int]) -> TensorType { TensorType(.f32, shape.map { Dim($0) }) }

private func loop(
  _ b: inout GraphBuilder, _ operands: [ValueID], constants: Int = 0, carried: Int, length: Int, reversed: Bool = false,
  _ body: Graph
) throws(OpError) -> [ValueID] {
  try b.control(
    .scan, operands,
    [
      "constants": .int(constants), "carried": .int(carried), "length": .dim(Dim(length)), "reversed": .bool(reversed),
    ], bodies: [body])
}

private func runningSums(_ b: inout GraphBuilder, _ x: ValueID, reversed: Bool) throws(OpError) -> [ValueID] {
  let length = b.type(x).shape[0].constant ?? 0
  let body = try Graph.body("sums", [("sum", f32([3])), ("x", f32([3]))]) { (b, v) throws(OpError) in
    let next = b.add(v[0], b.mul(v[1], v[1]))
    return [next, next]
  }
  let start = b.broadcast(b.constant(1, f32([])), to: [3])
  return try loop(&b, [start, x], carried: 1, length: length, reversed: reversed, body)
}

/// A recurrent cell of 3 units over rows of 2, its loss, and the gradients of its inputs.
private func network(_ length: Int, reversed: Bool) throws(OpError) -> Graph {
  let inputs: [(name: String, type: TensorType)] = [
    ("u", f32([2, 3])), ("w", f32([3, 3])), ("h", f32([5, 3])), ("x", f32([5, 2])),
  ]
  let cell = try Graph.body("cell", inputs) { (b, v) throws(OpError) in
    let sum = b.add(b.make(.matmul, [v[3], v[0]]), b.make(.matmul, [v[2], v[1]]))
    let next = b.make(.tanh, [sum])
    return [next, b.mul(next, sum)]
  }
  var b = GraphBuilder(name: "network")
  let values = zip(["u", "w", "h", "x"], [[2, 3], [3, 3], [5, 3], [length, 5, 2]]).map {
    b.input($0, f32($1), role: .argument)
  }
  let results = try loop(&b, values, constants: 2, carried: 1, length: length, reversed: reversed, cell)
  let losses = results.map { b.sum(b.mul($0, $0), Array(0..<b.type($0).rank)) }
  let loss = b.add(losses[0], losses[1])
  b.output("loss", loss)
  for (number, gradient) in try b.differentiate(loss, withRespectTo: values).enumerated() {
    b.output("gradient.\(number)", gradient)
  }
  return b.graph
}

extension LoopTests.Program {
  func graph() throws(OpError) -> Graph {
    switch self {
    case .sums: try sums(reversed: false, length: 5)
    case .reversedSums: try sums(reversed: true, length: 5)
    case .once: try sums(reversed: true, length: 1)
    case .swap: try swap()
    case .nested: try nested()
    case .mixed: try mixed()
    case .gradient: try network(6, reversed: false)
    case .reversedGradient: try network(7, reversed: true)
    case .call: try single(.call)
    case .checkpoint: try single(.checkpoint)
    }
  }

  private func sums(reversed: Bool, length: Int) throws(OpError) -> Graph {
    var b = GraphBuilder(name: "sums")
    let x = b.input("x", f32([length, 3]), role: .argument)
    let results = try runningSums(&b, x, reversed: reversed)
    b.output("last", results[0])
    b.output("all", results[1])
    return b.graph
  }

  private func swap() throws(OpError) -> Graph {
    var b = GraphBuilder(name: "swap")
    let values = ["p", "qq", "rrr"].map { b.input($0, f32([4]), role: .argument) }
    let x = b.input("xxxx", f32([5, 4]), role: .argument)
    let inputs = ["p", "q", "r", "x"].map { (name: $0, type: f32([4])) }
    let body = try Graph.body("swap", inputs) { (b, v) throws(OpError) in
      [v[1], b.add(v[0], b.mul(v[3], v[2])), v[2], v[0]]
    }
    for (number, value) in try loop(&b, values + [x], carried: 3, length: 5, body).enumerated() {
      b.output("y\(number)", value)
    }
    return b.graph
  }

  private func nested() throws(OpError) -> Graph {
    var b = GraphBuilder(name: "nested")
    let x = b.input("x", f32([3, 4, 5]), role: .argument)
    let inner = try Graph.body("inner", [("scale", f32([5])), ("sum", f32([5])), ("x", f32([5]))]) {
      (b, v) throws(OpError) in
      let next = b.add(b.mul(v[1], v[0]), v[2])
      return [next, b.mul(next, v[2])]
    }
    let outer = try Graph.body("outer", [("scale", f32([5])), ("sum", f32([5])), ("x", f32([4, 5]))]) {
      (b, v) throws(OpError) in
      let start = b.mul(v[1], v[0])
      let made = try loop(&b, [v[0], start, v[2]], constants: 1, carried: 1, length: 4, reversed: true, inner)
      return [b.add(made[0], v[1]), made[1]]
    }
    let scale = b.input("scale", f32([5]), role: .parameter)
    let results = try loop(&b, [scale, b.mul(scale, scale), x], constants: 1, carried: 1, length: 3, outer)
    b.output("last", results[0])
    b.output("all", results[1])
    return b.graph
  }

  private func mixed() throws(OpError) -> Graph {
    var b = GraphBuilder(name: "mixed")
    let x = b.input("x", f32([6, 3]), role: .argument)
    let before = b.make(.tanh, [x])
    let results = try runningSums(&b, before, reversed: false)
    let after = b.add(results[1], before)
    b.output("last", results[0])
    b.output("again", results[0])
    b.output("after", after)
    b.output("total", b.sum(b.mul(after, results[1]), [0, 1]))
    return b.graph
  }

  private func single(_ op: Op) throws(OpError) -> Graph {
    var b = GraphBuilder(name: "single")
    let (x, w) = (b.input("x", f32([3, 4]), role: .argument), b.input("ww", f32([4, 4]), role: .parameter))
    let body = try Graph.body("layer", [("x", f32([3, 4])), ("w", f32([4, 4]))]) { (b, v) throws(OpError) in
      [b.make(.tanh, [b.make(.matmul, [v[0], v[1]])])]
    }
    let first = try b.control(op, [x, w], [:], bodies: [body])[0]
    let second = try b.control(op, [first, w], [:], bodies: [body])[0]
    let loss = b.sum(b.mul(second, second), [0, 1])
    b.output("loss", loss)
    for (number, gradient) in try b.differentiate(loss, withRespectTo: [x, w]).enumerated() {
      b.output("gradient.\(number)", gradient)
    }
    return b.graph
  }
}
