import Foundation
import LTM
import LTMIR
import LTMKernelPasses
import LTMKernels
import Testing

/// Random graphs through plan, kernels and backends. `LTM_SEEDS=1000..<2000` looks further.
@Suite struct RandomGraphTests {
  static let seeds: Range<UInt64> = {
    let bounds = (ProcessInfo.processInfo.environment["LTM_SEEDS"] ?? "").split(separator: "..<").compactMap {
      UInt64($0)
    }
    return bounds.count == 2 && bounds[0] < bounds[1] ? bounds[0]..<bounds[1] : 0..<150
  }()

  private static let palettes: [[DType]] = [
    [.f32], [.f64], [.f16, .f32], [.bf16, .f32], [.f16, .bf16, .f32, .f64],
  ]

  /// XLA, which takes longest to compile, sees every seventh graph: each palette in turn.
  private static func subjects(_ seed: UInt64) -> [Subject] {
    seed % 7 == 0 ? Subject.present : Subject.present.filter { $0 != .xla }
  }

  @Test("whole numbers come out exactly", arguments: seeds) func exact(_ seed: UInt64) throws {
    let made = RandomGraph(seed: seed, .exact, dtypes: Self.palettes[Int(seed % 5)])
    try expectAgreementEverywhere(made.graph, made.inputs, "exact seed \(seed)", subjects: Self.subjects(seed)) { _ in
      .exact
    }
  }

  @Test("smooth graphs stay within rounding", arguments: seeds) func smooth(_ seed: UInt64) throws {
    let dtypes = Self.palettes[Int(seed % 5)]
    let made = RandomGraph(seed: seed, .smooth, dtypes: dtypes)
    let coarsest = dtypes.map(\.unit).max() ?? 0
    try expectAgreementEverywhere(made.graph, made.inputs, "smooth seed \(seed)", subjects: Self.subjects(seed)) {
      .units(64 * coarsest / $0.unit)
    }
  }
}

/// Holds a graph's plans, fused and not, and every backend against the interpreter in f64.
func expectAgreementEverywhere(
  _ source: Graph, _ inputs: [String: Tensor], _ context: String, subjects: [Subject] = Subject.present,
  _ accuracy: (DType) -> Accuracy
) throws {
  let exact = try source.evaluate(inputs)
  let graph = try lowered(source)
  let outputs = Dictionary(uniqueKeysWithValues: graph.outputs.map { ($0.name, $0) })
  func bound(_ name: String) -> Accuracy { outputs[name].map { accuracy(graph[$0.value].type.dtype) } ?? .exact }
  for fuse in [true, false] {
    let plan = try buildPlan(graph, fuse: fuse)
    #expect(plan.verify() == [], "\(context), fused \(fuse): \(plan)")
    let planned = try plan.evaluate(inputs)
    var tensors: [String: Tensor] = [:]
    for (name, output) in outputs {
      guard let value = planned[output.updates ?? name] else { continue }
      tensors[name] = Tensor(value.data, shape: value.shape, dtype: graph[output.value].type.dtype)
    }
    expectAgreement(tensors, exact, "\(context), plan, fused \(fuse): \(plan)", accuracy: bound)
  }
  for subject in subjects {
    expectAgreement(try run(graph, on: subject.backend(), inputs), exact, "\(context), \(subject)", accuracy: bound)
  }
}
