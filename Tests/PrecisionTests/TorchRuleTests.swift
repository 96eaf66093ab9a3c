import Foundation
import LTMFrontEnd
import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport
import TestSupport
import Testing

/// The prelude's rules of the training step, held to PyTorch's: `Tests/Fixtures/optimizers/record.py` records them.
@Suite("PyTorch's optimizers, schedules, clips and averages")
struct TorchRuleTests {
  private static let record = Result {
    try JSON(
      parsing: Array(Data(contentsOf: castGoldens.appending(path: "../../../Tests/Fixtures/optimizers/torch.json"))))
  }
  static func names(_ key: String) -> [String] {
    guard case .object(let members)? = try? record.get()[key] else { return [] }
    return members.map(\.key).filter { !$0.isEmpty }
  }
  private let record: JSON
  private let weights = ["tall": [5, 3], "wide": [3, 5], "vector": [4]]

  init() throws { record = try Self.record.get() }

  private func recorded(_ keys: String...) throws -> [String: [Double]] {
    var found = record
    for key in keys { found = try #require(found[key]) }
    let json = found
    return try weights.keys.reduce(into: [:]) {
      $0[$1] = try #require(json[$1]?.elements).compactMap(\.doubleValue)
    }
  }

  /// A model whose gradients are its arguments.
  private let source = """
    model M {
      param tall: [5, 3] = zeros()
      param wide: [3, 5] = zeros()
      param vector: [4] = zeros()
      func loss(tall_grad: [5, 3], wide_grad: [3, 5], vector_grad: [4]) -> [] {
        return sum(tall * tall_grad) + sum(wide * wide_grad) + sum(vector * vector_grad)
      }
    }
    """

  private func program(_ lines: [String], _ policy: PrecisionPolicy, tracksNorm: Bool = false) throws -> StepProgram {
    let file = try load(path: "test.ltm") { _ in Array(source.utf8) }
    let model = try file.instantiate(model: "M")
    var settings: TrainSettings?
    for line in lines {
      settings = try file.settings(of: "M", settings, replacing: SourceFile(path: "line", text: line))
    }
    let given = try #require(settings)
    var rules = try file.stepRules(try #require(given.optimizer), given, of: model)
    rules.tracksNorm = tracksNorm
    let loss = try insertCasts(model.graph(entry: "loss", training: true), policy).graph
    let program = try buildStep(loss: loss, rules: rules, policy: policy)
    #expect(program.graph.verify(stage: [.afterCasts, .bound]) == [])
    return program
  }

  /// The weights that all runs begin with.
  private var first: [String: [Double]] {
    weights.mapValues { shape in (0..<shape.reduce(1, *)).map { cos(0.5 * Double($0)) } }
  }

  private func machine(
    _ lines: [String], _ policy: PrecisionPolicy, rate: Double, tracksNorm: Bool = false
  ) throws -> StepMachine {
    try StepMachine(program(lines, policy, tracksNorm: tracksNorm), parameters: first, rate: rate, total: 20)
  }

  private func gradients(_ update: Int, _ policy: PrecisionPolicy, bad: Bool = false) throws -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    let dtype = policy.level.inputs == .half ? policy.half ?? policy.full : policy.full
    for (name, shape) in weights {
      var numbers = (0..<shape.reduce(1, *)).map {
        sin(1.7 * Double($0) + 0.9 * Double(update)) * (1 + 0.1 * Double(update))
      }
      if bad { numbers[1] = .infinity }
      result["\(name)_grad"] = try tensor(numbers, shape, dtype)
    }
    return result
  }

  /// Twenty updates, with a try in their middle that is skipped and must leave no trace.
  private func run(_ machine: inout StepMachine, _ policy: PrecisionPolicy) throws {
    for update in 0..<20 {
      if update == 10 {
        #expect(try machine.run(gradients(update, policy, bad: true))["found_inf"] == [1])
      }
      #expect(try machine.run(gradients(update, policy))["found_inf"] == [0])
    }
  }

  /// The learning rate of a rule as it is written, or what PyTorch has as its default.
  private func rate(of rule: String) throws -> Double {
    let file = try load(path: "test.ltm") { _ in Array(source.utf8) }
    let line = SourceFile(path: "line", text: "optimizer \(rule)")
    return try file.optimizer(try #require(file.settings(of: "M", nil, replacing: line).optimizer)).learningRate
  }

  private func expectWeights(
    _ machine: StepMachine, _ expected: [String: [Double]], _ tolerance: Double, prefix: String = ""
  ) throws {
    for (name, values) in expected {
      let slot = try #require(machine.program.slots.first { $0.checkpointKey == prefix + name })
      expectClose(try machine.numbers(slot.name), values, .absolute(tolerance), "\(name) ")
    }
  }

  @Test("optimizers make PyTorch's updates, and a skipped step counts for nothing", arguments: names("optimizers"))
  func optimizer(_ rule: String) throws {
    let policy = try policy("64 O0", onNonfinite: .skip)
    var machine = try machine(["optimizer \(rule)"], policy, rate: rate(of: rule))
    try run(&machine, policy)
    try expectWeights(machine, recorded("optimizers", rule), 1e-10)
  }

  @Test("optimizers in fp16 with masters stay near", arguments: names("optimizers"))
  func optimizerInHalf(_ rule: String) throws {
    let policy = try policy("16 O2 loss-scale=128")
    var machine = try machine(["optimizer \(rule)"], policy, rate: rate(of: rule))
    try run(&machine, policy)
    // The gradients that come in are rounded to f16; a sign may turn, and Newton and Schulz's iteration is not smooth.
    let expected = try recorded("optimizers", rule)
    try expectWeights(machine, expected, rule.hasPrefix("Muon") ? 5e-2 : 2e-2)
  }

  @Test("schedules give PyTorch's rates", arguments: names("schedules"))
  func schedule(_ rule: String) throws {
    let policy = try policy("64 O0", onNonfinite: .skip)
    var machine = try machine(["optimizer SGD(lr: 0.1)", "schedule \(rule)"], policy, rate: 0.1)
    let rates = try #require(record["schedules"]?[rule]?.elements).compactMap(\.doubleValue)
    for (update, rate) in rates.enumerated() {
      if update == 7 { _ = try machine.run(gradients(update, policy, bad: true)) }
      let found = try #require(machine.run(gradients(update, policy))["lr"])
      expectClose(found, [rate], .absolute(1e-14), "update \(update) ")
    }
  }

  @Test("one_cycle moves the momentum too", arguments: names("one_cycle"))
  func oneCycle(_ rule: String) throws {
    let policy = try policy("64 O0", onNonfinite: .skip)
    var machine = try machine(["optimizer \(rule)", "schedule one_cycle()"], policy, rate: rate(of: rule))
    try run(&machine, policy)
    try expectWeights(machine, recorded("one_cycle", rule), 1e-10)
  }

  @Test("a schedule that observes takes each value once, and keeps it through a skipped step")
  func plateau() throws {
    let policy = try policy("64 O0", onNonfinite: .skip)
    let rule = "plateau(factor: 0.5, patience: 2, threshold: 1e-2, cooldown: 1)"
    var machine = try machine(["optimizer SGD(lr: 0.1)", "schedule \(rule)"], policy, rate: 0.1)
    func numbers(_ key: String) throws -> [Double] {
      try #require(record["plateau"]?[key]?.elements).compactMap(\.doubleValue)
    }
    for (update, (value, rate)) in try zip(numbers("watched"), numbers("rates")).enumerated() {
      if update == 9 { _ = try machine.run(gradients(update, policy, bad: true)) }
      #expect(try machine.run(gradients(update, policy))["lr"] == [rate], "update \(update)")
      // A step without news changes nothing.
      #expect(try machine.run(gradients(update, policy))["lr"] == [rate], "update \(update)")
      try machine.set(StepControl.metric.rawValue, [value])
      try machine.set(StepControl.observed.rawValue, [1])
    }
  }

  @Test("gradients are clipped as PyTorch clips them", arguments: names("clips"))
  func clip(_ rule: String) throws {
    for (line, tolerance) in [("64 O0", 1e-10), ("16 O2 loss-scale=128", 5e-3), ("bf16 O1 loss-scale=1024", 5e-6)] {
      let policy = try policy(line, onNonfinite: .skip)
      var machine = try machine(["optimizer SGD(lr: 0.1)", "clip \(rule)"], policy, rate: 0.1)
      try run(&machine, policy)
      try expectWeights(machine, recorded("clips", rule), tolerance)
    }
  }

  @Test("the norm of all gradients is unscaled, and from before they are clipped", arguments: ["64 O0", "16 O2"])
  func norm(_ line: String) throws {
    let policy = try policy(line)
    var machine = try machine(["optimizer SGD(lr: 0.1)", "clip norm(0.5)"], policy, rate: 0.1, tracksNorm: true)
    if line == "16 O2" { try machine.set(StepControl.lossScale.rawValue, [512]) }
    let given = try gradients(3, policy)
    let square = given.values.flatMap(\.doubles).reduce(0) { $0 + $1 * $1 }
    let found = try #require(machine.run(given)["grad_norm"])
    expectClose(found, [square.squareRoot()], .relative(line == "64 O0" ? 1e-14 : 1e-3))
  }

  @Test("averages are PyTorch's, and saved under the weights' names", arguments: names("averages"))
  func average(_ rule: String) throws {
    let policy = try policy("64 O0", onNonfinite: .skip)
    var machine = try machine(["optimizer SGD(lr: 0.1)", "average \(rule)"], policy, rate: 0.1)
    try run(&machine, policy)
    try expectWeights(machine, recorded("averages", rule), 1e-12)
    let keys = Set(machine.program.slots.compactMap(\.checkpointKey))
    for name in weights.keys { #expect(keys.contains("current/\(name)")) }
  }

  @Test("groups have arguments and rates of their own")
  func groups() throws {
    let policy = try policy("64 O0", onNonfinite: .skip)
    let lines = [
      "optimizer AdamW(lr: 0.01)", "schedule exponential(gamma: 0.9)", "group \"v*\" { weight_decay: 0, lr: 1 }",
      "group \"**.vector\" { lr: 0.1 }",
    ]
    var machine = try machine(lines, policy, rate: 0.01)
    try run(&machine, policy)
    try expectWeights(machine, recorded("groups"), 1e-10)
  }

  @Test("frozen weights have no gradient, no master, no state, and do not change", arguments: ["64 O0", "16 O2"])
  func freeze(_ line: String) throws {
    let policy = try policy(line)
    var machine = try machine(["optimizer AdamW(lr: 0.01)", "freeze \"w*\"", "average ema()"], policy, rate: 0.01)
    if line == "16 O2" { try machine.set(StepControl.lossScale.rawValue, [512]) }
    let before = try machine.numbers("wide")
    for update in 0..<3 { _ = try machine.run(gradients(update, policy)) }
    #expect(try machine.numbers("wide") == before)
    #expect(try machine.numbers("tall") != first["tall"])
    let slots = machine.program.slots.filter { $0.name.contains("wide") }
    #expect(slots.map(\.name) == ["wide"])
    // What it was before it was rounded is the model's to save.
    #expect(slots[0].checkpointKey == nil)
  }
}
