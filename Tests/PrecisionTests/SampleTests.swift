import Foundation
import LTMFrontEnd
import LTMGraphPasses
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

/// The samples, from their text to the plan of a training step.
@Suite("samples")
struct SampleTests {
  static let files = ["digits", "norm"]
  static let lines = ["32 O0", "64 O0", "16 O1", "bf16 O1", "16 O2", "bf16 O2", "16 O3", "bf16 O3"]

  private struct Sample {
    let program: StepProgram
    let parameters: [ParameterSpec]
    let rate: Double
  }

  private func sample(_ name: String, _ line: String, optimizer: String = "AdamW") throws -> Sample {
    let samples = castGoldens.appending(path: "../../../samples").standardizedFileURL
    let file = try load(path: samples.appending(path: "\(name).ltm").path) { path in
      Array(try Data(contentsOf: URL(filePath: path)))
    }
    let policy = try policy(line)
    let model = try file.instantiate(model: try #require(file.mainModel))
    let optimizer = try file.optimizer(RuleCall(name: optimizer, arguments: [.init(name: "lr", value: .float(3e-3))]))
    let schedule = try file.schedule(RuleCall(name: "cosine", arguments: [.init(name: "warmup", value: .int(2))]))
    let loss = try model.graph(entry: "loss", training: true).bound(["B": 4])
    let program = try buildStep(
      loss: insertCasts(loss, policy).graph, optimizer: optimizer.template(), schedule: schedule, policy: policy)
    return Sample(program: program, parameters: model.parameters, rate: optimizer.learningRate)
  }

  private func inputs(_ sample: Sample) throws -> [String: Tensor] {
    var random = SeededGenerator(seed: 5)
    var parameters: [String: [Double]] = [:]
    for spec in sample.parameters {
      parameters[spec.name] = random.numbers(spec.shape.reduce(1, *), in: -0.3...0.3)
    }
    var inputs = try StepMachine(sample.program, parameters: parameters, rate: sample.rate).state
    for input in sample.program.graph.inputs where input.role == .argument {
      let type = sample.program.graph[input.value].type
      let shape = try #require(type.staticShape)
      let values = random.numbers(shape.reduce(1, *), in: 0...2)
      inputs[input.name] = try tensor(values, shape, type.dtype)
    }
    return inputs
  }

  @Test("a step becomes a plan that computes the same", arguments: files, lines)
  func plan(_ name: String, _ line: String) throws {
    let sample = try sample(name, line)
    let graph = sample.program.graph
    #expect(graph.verify(stage: [.afterCasts, .bound]) == [])
    let lowered = try PassPipeline.lowering.run(graph, stage: [.afterCasts, .bound])
    let inputs = try inputs(sample)
    let expected = try graph.evaluate(inputs)
    // Kernels round their constants to f32, which a first step of Adam magnifies.
    let tolerance = line == "64 O0" ? 1e-9 : 1e-6
    let planned = try buildPlan(lowered).evaluate(inputs, rounding: false)
    for (output, value) in expected {
      expectClose(try #require(planned[output]), value, .ofLargest(tolerance), "\(output): ")
    }
  }

  @Test("nothing of a run with precision 64 is narrower than f64")
  func precision64() throws {
    for file in Self.files {
      let graph = try sample(file, "64 O0").program.graph
      let narrow = graph.nodes.filter { [.f32, .f16, .bf16, .float].contains($0.type.dtype) }
      #expect(narrow.isEmpty, "\(narrow.map { "\($0.op.name) \($0.scope)" })")
    }
  }

  @Test("only O3 in fp16 loses Adam's eps, and the line is the prelude's or the user's", arguments: lines)
  func eps(_ line: String) throws {
    let warnings = try sample("digits", line).program.warnings.map { $0.rendered() }
    #expect(warnings.count == (line == "16 O3" ? 1 : 0))
    #expect(warnings.allSatisfy { $0.contains("AdamW: 1e-08") && $0.contains(".ltm:") })
  }

  @Test("SGD without momentum keeps nothing")
  func plainSGD() throws {
    let program = try sample("digits", "16 O2", optimizer: "SGD").program
    #expect(program.slots.allSatisfy { $0.role != .optimizerState })
  }
}
