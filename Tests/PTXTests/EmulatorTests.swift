import DeviceEmulator
import Foundation
import LTM
import LTMIR
import LTMKernels
import LTMLLVM
import LTMPTX
import TestSupport
import Testing

/// Device kernels in an emulator of warps against the CPU's kernels: whole entries and training steps.
@Suite("emulated")
struct EmulatorTests {
  /// What is compiled of a sample, and for what.
  struct Case: CustomTestStringConvertible, Sendable {
    var sample: String
    var architecture: DeviceArchitecture
    var precision = Precision.thirtyTwo
    var level = OptLevel.O0
    var entry: String?
    var arguments: [String: ModelArgument] = [:]
    var dimensions: [String: Int] = [:]
    /// Relative to the largest number of a buffer.
    var tolerance: Double

    var bound: Tolerance { .ofLargest(tolerance, least: 1e-3) }

    var testDescription: String { "\(sample) \(architecture.rawValue) \(precision) \(level.name) \(entry ?? "step")" }

    func plan() throws -> Plan {
      let model = try Model(contentsOf: root.appending(path: "samples/\(sample).ltm").path, arguments: arguments)
      return try Compilation(
        model: model, policy: PrecisionPolicy(precision, level: level), entry: entry, isTrainingStep: entry == nil,
        dimensions: dimensions
      ).plan(epilogueReductions: false).flattened()
    }
  }

  static let cases = [
    Case(sample: "digits", architecture: .sm80, precision: .sixteen, level: .O2, tolerance: 1e-3),
    Case(
      sample: "digits", architecture: .sm70, precision: .sixteen, level: .O2, dimensions: ["B": 33], tolerance: 1e-3),
    Case(sample: "norm", architecture: .sm70, precision: .sixteen, level: .O1, tolerance: 1e-3),
    Case(sample: "norm", architecture: .sm80, precision: .sixteen, level: .O3, tolerance: 1e-3),
    Case(sample: "norm", architecture: .sm80, precision: .bf16, level: .O2, tolerance: 1e-2),
    Case(sample: "norm", architecture: .sm70, precision: .bf16, level: .O2, tolerance: 1e-2),
    Case(sample: "norm", architecture: .sm90, tolerance: 2e-6),
    Case(sample: "norm", architecture: .sm80, precision: .sixtyFour, tolerance: 1e-14),
    Case(
      sample: "mlp", architecture: .sm80, precision: .sixteen, level: .O2, arguments: ["hidden": 70, "inputs": 37],
      dimensions: ["B": 32], tolerance: 1e-3),
    Case(
      sample: "mlp", architecture: .sm80, precision: .sixteen, level: .O2, entry: "forward", arguments: ["inputs": 64],
      dimensions: ["B": 1024], tolerance: 2e-3),
    Case(
      sample: "gpt", architecture: .sm80, entry: "next",
      arguments: ["vocab": 16, "dim": 16, "depth": 1, "heads": 2, "context": 12], dimensions: ["B": 2, "T": 3],
      tolerance: 1e-5),
  ]

  @Test("give the CPU's results", arguments: cases) func emulated(_ item: Case) throws {
    let plan = try item.plan()
    let launches = launchPlan(plan, item.architecture)
    let module = try EmulatedModule(launches.plan.kernels, item.architecture)
    let (oracle, found) = (PlanMemory(plan), PlanMemory(launches.plan))
    fill(oracle)
    let before = contents(oracle)
    for (name, bytes) in before { found.bytes(named: name)?.copyBytes(from: bytes) }
    try runOnCPU(oracle)
    for (launch, entry) in launches.launched {
      try module.launch(
        entry.symbol, grid: entry.schedule.grid, block: entry.schedule.block, sharedBytes: entry.schedule.sharedBytes,
        found.addresses(launch))
      #expect(found.marginsAreWhole, "\(entry.symbol) wrote outside of its buffers")
    }
    let (exact, emulated) = (contents(oracle), contents(found))
    #expect(exact != before, "nothing was written")
    for buffer in plan.buffers {
      guard let name = owned(buffer) else { continue }
      let (wanted, bytes) = (try #require(exact[name]), try #require(emulated[name]))
      expectClose(numbers(bytes, buffer.dtype), numbers(wanted, buffer.dtype), item.bound, "\(name): ")
    }
  }

  /// Every sample's step, narrow, at every precision and level; the last has kernels that are cut in two.
  static let interpretedCases: [Case] = {
    let narrow: [(sample: String, arguments: [String: ModelArgument])] = [
      ("digits", ["hidden": 24]), ("mlp", ["inputs": 24, "hidden": 16]), ("norm", ["width": 16]),
      ("tour", ["width": 16]), ("lstm", ["features": 8, "hidden": 16]),
    ]
    let levels: [(Precision, OptLevel, Double)] = [
      (.sixtyFour, .O0, 1e-9), (.thirtyTwo, .O0, 2e-5), (.sixteen, .O1, 2e-3), (.sixteen, .O2, 2e-3),
      (.sixteen, .O3, 4e-3), (.bf16, .O1, 2e-2), (.bf16, .O2, 2e-2), (.bf16, .O3, 3e-2),
    ]
    let all = narrow.flatMap { sample, arguments in
      levels.map { precision, level, tolerance in
        Case(
          sample: sample, architecture: .sm80, precision: precision, level: level, arguments: arguments,
          dimensions: ["B": 16], tolerance: tolerance)
      }
    }
    return all + [
      Case(
        sample: "digits", architecture: .sm80, precision: .sixteen, level: .O2, arguments: ["hidden": 8],
        dimensions: ["B": 2048], tolerance: 2e-3)
    ]
  }()

  @Test("launch plans, their kernels interpreted, give the CPU's results", arguments: interpretedCases)
  func interpreted(_ item: Case) throws {
    let plan = try item.plan()
    let oracle = PlanMemory(plan)
    fill(oracle)
    var inputs: [String: Tensor] = [:]
    for buffer in plan.buffers {
      guard case .input(let name) = buffer.place, let bytes = oracle.bytes(named: name) else { continue }
      inputs[name] = Tensor(dtype: buffer.dtype, shape: buffer.shape, bytes: Array(bytes))
    }
    try runOnCPU(oracle)
    let exact = contents(oracle)
    var known: [Plan] = []
    for architecture in DeviceArchitecture.allCases {
      let launches = launchPlan(plan, architecture).plan
      if known.contains(launches) { continue }
      known.append(launches)
      let found = try launches.evaluate(inputs)
      #expect(!found.isEmpty)
      for buffer in plan.buffers {
        guard let name = owned(buffer) else { continue }
        let wanted = try #require(exact[name])
        guard let values = found[name]?.data else {
          #expect(wanted == inputs[name]?.bytes, "\(architecture): \(name) is missing")
          continue
        }
        expectClose(values, numbers(wanted, buffer.dtype), item.bound, "\(architecture): \(name): ")
      }
    }
    #expect(item.dimensions["B"] == 16 || known.contains { $0.launches.count > plan.launches.count })
  }

  private func owned(_ buffer: PlanBuffer) -> String? {
    switch buffer.place {
    case .input(let name), .output(let name): name
    case .arena, .parameter, .part: nil
    }
  }

  private func contents(_ memory: PlanMemory) -> [String: [UInt8]] {
    var contents: [String: [UInt8]] = [:]
    for (number, buffer) in memory.plan.buffers.enumerated() {
      if let name = owned(buffer) { contents[name] = Array(memory.bytes(PlanBufferID(number))) }
    }
    return contents
  }

  private func numbers(_ bytes: [UInt8], _ dtype: DType) -> [Double] {
    Tensor(dtype: dtype, shape: [bytes.count / dtype.byteCount], bytes: bytes)?.doubles ?? []
  }

  private func runOnCPU(_ memory: PlanMemory) throws {
    let kernels = try KernelCompiler(cache: nil).compile(memory.plan.kernels)
    let rooms = [kernels.map(\.scratchBytes), kernels.map(\.workspaceBytes)].map { sizes in
      UnsafeMutableRawPointer.allocate(byteCount: max(sizes.max() ?? 0, 64), alignment: 64)
    }
    defer { rooms.forEach { $0.deallocate() } }
    for launch in memory.plan.launches.map(\.launch) {
      var arguments: [UnsafeMutableRawPointer?] = memory.addresses(launch) + [rooms[1]]
      arguments.withUnsafeMutableBufferPointer { arguments in
        for phase in kernels[launch.kernel].schedule.phases {
          kernels[launch.kernel].function(arguments.baseAddress, phase.lowerBound, phase.upperBound, rooms[0])
        }
      }
    }
  }

  /// Numbers like those of a training step that is under way.
  private func fill(_ memory: PlanMemory) {
    var random = SeededGenerator(seed: 1)
    for (number, buffer) in memory.plan.buffers.enumerated() {
      guard case .input(let name) = buffer.place, let count = elementCount(buffer.shape) else { continue }
      let values = (0..<count).map { _ in value(name, buffer.dtype, &random) }
      guard let tensor = Tensor(values, shape: buffer.shape, dtype: buffer.dtype) else { continue }
      memory.bytes(PlanBufferID(number)).copyBytes(from: tensor.bytes)
    }
  }

  private func value(_ name: String, _ dtype: DType, _ random: inout SeededGenerator) -> Double {
    let fixed = ["control/loss_scale": 1024, "control/lr": 1e-3, "control/total_steps": 100]
    if let value = fixed[name] { return value }
    if !dtype.isFloating { return Double(Int.random(in: 0..<3, using: &random)) }
    // The first moment then shows the gradient.
    if name.hasSuffix("exp_avg") { return 0 }
    let value = Double.random(in: -0.5...0.5, using: &random)
    return name.hasSuffix("exp_avg_sq") ? abs(value) * 0.01 : value
  }
}
