import Foundation
import LTMHLO
import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

@Suite("PJRT")
struct PJRTTests {
  static let missing =
    InstalledTools.cpuPlugin == nil ? "no PJRT plugin in .build/tools; scripts/tools.sh installs it" : nil

  static let client = Result { () throws -> PJRTClient in
    try PJRTClient(PJRTPlugin.open(try #require(InstalledTools.cpuPlugin)))
  }

  @Test("says what is wrong with a plugin")
  func wrongPlugins() throws {
    let absent = #expect(throws: PJRTError.self) { try PJRTPlugin.open("/nowhere/plugin.so") }
    #expect(absent?.description.contains("/nowhere/plugin.so") == true)
    let text = #expect(throws: PJRTError.self) { try PJRTPlugin.open(#filePath) }
    #expect(text?.message.isEmpty == false)
    let other = #expect(throws: PJRTError.self) { try PJRTPlugin.open("libm.so.6") }
    #expect(other?.message.contains("GetPjrtApi") == true)
  }

  @Test(
    "moves every dtype there and back", .enabled(if: missing == nil, "\(missing ?? "")"),
    arguments: DType.allCases.filter { $0 != .float })
  func roundTrip(dtype: DType) throws {
    let client = try Self.client.get()
    for shape in [[], [6], [2, 3], [1, 2, 1, 3]] {
      let count = shape.reduce(1, *)
      let tensor = try #require(
        Tensor((0..<count).map { Double(dtype == .bool ? $0 % 2 : $0 * 3 % 7) }, shape: shape, dtype: dtype))
      #expect(try client.buffer(tensor).tensor(dtype, shape) == tensor)
    }
  }

  @Test(
    "says what is wrong with a program, and that a device is not there",
    .enabled(if: missing == nil, "\(missing ?? "")"))
  func wrongPrograms() throws {
    let client = try Self.client.get()
    let broken = #expect(throws: PJRTError.self) { try client.compile("module { nonsense }") }
    #expect(broken?.description.hasPrefix("compiling for cpu: ") == true)
    #expect(throws: PJRTError.self) { try client.compile("module {}", replicas: client.deviceCount + 1) }
    #expect(throws: PJRTError.self) { try client.compile("module {}", replicas: 0) }
    let tensor = try #require(Tensor([1], shape: [], dtype: .f32))
    #expect(throws: PJRTError.self) { try client.buffer(tensor, device: 99) }
  }

  /// Whether this thread's arithmetic has subnormals.
  private func hasSubnormals() -> Bool { [Float.leastNormalMagnitude, 0.5].reduce(1, *) != 0 }

  /// XLA computes without subnormals, in threads of its own and in the caller's.
  @Test("leaves the caller's arithmetic as it was", .enabled(if: missing == nil, "\(missing ?? "")"))
  func subnormals() throws {
    #expect(hasSubnormals())
    let client = try PJRTClient(PJRTPlugin.open(try #require(InstalledTools.cpuPlugin)))
    #expect(hasSubnormals(), "starting")
    var b = GraphBuilder(name: "f")
    let x = b.input("x", TensorType(.f32, [64, 64]), role: .argument)
    b.output("y", b.contract(x, x, [1], [1]))
    let program = try client.compile(stableHLO(b.graph))
    #expect(hasSubnormals(), "compiling")
    let buffer = try client.buffer(try #require(Tensor(zeros: [64, 64], dtype: .f32)))
    #expect(hasSubnormals(), "copying there")
    let result = try #require(try program.run([[buffer]]).first?.first)
    #expect(hasSubnormals(), "running")
    _ = try result.tensor(.f32, [64, 64])
    #expect(hasSubnormals(), "copying back")
  }

  @Test(
    "a cast that narrows is not folded away", .enabled(if: missing == nil, "\(missing ?? "")"),
    arguments: [(DType.f16, 1.0009765625), (.bf16, 1.0)])
  func barrier(dtype: DType, expected: Double) throws {
    var b = GraphBuilder(name: "f")
    let x = b.input("x", TensorType(.f32, [1]), role: .argument)
    b.output("y", b.cast(b.cast(x, to: dtype), to: .f32))
    let program = try Self.client.get().compile(stableHLO(b.graph))
    let buffer = try Self.client.get().buffer(try #require(Tensor([1.0011], shape: [1], dtype: .f32)))
    let result = try #require(try program.run([[buffer]]).first?.first)
    #expect(try result.tensor(.f32, [1]).doubles == [expected])
  }

  @Test(
    "trains the digits for 20 steps as our interpreter does", .enabled(if: missing == nil, "\(missing ?? "")"),
    arguments: DigitsStep.policies)
  func twentySteps(line: String) throws {
    let client = try Self.client.get()
    var step = try DigitsStep(line, hidden: 32, batch: 16)
    let ours = step
    let program = try client.compile(stableHLO(step.graph))
    var expected = ours
    var (first, last) = (0.0, 0.0)
    for index in 0..<20 {
      let inputs = try step.inputs(index)
      let buffers = try step.graph.inputs.map { try client.buffer(try #require(inputs[$0.name])) }
      let results = try #require(try program.run([buffers]).first)
      var outputs: [String: Tensor] = [:]
      for (output, buffer) in zip(step.graph.outputs, results) {
        let type = step.graph[output.value].type
        outputs[output.name] = try buffer.tensor(type.dtype, try #require(type.staticShape))
      }
      step.accept(outputs)
      let interpreted = try expected.interpreted(index)
      expected.accept(interpreted)
      let (a, b) = (try loss(outputs), try loss(interpreted))
      expectClose(a, b, .relative(4 * (step.half ?? .f32).tolerance), "\(line), step \(index): ")
      if index == 0 { first = a }
      last = a
    }
    // Adam's eps is 0 in f16, so O3 diverges there; in both.
    #expect(last < first || line == "16 O3", "\(first) to \(last)")
  }

  private func loss(_ outputs: [String: Tensor]) throws -> Double {
    try #require(outputs[StepProgram.loss]?.doubles.first)
  }
}
