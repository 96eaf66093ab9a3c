import LTMIR
import LTMPrecision
import TestSupport
import Testing

@Suite("random numbers in a training step")
struct RandomStepTests {
  /// `mean(dropout(x w^T)^2)` with noise on the rows, as the front end makes it.
  private func loss(batch: Int) throws -> Graph {
    var b = GraphBuilder(name: "loss")
    let x = b.input("x", TensorType(.float, [Dim(batch), 3]), role: .argument)
    let w = b.input("w", TensorType(.float, [5, 3]), role: .parameter)
    let seed = b.input(Graph.seed, TensorType(.i32, [4]), role: .control)
    let root = b.make(.foldKey, [seed, b.input(Graph.attempt, TensorType(.i32, []), role: .control)])
    let keys = (1...2).map { b.make(.foldKey, [root], ["stream": .int($0)]) }
    let noise = b.make(
      .normal, [keys[0]],
      [
        "shape": .dims([Dim(batch), 3]), "mean": .float(0), "std": .float(0.1), "dtype": .dtype(.float),
        "rows": .int(0),
      ])
    let hidden = b.make(.linear, [b.add(x, noise), w])
    let dropped = b.make(.dropout, [hidden, keys[1]], ["p": .float(0.5), "rows": .int(0)])
    b.output("result", b.make(.mean, [b.make(.square, [dropped])], ["axes": .ints([0, 1]), "keep": .bool(false)]))
    return b.graph
  }

  private func batch(_ policy: PrecisionPolicy) throws -> Tensor {
    var random = SeededGenerator(seed: 1)
    return try tensor(
      random.numbers(12 * 3), [12, 3], policy.level.inputs == .half ? policy.half ?? .f32 : policy.full)
  }

  private let weights = ["w": SeededGenerator.numbers(15, seed: 2)]

  @Test("replicas draw by the rows of the whole batch", arguments: ["64 O0", "32 O0", "16 O1", "16 O2"], [2, 3])
  func replicas(_ line: String, _ replicas: Int) throws {
    let policy = try policy(line)
    var one = try StepMachine(step(loss(batch: 12), policy), parameters: weights)
    var several = try StepMachine(step(loss(batch: 12 / replicas), policy, replicas: replicas), parameters: weights)
    let x = try batch(policy)
    let size = 36 / replicas
    let parts = try (0..<replicas).map { replica in
      ["x": try tensor(Array(x.doubles[replica * size..<(replica + 1) * size]), [12 / replicas, 3], x.dtype)]
    }
    for _ in 0..<3 {
      let (a, b) = (try one.run(["x": x])["loss"], try several.run(replicas: parts)["loss"])
      let tolerance = line.hasPrefix("64") ? 1e-12 : line.hasPrefix("32") ? 1e-5 : 5e-3
      expectClose(try #require(b?.first), try #require(a?.first), .relative(tolerance, least: 0))
    }
  }

  @Test("each attempt draws anew, a skipped one too, and the same attempt the same")
  func attempts() throws {
    let policy = try policy("32 O0")
    var machine = try StepMachine(step(loss(batch: 12), policy), parameters: weights, rate: 0)
    let x = try batch(policy)
    let losses = try (0..<3).map { _ in try machine.run(["x": x])["loss"]?.first }
    #expect(Set(losses).count == 3)
    try machine.set(StepControl.attempt.rawValue, [1])
    #expect(try machine.run(["x": x])["loss"]?.first == losses[1])
    let infinite = try tensor([.infinity] + x.doubles.dropFirst(), x.shape, x.dtype)
    #expect(try machine.run(["x": infinite])["found_inf"] == [1])
    #expect(try machine.number(.attempt) == 3)
  }

  @Test("a step has the seed and the attempt once, and a checkpoint the attempt")
  func slots() throws {
    let slots = try step(loss(batch: 4), policy("16 O2")).slots
    #expect(slots.filter { $0.name == Graph.seed }.map(\.checkpointKey) == [nil])
    #expect(slots.filter { $0.name == Graph.attempt }.map(\.checkpointKey) == [Graph.attempt])
    #expect(slots.contains { $0.name == Graph.seed && $0.initial == .host })
    let without = try step(smallLoss(), policy("32 O0")).slots
    #expect(!without.contains { $0.name == Graph.seed })
  }

  @Test("what is drawn has full precision at every level", arguments: ["32 O0", "16 O1", "16 O2", "bf16 O3", "64 O0"])
  func precision(_ line: String) throws {
    let policy = try policy(line)
    let cast = try insertCasts(loss(batch: 4), policy).graph
    for node in cast.nodes where node.op == .normal { #expect(node.type.dtype == policy.full, "\(node)") }
    #expect(cast.nodes.count { $0.op == .normal } == 1)
  }
}

extension SeededGenerator {
  fileprivate static func numbers(_ count: Int, seed: UInt64) -> [Double] {
    var random = SeededGenerator(seed: seed)
    return random.numbers(count)
  }
}
