import LTM
import LTMIR
import LTMKernels
import LTMLLVM
import LTMPTX
import LTMSupport
import TestSupport
import Testing

@Suite("device kernels")
struct KernelTests {
  static let gelu = """
    kernel @gelu(%0 x: f16[64, 256] read, %1 b: f16[256] read, %2 y: f16[64, 256] write) {
      domain m: 64, n: 256
      let $0 = add(x[m, n], b[n])
      y[m, n] = mul(mul(0.5, $0), add(1, erf(mul($0, 0.70710677))))
    }
    """
  static let softmax = """
    kernel @softmax(%0 x: f16[64, 100] read, %1 y: f16[64, 100] write) {
      domain r: 64
      axis k: 100
      %max: f32 = reduce maximum k { x[r, k] }
      scratch %e[k]: f32 = exp(sub(x[r, k], %max))
      %sum: f32 = reduce add k { %e[] }
      for k {
        y[r, k] = div(%e[], %sum)
      }
    }
    """
  static let columns = """
    kernel @columns(%0 x: f16[512, 96] read, %1 y: f32[96] write) {
      domain n: 96
      axis m: 512
      %sum: f32 = reduce add m { x[m, n] }
      y[n] = %sum
    }
    """
  static func linear(_ dtype: String, transposed: Bool = false, depth: Int = 256) -> String {
    let x = "x: \(dtype)[\(transposed ? "\(depth), 128" : "128, \(depth)")] read"
    return """
      kernel @linear(%0 \(x), %1 w: \(dtype)[64, \(depth)] read, %2 b: \(dtype)[64] read, %3 y: \(dtype)[128, 64] write) {
        domain m: 128, n: 64
        axis k: \(depth)
        %acc: f32 = contract k { x[\(transposed ? "k, m" : "m, k")], w[n, k] }
        y[m, n] = maximum(add(%acc, b[n]), 0)
      }
      """
  }
  static let argmax = """
    kernel @argmax(%0 x: f32[7, 300] read, %1 y: i32[7] write) {
      domain r: 7
      axis k: 300
      %at: i32 = argreduce maximum k { x[r, k] }
      y[r] = %at
    }
    """

  static let goldens: [(name: String, text: String, architecture: DeviceArchitecture)] = [
    ("linear.sm_90a.ptx", linear("f16"), .sm90a), ("gelu.sm_80.ptx", gelu, .sm80),
    ("softmax.sm_80.ptx", softmax, .sm80), ("columns.sm_80.ptx", columns, .sm80),
    ("linear.sm_80.ptx", linear("f16"), .sm80), ("linear.sm_70.ptx", linear("f16"), .sm70),
  ]

  @Test("read as recorded", arguments: goldens.indices)
  func golden(index: Int) throws {
    let golden = Self.goldens[index]
    let ptx = try emitDevice(kernels(golden.text), as: .ptx, golden.architecture)
    // Which LLVM it was is no part of it.
    try expectGolden(ptx.split(separator: "\n").filter { !$0.hasPrefix("//") }.joined(separator: "\n"), golden.name)
  }

  @Test(
    "use tensor cores where there are some",
    arguments: [
      ("f16", DeviceArchitecture.sm70, "mma.m8n8k4.f16"), ("f16", .sm80, "mma.m16n8k16.f16"),
      ("f16", .sm90, "mma.m16n8k16.f16"), ("bf16", .sm70, "fma.f32"), ("bf16", .sm80, "mma.m16n8k16.bf16"),
      ("bf16", .sm90, "mma.m16n8k16.bf16"), ("f32", .sm80, "fma.f32"), ("f16", .sm90a, "wgmma.m64k16.f16"),
      ("bf16", .sm90a, "wgmma.m64k16.bf16"),
    ])
  func instruction(dtype: String, architecture: DeviceArchitecture, instruction: String) throws {
    let kernel = try kernels(Self.linear(dtype))
    #expect(deviceSchedule(kernel[0], architecture).summary.contains(" \(instruction) "))
    let ptx = try emitDevice(kernel, as: .ptx, architecture)
    #expect(ptx.contains("mma.sync.") == instruction.hasPrefix("mma"))
    #expect(ptx.contains("ldmatrix.") == instruction.contains("m16n8k16"))
    #expect(ptx.contains("wgmma.mma_async") == instruction.hasPrefix("wgmma"))
    #expect(ptx.contains("ld.global.nc.v4.b32"), "16 bytes at once")
  }

  @Test(
    "multiply halves by HMMA in the disassembly",
    .enabled(if: CUDATools.noDisassembler == nil, "\(CUDATools.noDisassembler ?? "")"),
    arguments: [DeviceArchitecture.sm80, .sm90], ["f16", "bf16"])
  func disassembly(architecture: DeviceArchitecture, dtype: String) throws {
    let ptx = try emitDevice(kernels(Self.linear(dtype, transposed: true)), as: .ptx, architecture)
    let code = try #require(CUDATools.assembler).assemble(ptx, architecture: architecture.rawValue).code
    let text = try #require(try CUDATools.disassemble(code)["linear"])
    #expect(text.contains(dtype == "f16" ? "HMMA.16816.F32 " : "HMMA.16816.F32.BF16 "))
    #expect(text.contains("LDSM.16.MT88.4") && text.contains("LDSM.16.M88.4"), "matrices, transposed and not")
    #expect(text.contains("LDG.E.128"))
  }

  @Test(
    "have copies and products in their main loop",
    .enabled(if: CUDATools.noDisassembler == nil, "\(CUDATools.noDisassembler ?? "")"),
    arguments: [DeviceArchitecture.sm80, .sm90, .sm90a], ["f16", "bf16"])
  func mainLoop(architecture: DeviceArchitecture, dtype: String) throws {
    let ptx = try emitDevice(kernels(Self.linear(dtype, depth: 8192)), as: .ptx, architecture)
    let assembled = try #require(CUDATools.assembler).assemble(ptx, architecture: architecture.rawValue)
    #expect(!assembled.report.contains("serialized"), "products wait for each other: \(assembled.report)")
    let loops = CUDATools.loops(try #require(try CUDATools.disassemble(assembled.code)["linear"]))
    let suffix = dtype == "bf16" ? ".BF16" : " "
    let product = architecture == .sm90a ? "HGMMA.64x64x16.F32\(suffix)" : "HMMA.16816.F32\(suffix)"
    let main = try #require(loops.first { $0.contains(product) }, "\(product) is in no loop")
    #expect(main.contains("LDGSTS.E.BYPASS.128") && main.contains("LDGDEPBAR"), "copies")
    #expect(main.contains("LDSM") == (architecture != .sm90a))
    for other in [" LDG.", " STS", " LDL", " STL"] { #expect(!main.contains(other), "\(other) in \(main)") }
  }

  @Test("reach beyond two thousand million elements")
  func largeIndices() throws {
    let text = """
      kernel @large(%0 x: f16[60000, 60000] read, %1 y: f16[60000, 60000] write) {
        domain m: 60000, n: 60000
        y[m, n] = neg(x[m, n])
      }
      """
    let kernel = try kernels(text)
    let schedule = deviceSchedule(kernel[0], .sm80)
    #expect(schedule.grid * schedule.block * 8 >= 60000 * 60000 && schedule.grid <= Int(Int32.max))
    #expect(try emitDevice(kernel, as: .ptx, .sm80).contains(/mad\.wide|mul\.wide|mad\.lo\.s64/), "64-bit indices")
  }

  @Test("sum rows by shuffles and columns through shared memory, never by fused arithmetic")
  func reductions() throws {
    let ptx = try emitDevice(kernels(Self.softmax + "\n" + Self.columns), as: .ptx, .sm80)
    #expect(ptx.contains("shfl.sync.bfly.b32") && ptx.contains("st.shared"))
    #expect(ptx.contains("add.rn.f32") && !ptx.contains("add.f32"))
  }

  /// Each primitive, in the dtypes that it takes.
  @Test(
    "compute every primitive", .enabled(if: CUDATools.noAssembler == nil, "\(CUDATools.noAssembler ?? "")"),
    arguments: DeviceArchitecture.allCases)
  func primitives(architecture: DeviceArchitecture) throws {
    let floats = Primitive.allCases.filter {
      ![.not, .and, .or, .bitAnd, .bitOr, .bitXor, .shiftLeft, .shiftRight, .select, .philox].contains($0)
    }
    let texts = ["f16", "bf16", "f32", "f64"].flatMap { dtype in
      floats.map { primitive in
        let operands = primitive.arity == 1 ? "x[i]" : "x[i], y[i]"
        let isTest = [.isFinite, .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual].contains(primitive)
        return """
          kernel @\(primitive.rawValue)_\(dtype)(%0 x: \(dtype)[40] read, %1 y: \(dtype)[40] read, %2 z: \(isTest ? "bool" : dtype)[40] write) {
            domain i: 40
            z[i] = \(primitive.rawValue)(\(operands))
          }
          """
      }
    }
    let ptx = try emitDevice(kernels((texts + [Self.argmax]).joined(separator: "\n")), as: .ptx, architecture)
    #expect(!ptx.contains(".extern .func"))
    let report = try #require(CUDATools.assembler).assemble(ptx, architecture: architecture.rawValue).report
    #expect(Assembled.parse(report).count == texts.count + 1)
  }

  @Test("epilogueReductions are refused, and no plan for GPUs has them") func epilogueReductions() throws {
    let text = """
      kernel @k(%0 x: f32[64, 32] read, %1 w: f32[32, 64] read, %2 y: f32[64] write) {
        domain m: 64, n: 64
        axis k: 32
        %s: f32 = contract k { x[m, k], w[k, n] }
        y[n] = epilogue add m { %s }
      }
      """
    let kernel = try #require(try parseKernels(SourceFile(path: "k", text: text)).first)
    for architecture in DeviceArchitecture.allCases {
      let error = #expect(throws: LLVMFailure.self) { try emitDevice([kernel], as: .ptx, architecture) }
      #expect(try #require(error).description.contains("epilogueReductions what it contracts"))
      var plan = Plan(name: "p")
      plan.kernels = [kernel]
      #expect(launchPlan(plan, architecture).problem != nil)
    }
  }

  /// What lies beyond a buffer may not even be read.
  @Test("threads beyond the last point stay inside")
  func threadsBeyondTheEnd() throws {
    let text = try emitDevice(kernels(Self.argmax), as: .llvmIR, .sm80)
    #expect(deviceSchedule(try kernels(Self.argmax)[0], .sm80).summary.contains("points=4"))
    #expect(text.contains(/select i1 %\d+, i64 %\d+, i64 6\b/), "\(text)")
  }
}
