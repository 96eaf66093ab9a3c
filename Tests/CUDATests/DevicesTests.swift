import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

@Suite("ltm devices and ltm explain --target")
struct DevicesTests {
  @Test("lists every target, and says what is missing")
  func devices() throws {
    let nowhere = ["LTM_CUDA_DRIVER": "/nowhere/libcuda.so.1", "TPU_LIBRARY_PATH": "/nowhere/libtpu.so"]
    let text = try Command(["devices"], environment: nowhere)
    #expect(text.status == 0)
    for part in ["cpu: runs", "cuda: compiles", "/nowhere/libcuda.so.1", "tpu: compiles", "/nowhere/libtpu.so"] {
      #expect(text.output.contains(part), "\(text.output)")
    }
    let json = try JSON(parsing: Command(["devices", "--json"], environment: nowhere).output)
    let targets = try #require(json["targets"]?.elements)
    #expect(targets.map { $0["target"]?.stringValue } == Target.allCases.map(\.rawValue))
    for (name, runs) in [("cpu", true), ("interpreter", true), ("tpu", false), ("cuda", false)] {
      #expect(targets.first { $0["target"]?.stringValue == name }?["runs"]?.boolValue == runs, "\(name)")
    }
    #expect(targets.allSatisfy { ($0["runs"]?.boolValue == true) == ($0["missing"]?.elements?.isEmpty == true) })
  }

  @Test(
    "lists the GPUs", .enabled(if: EmulatedDriver.missing == nil, "\(EmulatedDriver.missing ?? "")"),
    arguments: [(80, "code for sm_80", true), (89, "code for sm_80", true), (61, "too old", false)])
  func gpus(capability: Int, says: String, runs: Bool) throws {
    let setting = ["EMULATED_CUDA_CAPABILITY": "\(capability)"]
    let json = try JSON(
      parsing: Command(["devices", "--json"], environment: EmulatedDriver.environment(.whole, setting)).output)
    let cuda = try #require(json["targets"]?.elements?.first { $0["target"]?.stringValue == "cuda" })
    #expect(cuda["runs"]?.boolValue == runs)
    let found = cuda["found"]?.elements?.compactMap(\.stringValue) ?? []
    #expect(found.contains { $0.hasPrefix("GPU 0: Emulated GPU") && $0.contains(says) }, "\(found)")
  }

  private func compilation(_ precision: Precision, _ level: OptLevel, sixteen: DType = .f16) throws -> Compilation {
    try Compilation(
      model: Model(contentsOf: root.appending(path: "samples/digits.ltm").path),
      policy: PrecisionPolicy(precision, level: level, sixteen: sixteen), entry: "loss")
  }

  @Test(
    "explains the choices for a GPU",
    arguments: [
      ("sm_70", Precision.sixteen, OptLevel.O2, "mma.m8n8k4.f16"), ("sm_80", .sixteen, .O2, "mma.m16n8k16.f16"),
      ("sm_80", .bf16, .O2, "mma.m16n8k16.bf16"), ("sm_70", .bf16, .O2, "fma.f32"),
      ("sm_80", .thirtyTwo, .O0, "fma.f32"),
    ])
  func cuda(architecture: String, precision: Precision, level: OptLevel, instruction: String) throws {
    let compilation = try compilation(precision, level)
    let choices = try compilation.choices(of: .cuda, architecture: architecture)
    #expect(choices.columns == ["kernel", "grid", "block", "shared bytes", "instructions", "strategy", "lines"])
    let contractions = choices.rows.filter { $0[5].hasPrefix("contraction") }
    #expect(!contractions.isEmpty && contractions.allSatisfy { $0[4].contains(instruction) }, "\(choices.text)")
    #expect(contractions.allSatisfy { (Int($0[3]) ?? 0) > 0 })
    #expect(choices.rows.allSatisfy { Int($0[1]) != nil && Int($0[2]) != nil })
    let json = try JSON(parsing: compilation.explanationJSON(on: .cuda, architecture: architecture))
    #expect(json["target"]?["rows"]?.elements?.count == choices.rows.count)
    #expect(json["ops"]?.elements?.isEmpty == false)
  }

  @Test("explains the choices for a TPU: 16 is bf16, and f32 products ask for the highest precision")
  func tpu() throws {
    let half = try compilation(.sixteen, .O2, sixteen: Target.tpu.sixteen).choices(of: .tpu)
    #expect(half.title.contains("16 bits are bf16"))
    #expect(
      half.rows.count >= 5 && half.rows.allSatisfy { $0[1] == "DEFAULT" && $0[2].contains("bf16") }, "\(half.text)")
    let full = try compilation(.thirtyTwo, .O0).choices(of: .tpu)
    #expect(full.rows.allSatisfy { $0[1] == "HIGHEST" && $0[3].contains("f32") }, "\(full.text)")
  }

  @Test("explains the choices for a CPU")
  func cpu() throws {
    let choices = try compilation(.sixteen, .O2).choices(of: .cpu)
    #expect(choices.rows.contains { $0[1].contains("contraction") }, "\(choices.text)")
  }

  @Test("explains on the command line")
  func command() throws {
    let outcome = try Command(
      [
        "explain", "samples/digits.ltm", "--precision", "16", "--amp-level", "O2", "--target", "cuda", "--arch",
        "sm_90",
      ])
    #expect(outcome.status == 0 && outcome.output.contains("target cuda: code for sm_90"))
    let wrong = try Command(["explain", "samples/digits.ltm", "--arch", "sm_90"])
    #expect(wrong.status == 1 && wrong.errors.contains("--arch is for --target cuda"))
    let unknown = try Command(["explain", "samples/digits.ltm", "--target", "gpu"])
    #expect(unknown.status == 1 && unknown.errors.contains("the targets are cpu"))
  }
}
