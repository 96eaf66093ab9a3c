import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

@Suite("the training step")
struct StepTests {
  static let lines = [
    "32 O0", "64 O0", "16 O1", "bf16 O1", "16 O2", "bf16 O2", "16 O3", "bf16 O3", "16 O2 loss-scale=128",
  ]

  @Test("is legal and has one slot for each input that lives on", arguments: lines)
  func isLegal(_ line: String) throws {
    let program = try step(smallLoss(), policy(line), optimizer: adam, schedule: decay())
    #expect(program.graph.verify(stage: [.afterCasts, .bound]) == [])
    let living = program.graph.inputs.filter { $0.role != .argument }.map(\.name)
    #expect(Set(program.slots.map(\.name)) == Set(living))
    for slot in program.slots {
      let input = try #require(program.graph.input(slot.name))
      #expect(program.graph[input.value].type == slot.type)
      #expect(input.role == slot.role)
    }
    let keys = program.slots.compactMap(\.checkpointKey)
    #expect(Set(keys).count == keys.count)
    #expect(keys.contains("fc1.weight"))
  }

  @Test("masters are where parameters are half", arguments: lines)
  func masters(_ line: String) throws {
    let program = try step(smallLoss(), policy(line))
    for slot in program.slots where slot.role == .parameter {
      let master = program.slots.first { $0.name == "master/\(slot.name)" }
      #expect((master != nil) == (slot.type.dtype.isHalf && !line.contains("O3")), "\(slot.name)")
      #expect(slot.checkpointKey == (master == nil ? slot.name : nil))
      #expect(master.map(\.checkpointKey) ?? slot.name == slot.name)
      let state = try #require(program.slots.first { $0.name == "optimizer/\(slot.name)/velocity" })
      #expect(state.type.dtype == master?.type.dtype ?? slot.type.dtype)
    }
  }

  @Test("the loss is never scaled, and gradients come out unscaled", arguments: lines)
  func unscaled(_ line: String) throws {
    let policy = try policy(line)
    let exact = try gradients(smallLoss(), self.policy64())
    let found = try gradients(smallLoss(), policy)
    let tolerance = line.hasPrefix("64") ? 1e-14 : line.hasPrefix("32") ? 1e-6 : line.hasPrefix("bf16") ? 3e-2 : 1e-2
    #expect(exact.keys.sorted() == found.keys.sorted())
    for (name, value) in exact {
      expectNear(try #require(found[name]), value, tolerance, name)
    }
  }

  private func policy64() throws -> PrecisionPolicy { try policy("64 O0") }

  private func gradients(_ graph: Graph, _ policy: PrecisionPolicy) throws -> [String: [Double]] {
    let gradients = try buildGradients(loss: insertCasts(graph, policy).graph, policy: policy)
    #expect(gradients.verify(stage: .afterCasts) == [])
    var inputs = try arguments(policy)
    for (name, values) in smallParameters() {
      guard let input = gradients.input(name) else { continue }
      let type = gradients[input.value].type
      inputs[name] = try tensor(values, try #require(type.staticShape), type.dtype)
    }
    for control in StepControl.allCases {
      guard let input = gradients.input(control.rawValue) else { continue }
      inputs[control.rawValue] = try tensor([policy.level.lossScale.initial], [], gradients[input.value].type.dtype)
    }
    return try gradients.evaluate(inputs, rounding: .everyOp).mapValues(\.data)
  }

  private func arguments(_ policy: PrecisionPolicy) throws -> [String: Tensor] {
    var random = SeededGenerator(seed: 11)
    let dtype = policy.level.inputs == .half ? policy.half ?? policy.full : policy.full
    return ["x": try tensor(random.numbers(12), [4, 3], dtype), "label": try tensor([0, 2, 1, 0], [4], .i32)]
  }

  @Test("training lowers the loss", arguments: lines)
  func trains(_ line: String) throws {
    let policy = try policy(line)
    var machine = try StepMachine(step(smallLoss(), policy), parameters: smallParameters())
    let batch = try arguments(policy)
    let first = try #require(machine.run(batch)["loss"])[0]
    for _ in 0..<15 { _ = try machine.run(batch) }
    let last = try #require(machine.run(batch)["loss"])[0]
    #expect(last < first * 0.7, "\(first) to \(last)")
    #expect(try machine.number(.step) == 17)
  }

  @Test("the half parameter is its master, rounded", arguments: ["16 O2", "bf16 O2"])
  func halfFollowsMaster(_ line: String) throws {
    let policy = try policy(line)
    var machine = try StepMachine(step(smallLoss(), policy), parameters: smallParameters())
    let batch = try arguments(policy)
    for _ in 0..<5 {
      _ = try machine.run(batch)
      let half = try #require(policy.half)
      #expect(try machine.numbers("fc1.weight") == machine.numbers("master/fc1.weight").map(half.round))
    }
  }

  @Test("momentum and the schedule as computed by hand, in f64")
  func byHand() throws {
    let policy = try policy("64 O0")
    var machine = try StepMachine(
      step(productLoss(), policy, schedule: decay()), parameters: ["w": [1, 2], "seen": [0, 0]], rate: 0.5)
    var (w, velocity) = ([1.0, 2.0], [0.0, 0.0])
    for count in 0..<6 {
      let x = [1.0 + Double(count), -0.5]
      let outputs = try machine.run(["x": tensor(x, [2], .f64)])
      #expect(outputs["loss"] == [(w[0] * x[0] + w[1] * x[1]) / 2])
      let rate = 0.5 * (1 / (1 + Double(count)))
      #expect(outputs["lr"] == [rate])
      velocity = zip(velocity, x).map { $0 * 0.5 + $1 / 2 }
      w = zip(w, velocity).map { $0 - rate * $1 }
      #expect(try machine.numbers("w") == w)
      #expect(try machine.numbers("optimizer/w/velocity") == velocity)
    }
  }

  @Test("what cannot be minimized is an error", arguments: ["16 O1"])
  func badLoss(_ line: String) throws {
    var b = GraphBuilder(name: "loss")
    let w = b.input("w", TensorType(.float, [2]), role: .parameter)
    b.output("result", w)
    let error = #expect(throws: DiagnosticSet.self) { try step(b.graph, policy(line)) }
    #expect(
      try #require(error).description.contains("'loss' cannot be minimized: it gives f32[2], not one floating scalar"))
  }

  @Test("a step's results keep their names to themselves", arguments: ["loss", "found_inf", "lr"])
  func takenNames(_ name: String) throws {
    var b = GraphBuilder(name: "error")
    let w = b.input(name, TensorType(.float, [2]), role: .parameter)
    b.output("result", b.sum(w, [0]))
    let error = #expect(throws: DiagnosticSet.self) { try step(b.graph, policy("16 O1")) }
    #expect(
      try #require(error).description.contains("'error' cannot be trained with something called '\(name)'"))
  }

  /// Decays what it updates, whatever its gradient is.
  private var decaying: OptimizerTemplate {
    OptimizerTemplate(name: "Decay", states: [("velocity", .constant(0))]) { shape throws(DiagnosticSet) in
      var b = GraphBuilder(name: "Decay")
      let weight = b.input("weight", TensorType(.float, shape), role: .parameter)
      let grad = b.input("grad", TensorType(.float, shape), role: .argument)
      let velocity = b.input("velocity", TensorType(.float, shape), role: .optimizerState)
      let new = b.add(velocity, grad)
      b.output("weight", b.sub(b.scale(weight, by: 0.5), new))
      b.output("velocity", new)
      return b.graph
    }
  }

  @Test("a weight that no gradient reaches stays as it is", arguments: lines)
  func frozen(_ line: String) throws {
    var b = GraphBuilder(name: "loss")
    let x = b.input("x", TensorType(.float, [2]), role: .argument)
    let weights = ["trained", "stopped", "compared", "largest", "floored"].map { name in
      b.input(name, TensorType(.float, [2]), role: .parameter)
    }
    let scaled = b.mul(b.mul(x, weights[0]), b.make(.stopGradient, [weights[1]]))
    let chosen = b.select(b.make(.less, [weights[2], x]), scaled, b.make(.floor, [weights[4]]))
    let index = b.make(.argmax, [weights[3]], ["axis": .int(0), "keep": .bool(true)])
    b.output("result", b.sum(b.make(.gather, [chosen, index], ["axis": .int(0)]), [0]))
    let policy = try policy(line)
    let program = try step(b.graph, policy, optimizer: decaying)
    #expect(program.slots.filter { $0.role == .optimizerState }.map(\.name) == ["optimizer/trained/velocity"])
    // 0.3 is in no dtype: what is kept for a checkpoint is the f32 weight, not its half.
    let first = Dictionary(uniqueKeysWithValues: b.graph.inputs.dropFirst().map { ($0.name, [0.3, 0.2]) })
    var machine = try StepMachine(program, parameters: first)
    let before = machine.state
    let dtype = policy.level.inputs == .half ? policy.half ?? policy.full : policy.full
    for _ in 0..<3 { _ = try machine.run(["x": tensor([1, 1], [2], dtype)]) }
    for slot in program.slots where slot.role == .parameter || slot.role == .master {
      #expect((machine.state[slot.name] == before[slot.name]) != slot.name.hasSuffix("trained"), "\(slot.name)")
    }
    for name in first.keys { #expect(program.slots.contains { $0.checkpointKey == name }) }
  }

  @Test(
    "a state that follows a weight follows its master",
    arguments: ["16 O1 loss-scale=1", "16 O2 loss-scale=1", "bf16 O2"])
  func average(_ line: String) throws {
    var b = GraphBuilder(name: "loss")
    let x = b.input("x", TensorType(.float, [2]), role: .argument)
    let w = b.input("w", TensorType(.float, [2]), role: .parameter)
    let seen = b.input("seen", TensorType(.float, [2]), role: .state)
    b.output("result", b.sum(b.mul(x, w), [0]))
    b.output("seen", b.add(b.scale(seen, by: 0.5), b.scale(w, by: 0.5)), updates: "seen")
    let policy = try policy(line)
    var machine = try StepMachine(step(b.graph, policy), parameters: ["w": [0.3, 0.2], "seen": [0, 0]])
    let dtype = policy.level.inputs == .half ? policy.half ?? policy.full : policy.full
    _ = try machine.run(["x": tensor([0, 0], [2], dtype)])
    #expect(try machine.numbers("seen") == [0.3, 0.2].map { DType.f32.round(0.5 * DType.f32.round($0)) })
  }

  @Test func aStateThatAnOptimizerDoesNotUseTakesNoMemory() throws {
    let plain = OptimizerTemplate(name: "SGD", states: [("velocity", .constant(0))]) { shape throws(DiagnosticSet) in
      var b = GraphBuilder(name: "SGD")
      let weight = b.input("weight", TensorType(.float, shape), role: .parameter)
      let grad = b.input("grad", TensorType(.float, shape), role: .argument)
      b.output("weight", b.sub(weight, grad))
      b.output("velocity", b.input("velocity", TensorType(.float, shape), role: .optimizerState), updates: "velocity")
      return b.graph
    }
    let program = try step(productLoss(), policy("16 O2"), optimizer: plain)
    #expect(program.slots.allSatisfy { $0.role != .optimizerState })
    #expect(program.graph.verify(stage: [.afterCasts, .bound]) == [])
  }

  @Test func layerStateThatIsOnlyReadHasASlot() throws {
    var b = GraphBuilder(productLoss())
    let fixed = b.input("fixed", TensorType(.float, [2]), role: .state)
    var graph = b.graph
    graph.nodes.append(Node(.add, [fixed, graph.outputs[1].value], type: TensorType(.float, [2])))
    graph.outputs[1].value = ValueID(graph.nodes.count - 1)
    let program = try step(graph, policy("16 O2"))
    #expect(program.slots.filter { $0.role == .state }.map(\.name) == ["seen", "fixed"])
  }

  @Test func anOptimizersFirstValueThatItsDTypeHasNotIsAnError() throws {
    let large = OptimizerTemplate(name: "Large", states: [("velocity", .constant(70000))]) {
      shape throws(DiagnosticSet) in
      try momentum.update(shape, []).graph
    }
    let error = #expect(throws: DiagnosticSet.self) { try step(productLoss(), policy("16 O3"), optimizer: large) }
    #expect(try #require(error).description.contains("the first value of 'velocity', is infinite in f16"))
    _ = try step(productLoss(), policy("16 O2"), optimizer: large)
  }

  @Test func anOptimizerThatReadsWhatAStepHasNotIsAnError() throws {
    let odd = OptimizerTemplate(name: "Odd", states: []) { shape throws(DiagnosticSet) in
      var b = GraphBuilder(name: "Odd")
      b.output("weight", b.neg(b.input("hessian", TensorType(.float, shape), role: .argument)))
      return b.graph
    }
    let error = #expect(throws: DiagnosticSet.self) { try step(productLoss(), policy("16 O2"), optimizer: odd) }
    #expect(try #require(error).description.contains("'Odd' reads 'hessian', which a step does not have"))
  }
}
