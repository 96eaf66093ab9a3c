import DeviceEmulator
import LTMIR
import LTMKernels
import LTMPTX
import TestSupport
import Testing

/// Kernels that few blocks would compute, as two launches.
@Suite("split kernels") struct SplitTests {
  /// Each with the length of what the first launch hands on.
  static let cases: [(name: String, text: String, parts: Int)] = [
    (
      "deep contraction",
      """
      kernel @deep(%0 x: f16[16, 2048] read, %1 w: f16[24, 2048] read, %2 b: f32[24] read, %3 y: f16[16, 24] write) {
        domain m: 16, n: 24
        axis k: 2048
        %acc: f32 = contract k { x[m, k], w[n, k] }
        y[m, n] = add(%acc, b[n])
      }
      """, 8 * 16 * 24
    ),
    (
      "tall columns",
      """
      kernel @tall(%0 x: f16[20000, 48] read, %1 g: f32[48] read_write) {
        domain n: 48
        axis m: 20000
        %sum: f32 = reduce add m { x[m, n] }
        g[n] = add(g[n], %sum)
      }
      """, 25 * 48
    ),
    (
      "whole maximum",
      """
      kernel @most(%0 x: f32[300, 100] read, %1 y: f32[] write) {
        domain []
        axis m: 300, n: 100
        %most: f32 = reduce maximum m, n { x[m, n] }
        y[] = %most
      }
      """, 0
    ),
    (
      "long rows of two sums",
      """
      kernel @long(%0 x: f32[3, 5000] read, %1 y: f32[3, 5000] write) {
        domain r: 3
        axis k: 5000
        %max: f32 = reduce maximum k { x[r, k] }
        scratch %e[k]: f32 = exp(sub(x[r, k], %max))
        %sum: f32 = reduce add k { %e[] }
        for k {
          y[r, k] = div(%e[], %sum)
        }
      }
      """, 0
    ),
    (
      "guarded rows",
      """
      kernel @rows(%0 x: f32[3, 16383] read, %1 y: f32[3] write) {
        domain r: 3
        axis k: 16384
        %sum: f32 = reduce add k { guarded(x[r, k-1], k-1 < 16383, else 0) }
        y[r] = mul(%sum, 0.5)
      }
      """, 32 * 3
    ),
  ]

  private func plan(_ kernel: Kernel) -> Plan {
    var plan = Plan(name: "split")
    plan.kernels = [kernel]
    plan.buffers = kernel.buffers.map { buffer in
      PlanBuffer(
        name: buffer.name, dtype: buffer.dtype, shape: buffer.shape,
        place: buffer.access == .write ? .output(buffer.name) : .input(buffer.name))
    }
    plan.steps = [
      .launch(Launch(kernel: 0, arguments: kernel.buffers.indices.map { PlanBufferID($0) }, results: []))
    ]
    return plan
  }

  @Test("give the whole's results, the same bits in any order of threads", arguments: cases.indices)
  func agree(_ index: Int) throws {
    let (item, kernel) = (Self.cases[index], try kernels(Self.cases[index].text)[0])
    let plan = plan(kernel)
    let inputs = randomArguments(kernel)
    let named = Dictionary(uniqueKeysWithValues: zip(kernel.buffers.map(\.name), inputs))
    let whole = try plan.evaluate(named, rounding: false)
    for architecture in DeviceArchitecture.allCases {
      let launches = launchPlan(plan, architecture)
      #expect(launches.plan.verify() == [], "\(launches.plan)")
      #expect(launches.plan.launches.count == (item.parts > 0 ? 2 : 1), "\(launches)")
      let last = try #require(launches.plan.buffers.last)
      #expect(item.parts == 0 || last.shape.reduce(1, *) == item.parts, "\(launches)")
      let split = try launches.plan.evaluate(named, rounding: false)
      let results = try EmulatedOrder.allCases.map { try run(launches, named, $0) }
      #expect(results[0] == results[1])
      for (name, exact) in whole {
        expectClose(split[name]?.data ?? [], exact.data, .ofLargest(1e-12), "\(architecture), interpreted: ")
        let buffer = try #require(kernel.buffers.first { $0.name == name })
        let bytes = try #require(results[0][name])
        let found = Tensor(dtype: buffer.dtype, shape: buffer.shape, bytes: bytes)?.doubles ?? []
        expectClose(found, exact.data, .ofLargest(buffer.dtype == .f16 ? 0x1p-10 : 0x1p-18), "\(architecture): ")
      }
    }
  }

  private func run(_ launches: LaunchPlan, _ inputs: [String: Tensor], _ order: EmulatedOrder) throws -> [String:
    [UInt8]]
  {
    let memory = PlanMemory(launches.plan)
    for (name, tensor) in inputs { memory.bytes(named: name)?.copyBytes(from: tensor.bytes) }
    let module = try EmulatedModule(launches.plan.kernels, launches.architecture)
    for (launch, entry) in launches.launched {
      try module.launch(
        entry.symbol, grid: entry.schedule.grid, block: entry.schedule.block, sharedBytes: entry.schedule.sharedBytes,
        memory.addresses(launch), order: order)
    }
    #expect(memory.marginsAreWhole)
    return inputs.keys.reduce(into: [:]) { $0[$1] = memory.bytes(named: $1).map { Array($0) } }
  }

  @Test("let one thread of a warp write what all of it hold")
  func warpsWriteOnce() throws {
    let index = try #require(Self.cases.firstIndex { $0.name == "long rows of two sums" })
    let kernel = try kernels(Self.cases[index].text)
    #expect(deviceSchedule(kernel[0], .sm80).block == 512)
    let text = try emitDevice(kernel, as: .llvmIR, .sm80)
    let writes = text.matches(of: /\n(\w+):[^:]*?store float [^\n]*addrspace\(3\)/)
    #expect(writes.count == 2 && writes.allSatisfy { $0.1.hasPrefix("then") }, "\(text)")
  }

  @Test("are left whole where enough blocks compute them") func whole() throws {
    for text in [KernelTests.linear("f16"), KernelTests.softmax, KernelTests.columns, KernelTests.argmax] {
      let kernel = try kernels(text)[0]
      #expect(launchPlan(plan(kernel), .sm80).plan == plan(kernel))
    }
  }
}
