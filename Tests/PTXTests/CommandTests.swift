import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

@Suite("the target cuda")
struct CommandTests {
  private func digits() throws -> Compilation {
    try Compilation(
      model: Model(contentsOf: root.appending(path: "samples/digits.ltm").path),
      policy: PrecisionPolicy(.sixteen, level: .O2), entry: "forward", dimensions: ["B": 64])
  }

  @Test("writes its launches as recorded")
  func launches() throws {
    try expectGolden(try #require(try digits().emit(.launch).text), "digits.launch")
  }

  @Test("writes its launches as JSON")
  func launchesAsJSON() throws {
    let text = try #require(try digits().emit(DeviceStage.launchJSON, architecture: "sm_90").text)
    let json = try JSON(parsing: text)
    #expect(json["arch"]?.stringValue == "sm_90")
    #expect(json["launches"]?.elements?.count == 2)
    #expect(json["launches"]?[0]?["block"]?[0]?.intValue == 128)
  }

  @Test("names the architectures that there are")
  func unknownArchitecture() throws {
    let error = #expect(throws: LTMError.self) { try digits().emit(DeviceStage.ptx, architecture: "sm_12") }
    #expect(error?.description.contains("sm_70") == true)
  }

  @Test(
    "takes the names of GPUs that run an older one's code", arguments: [("sm_75", 70), ("sm_89", 80), ("sm_120", 90)])
  func compatible(name: String, code: Int) throws {
    let text = try #require(try digits().emit(DeviceStage.ptx, architecture: name).text)
    #expect(text.contains(".target sm_\(code)\n"))
  }

  @Test("assembles an older one's code", .enabled(if: CUDATools.noAssembler == nil, "\(CUDATools.noAssembler ?? "")"))
  func newerCubin() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ltm-\(UUID().uuidString).cubin")
    defer { try? FileManager.default.removeItem(at: folder) }
    try digits().emit(DeviceStage.cubin, architecture: "sm_120").write(to: folder.path)
    #expect(try Data(contentsOf: folder).prefix(4) == Data([0x7F, 0x45, 0x4C, 0x46]))
  }

  @Test(
    "ends a dump, as every target does, with the stages that are its own",
    arguments: [
      (Target.cpu, ["kernels.ll", "kernels.s", "kernels.txt"]), (.interpreter, []), (.tpu, ["stablehlo.mlir"]),
      (.cuda, ["kernels.ll", "kernels.ptx", "kernels.txt", "launch.txt"]),
    ])
  func dump(target: Target, own: [String]) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ltm-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try digits().dump(to: folder.path, for: target, architecture: target == .cuda ? "sm_90a" : nil)
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    #expect(files.filter { !$0.hasSuffix(".ltir") }.dropFirst(2).map { String($0.dropFirst(3)) }.sorted() == own)
    for file in files where file.hasSuffix(".ptx") {
      #expect(try String(contentsOf: folder.appending(path: file), encoding: .utf8).contains(".target sm_90a"))
    }
  }

  @Test(
    "writes no stage of another target",
    arguments: [
      (Target.tpu, Stage.llvm, false), (.tpu, .stablehlo, true), (.cuda, .asm, false), (.interpreter, .obj, false),
      (.interpreter, .kernels, true), (.cpu, .obj, true),
    ])
  func stages(target: Target, stage: Stage, isThere: Bool) {
    #expect(target.stages.contains(stage) == isThere)
  }
}
