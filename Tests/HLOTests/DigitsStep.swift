import Foundation
import LTMFrontEnd
import LTMGraphPasses
import LTMIR
import LTMPrecision
import LTMSupport
import OpCases
import TestSupport
import Testing

/// The training step of `samples/digits.ltm` with its state, whoever computes it.
struct DigitsStep: Sendable {
  /// Precisions and levels, as flags name them; 16 means f16 here, and bf16 is asked for by name.
  static let policies = ["32 O0", "16 O1", "16 O2", "16 O3", "bf16 O1", "bf16 O2", "bf16 O3", "64 O0"]

  /// What a backend takes.
  let graph: Graph
  let batch: Int
  let half: DType?
  private let arguments: [GraphInput]
  private(set) var state: [String: Tensor] = [:]

  /// `batch` rows on each of `replicas`, in each micro-batch; the update of the sample, or what `lines` say.
  init(
    _ line: String, hidden: Int, batch: Int, rate: Double = 3e-3, replicas: Int = 1, lines: [String]? = nil
  ) throws {
    let words = line.split(separator: " ").map(String.init)
    let policy = try PrecisionPolicy(try Precision(parsing: words[0]), level: try OptLevel(named: words[1]))
    let file = try load(path: "samples/digits.ltm") { Array(try Data(contentsOf: root.appending(path: $0))) }
    let program = try file.instantiate(model: "Digits", arguments: ["hidden": .int(hidden)])
    let loss = try program.graph(entry: "loss", training: true).bound(["B": batch])
    var settings: TrainSettings?
    for line in lines ?? ["optimizer AdamW(lr: \(rate), weight_decay: 0.01)", "schedule cosine(warmup: 5)"] {
      settings = try file.settings(of: "Digits", settings, replacing: SourceFile(path: "line", text: line))
    }
    let given = try #require(settings)
    let rules = try file.stepRules(try #require(given.optimizer), given, of: program)
    let step = try buildStep(
      loss: insertCasts(loss, policy).graph, rules: rules, policy: policy, replicas: Replicas(count: replicas))
    graph = try PassPipeline.lowering.run(step.graph, stage: [.afterCasts, .bound])
    self.batch = batch * rules.accumulation
    half = policy.half
    arguments = graph.inputs.filter { $0.role == .argument }
    for slot in step.slots { state[slot.name] = try initial(slot, program, step.slots, rate) }
  }

  private func initial(
    _ slot: StateSlot, _ program: Program, _ slots: [StateSlot], _ rate: Double
  ) throws -> Tensor {
    let shape = try #require(slot.type.staticShape)
    let dtype = slot.type.dtype
    switch slot.initial {
    case .parameter(let name), .layerState(let name):
      let spec = try #require((program.parameters + program.states).first { $0.name == name })
      let full = try #require(initialTensor(spec.initializer, shape: shape, seed: 1, name: name))
      return full.converted(to: dtype)
    case .copy(let other):
      return try initial(try #require(slots.first { $0.name == other }), program, slots, rate).converted(to: dtype)
    case .initializer(let rule):
      return try #require(initialTensor(rule, shape: shape, dtype: dtype, seed: 1, name: slot.name))
    case .number(let value): return try #require(Tensor([value], shape: [], dtype: dtype))
    case .host:
      return try #require(
        Tensor([slot.name == StepControl.learningRate.rawValue ? rate : 100], shape: [], dtype: dtype))
    }
  }

  /// Batch `index`: numbers in `0 ..< 1` with a bright spot that tells the label.
  func arguments(_ index: Int) throws -> [String: Tensor] {
    var random = SeededGenerator(seed: UInt64(index))
    let labels = (0..<batch).map { _ in Int.random(in: 0..<10, using: &random) }
    var pixels = (0..<batch * 64).map { _ in Double.random(in: 0..<1, using: &random) }
    for (row, label) in labels.enumerated() { pixels[row * 64 + 6 * label] += 2 }
    var result: [String: Tensor] = [:]
    for input in arguments {
      let type = graph[input.value].type
      let numbers = type.dtype.isFloating ? pixels : labels.map(Double.init)
      result[input.name] = Tensor(numbers, shape: try #require(type.staticShape), dtype: type.dtype)
    }
    return result
  }

  /// Everything that the graph reads in try `index`.
  func inputs(_ index: Int) throws -> [String: Tensor] { try state.merging(arguments(index)) { $1 } }

  /// Takes over what a try gave, by output.
  mutating func accept(_ outputs: [String: Tensor]) {
    for output in graph.outputs {
      if let name = output.updates { state[name] = outputs[output.name] }
    }
  }

  /// A try in our interpreter; the replicas, whose outputs are alike, have batches of their own.
  func interpreted(_ index: Int) throws -> [String: Tensor] {
    let given = try (0..<graph.replicas).map { try inputs(index * graph.replicas + $0) }
    let values = try graph.evaluate(replicas: given, rounding: .everyOp)[0]
    var outputs: [String: Tensor] = [:]
    for output in graph.outputs {
      let value = try #require(values[output.name])
      outputs[output.name] = Tensor(value.data, shape: value.shape, dtype: graph[output.value].type.dtype)
    }
    return outputs
  }
}
