import Foundation
import LTMFrontEnd
import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

/// Micro-batches of one step, held against one batch of all their rows.
@Suite("gradient accumulation")
struct AccumulationTests {
  static let lines = ["64 O0", "32 O0", "16 O1 loss-scale=128", "bf16 O1", "16 O2 loss-scale=128", "bf16 O2"]

  private func tolerance(_ line: String) -> Double {
    line.hasPrefix("64") ? 1e-12 : line.hasPrefix("32") ? 1e-6 : line.hasPrefix("bf16") ? 2e-2 : 2e-3
  }

  private func program(
    _ loss: Graph, _ policy: PrecisionPolicy, count: Int, optimizer: OptimizerTemplate = momentum
  ) throws -> StepProgram {
    var rules = StepRules(optimizer: optimizer, schedule: decay())
    rules.accumulation = count
    let program = try buildStep(loss: insertCasts(loss, policy).graph, rules: rules, policy: policy)
    #expect(program.graph.verify(stage: [.afterCasts, .bound]) == [])
    return program
  }

  private func rows(_ count: Int, seed: UInt64, _ policy: PrecisionPolicy) throws -> [String: Tensor] {
    var random = SeededGenerator(seed: seed)
    let dtype = policy.level.inputs == .half ? policy.half ?? policy.full : policy.full
    return [
      "x": try tensor(random.numbers(3 * count), [count, 3], dtype),
      "label": try tensor((0..<count).map { Double($0 % 3) }, [count], .i32),
    ]
  }

  @Test("four micro-batches are one batch of four times the rows", arguments: lines)
  func wholeWindow(_ line: String) throws {
    let policy = try policy(line)
    var parts = try StepMachine(program(smallLoss(batch: 2), policy, count: 4), parameters: smallParameters())
    var whole = try StepMachine(step(smallLoss(batch: 8), policy, schedule: decay()), parameters: smallParameters())
    for update in 0..<4 {
      let batch = try rows(8, seed: UInt64(update), policy)
      let (found, expected) = (try parts.run(batch), try whole.run(batch))
      expectClose(
        try #require(found["loss"]), try #require(expected["loss"]), .absolute(tolerance(line)), "loss \(update) ")
      #expect(found["lr"] == expected["lr"])
      #expect(found["found_inf"] == [0])
    }
    #expect(try parts.number(.step) == 4)
    for slot in whole.program.slots where slot.role == .master || slot.role == .parameter {
      expectClose(try parts.numbers(slot.name), try whole.numbers(slot.name), .absolute(tolerance(line)), slot.name)
    }
  }

  @Test("a window that ends early weighs what it holds", arguments: lines)
  func earlyEnd(_ line: String) throws {
    let policy = try policy(line)
    var parts = try StepMachine(program(smallLoss(batch: 2), policy, count: 4), parameters: smallParameters())
    var whole = try StepMachine(step(smallLoss(batch: 6), policy, schedule: decay()), parameters: smallParameters())
    try parts.set(StepControl.microBatches.rawValue, [3])
    var batch = try rows(8, seed: 3, policy)
    let first = try rows(6, seed: 3, policy)
    // What stands behind the end of the window must not matter.
    let dtype = try #require(batch["x"]).dtype
    batch["x"] = try tensor(
      try #require(first["x"]).doubles + [.infinity, .nan, 1, 2, 3, 4], [8, 3], dtype)
    let (found, expected) = (try parts.run(batch), try whole.run(first))
    expectClose(try #require(found["loss"]), try #require(expected["loss"]), .absolute(tolerance(line)))
    for name in ["fc1.weight", "fc2.weight", "norm.bias"] {
      expectClose(try parts.numbers(name), try whole.numbers(name), .absolute(tolerance(line)), name)
    }
  }

  @Test("one overflow skips the window, and layer state is what it was at its start", arguments: ["16 O2", "64 O0"])
  func overflow(_ line: String) throws {
    let policy = try policy(line, onNonfinite: .skip)
    let loss = rowLoss()
    var machine = try StepMachine(program(loss, policy, count: 3), parameters: ["w": [1, 2], "seen": [0, 0]])
    let dtype = policy.level.inputs == .half ? policy.half ?? policy.full : policy.full
    func batch(_ x: [Double]) throws -> [String: Tensor] { ["x": try tensor(x, [3, 2], dtype)] }
    #expect(try machine.run(batch([0.25, 0.5, 0.5, 0.25, 0.125, 0]))["found_inf"] == [0])
    #expect(try machine.numbers("seen") == [0.875, 0.75])
    let before = machine.state
    #expect(try machine.run(batch([0.5, 0.5, .infinity, 1, 1, 1]))["found_inf"] == [1])
    for name in ["w", "seen", "optimizer/w/velocity", "control/step"] { #expect(machine.state[name] == before[name]) }
    #expect(try machine.number(.attempt) == 2)
  }

  /// Rows of two; its state adds up what it has seen.
  private func rowLoss() -> Graph {
    var b = GraphBuilder(name: "loss")
    let x = b.input("x", TensorType(.float, [1, 2]), role: .argument)
    let w = b.input("w", TensorType(.float, [2]), role: .parameter)
    let seen = b.input("seen", TensorType(.float, [2]), role: .state)
    let row = b.make(.reshape, [x], ["shape": .dims([2])])
    b.output("result", b.make(.mean, [b.mul(row, w)], ["axes": .ints([0]), "keep": .bool(false)]))
    b.output("seen", b.add(seen, row), updates: "seen")
    return b.graph
  }

  // MARK: Losses of a sum and its weight

  private let source = """
    model M {
      param w: [4] = zeros()
      func loss(x: [B, 4], mask: [B]) -> ([], []) {
        return (sum(mask * square(sum(x * w, axis: 1) - 1)), sum(mask))
      }
      func mean_loss(x: [B, 4], mask: [B]) -> [] {
        return sum(mask * square(sum(x * w, axis: 1) - 1)) / sum(mask)
      }
      func tokens(x: [B, T, 5], label: i32[B, T]) -> ([], []) { return token_loss(x * w[0], label) }
      func kept(x: [N, 5], label: i32[N]) -> [] { return cross_entropy(x * w[0], label) }
      func dropped(x: [B, 4]) -> [] { return sum(mean(dropout(x, 0.5) * w, axis: 0)) }
    }
    """

  private func graph(_ entry: String, rows: Int, _ sizes: [String: Int] = [:]) throws -> Graph {
    let file = try load(path: "test.ltm") { _ in Array(source.utf8) }
    let sizes = sizes.isEmpty ? ["B": rows] : sizes
    return try file.instantiate(model: "M").graph(entry: entry, training: true).bound(sizes)
  }

  @Test("token_loss leaves out what is ignored, however batches are cut", arguments: [1, 2])
  func tokens(_ count: Int) throws {
    let policy = try policy("64 O0")
    let first: [String: [Double]] = ["w": [0.5, 0, 0, 0]]
    let loss = try graph("tokens", rows: 0, ["B": 4 / count, "T": 3])
    var machine = try StepMachine(program(loss, policy, count: count), parameters: first)
    var plain = try StepMachine(program(graph("kept", rows: 0, ["N": 7]), policy, count: 1), parameters: first)
    var random = SeededGenerator(seed: 4)
    let (x, labels) = (random.numbers(60), [0, -100, 4, 2, -100, -100, -100, 1, 1, -100, 3, 0].map(Double.init))
    let kept = labels.indices.filter { labels[$0] >= 0 }
    let found = try machine.run(["x": tensor(x, [4, 3, 5], .f64), "label": tensor(labels, [4, 3], .i32)])
    let expected = try plain.run([
      "x": tensor(kept.flatMap { x[5 * $0..<5 * $0 + 5] }, [7, 5], .f64),
      "label": tensor(kept.map { labels[$0] }, [7], .i32),
    ])
    expectClose(try #require(found["loss"]), try #require(expected["loss"]), .absolute(1e-12))
    expectClose(try machine.numbers("w"), try plain.numbers("w"), .absolute(1e-12))
  }

  @Test(
    "micro-batches of unequal weights count by their weight", arguments: [[1, 1, 1, 0, 0, 1], [0, 0, 1, 1, 0, 1]])
  func weights(_ mask: [Double]) throws {
    let policy = try policy("64 O0")
    let first: [String: [Double]] = ["w": [0.5, -1, 0.25, 2]]
    var parts = try StepMachine(program(graph("loss", rows: 2), policy, count: 3), parameters: first)
    var one = try StepMachine(program(graph("loss", rows: 6), policy, count: 1), parameters: first)
    var plain = try StepMachine(program(graph("mean_loss", rows: 6), policy, count: 1), parameters: first)
    var random = SeededGenerator(seed: 1)
    for _ in 0..<3 {
      let batch = ["x": try tensor(random.numbers(24), [6, 4], .f64), "mask": try tensor(mask, [6], .f64)]
      let losses = [try parts.run(batch), try one.run(batch), try plain.run(batch)].compactMap { $0["loss"] }
      expectClose(losses[0], losses[2], .absolute(1e-12))
      expectClose(losses[1], losses[2], .absolute(1e-12))
    }
    expectClose(try parts.numbers("w"), try plain.numbers("w"), .absolute(1e-12))
    expectClose(try one.numbers("w"), try plain.numbers("w"), .absolute(1e-12))
  }

  @Test("micro-batches draw numbers of their own, the same when a window is made again")
  func masks() throws {
    let policy = try policy("64 O0")
    let plain = OptimizerTemplate(name: "SGD", states: []) { shape throws(DiagnosticSet) in
      var b = GraphBuilder(name: "SGD")
      let weight = b.input("weight", TensorType(.float, shape), role: .parameter)
      b.output("weight", b.sub(weight, b.input("grad", TensorType(.float, shape), role: .argument)))
      return b.graph
    }
    func moved() throws -> [Double] {
      let built = try program(graph("dropped", rows: 1), policy, count: 8, optimizer: plain)
      var machine = try StepMachine(built, parameters: ["w": [0, 0, 0, 0]])
      _ = try machine.run(["x": tensor(Array(repeating: 1, count: 32), [8, 4], .f64)])
      return try machine.numbers("w")
    }
    let found = try moved()
    // Each of eight masks gives 0 or 2, so that equal masks would give 0 or 2 for their mean.
    #expect(found.contains { $0 != 0 && $0 != -2 })
    #expect(try moved() == found)
  }
}
