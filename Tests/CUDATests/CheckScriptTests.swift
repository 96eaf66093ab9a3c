import Foundation
import Testing

/// `gpu-check.sh`, which goes with the archive to machines with a GPU, on an emulated one.
@Suite(
  "gpu-check.sh", .serialized, .enabled(if: EmulatedDriver.missing == nil, "\(EmulatedDriver.missing ?? "")"))
struct CheckScriptTests {
  /// A folder laid out as the archive is, with the CPU's losses of one sample.
  private func archive() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let files = FileManager.default
    for name in ["bin", "expected"] {
      try files.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
    }
    try files.createSymbolicLink(atPath: folder.file("bin/ltm"), withDestinationPath: Outcome.command())
    try files.createSymbolicLink(
      atPath: folder.file("samples"), withDestinationPath: root.appending(path: "samples").path)
    try files.copyItem(
      atPath: root.appending(path: "scripts/gpu/gpu-check.sh").path, toPath: folder.file("gpu-check.sh"))
    let log = folder.file("expected/norm+16+O2.log")
    let trained = try Outcome.ltm([
      "train", "samples/norm.ltm", "--precision", "16", "--amp-level", "O2", "--max-steps", "3", "--quiet", "--log",
      log,
    ])
    try #require(trained.status == 0, "\(trained.errors)")
    try "0".write(toFile: folder.file("expected/norm+16+O2.status"), atomically: true, encoding: .utf8)
    return folder
  }

  private func check(_ folder: TemporaryFolder, _ more: [String: String] = [:]) throws -> Outcome {
    let setting = ["CHECK_STEPS": "3", "CHECK_SPEED": "no"].merging(more) { $1 }
    return try Outcome("/bin/bash", [folder.file("gpu-check.sh")], EmulatedDriver.environment(.whole, setting))
  }

  @Test("finds the CPU's losses on the GPU")
  func right() throws {
    let outcome = try check(archive())
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("train norm 16 O2") && outcome.output.contains("3 steps, farthest"))
  }

  @Test("says when losses are wrong", arguments: [("\"loss\":1", "\"loss\":2"), ("\"scale\":6", "\"scale\":7")])
  func wrong(written: String, instead: String) throws {
    let folder = try archive()
    let log = folder.file("expected/norm+16+O2.log")
    let text = try String(contentsOfFile: log, encoding: .utf8)
    try text.replacing(written, with: instead).write(toFile: log, atomically: true, encoding: .utf8)
    let outcome = try check(folder)
    #expect(outcome.status == 1 && outcome.output.contains("WRONG"), "\(outcome.output)\(text)")
  }

  @Test("says when training fails")
  func failing() throws {
    let outcome = try check(archive(), ["EMULATED_CUDA_FAIL": "cuLaunchKernel:701:3"])
    #expect(outcome.status == 1 && outcome.output.contains("it ended with 1"), "\(outcome.output)")
  }

  @Test("says when there is no GPU")
  func missing() throws {
    let outcome = try check(archive(), ["LTM_CUDA_DRIVER": "/nowhere/libcuda.so.1"])
    #expect(outcome.status == 3 && outcome.output.contains("no GPU found"), "\(outcome.output)")
  }
}
