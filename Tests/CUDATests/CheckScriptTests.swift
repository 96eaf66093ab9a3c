import Foundation
import TestSupport
import Testing

/// `gpu-check.sh`, which goes with the archive to machines with a GPU, on an emulated one.
@Suite("gpu-check.sh", .enabled(if: EmulatedDriver.missing == nil, "\(EmulatedDriver.missing ?? "")"))
struct CheckScriptTests {
  /// A folder laid out as the archive is, with the CPU's losses of one sample.
  private func archive(_ flags: String = "samples/norm.ltm --precision 16 --amp-level O2") throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let files = FileManager.default
    for name in ["bin", "expected", "gpu"] {
      try files.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
    }
    try files.createSymbolicLink(atPath: folder.file("bin/ltm"), withDestinationPath: Command.executable)
    try files.createSymbolicLink(
      atPath: folder.file("samples"), withDestinationPath: root.appending(path: "samples").path)
    for (source, name) in [
      ("scripts/gpu/gpu-check.sh", "gpu-check.sh"), ("scripts/gpu/wide.ltm", "gpu/wide.ltm"),
      ("bench/models/gemm.ltm", "gpu/gemm.ltm"),
    ] { try files.copyItem(atPath: root.appending(path: source).path, toPath: folder.file(name)) }
    let trained = try Command(
      ["train"] + flags.split(separator: " ").map(String.init)
        + ["--max-steps", "3", "--quiet", "--log", folder.file("expected/norm+16+O2.log")])
    try #require(trained.status == 0, "\(trained.errors)")
    try flags.write(toFile: folder.file("expected/norm+16+O2.flags"), atomically: true, encoding: .utf8)
    try "0".write(toFile: folder.file("expected/norm+16+O2.status"), atomically: true, encoding: .utf8)
    return folder
  }

  /// Puts a program in the place of a real one; gives its path.
  private func fake(_ name: String, _ folder: TemporaryFolder, _ body: String) throws -> String {
    let path = folder.file(name)
    try? FileManager.default.removeItem(atPath: path)
    try "#!/bin/sh\n\(body)\n".write(toFile: path, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    return path
  }

  private func check(_ folder: TemporaryFolder, _ more: [String: String] = [:]) throws -> Command {
    let setting = ["CHECK_STEPS": "3", "CHECK_SPEED": "no"].merging(more) { $1 }
    return try Command(
      "/bin/bash", [folder.file("gpu-check.sh")], environment: EmulatedDriver.environment(.whole, setting))
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

  @Test("compares runs that diverge until they do")
  func diverging() throws {
    let folder = try archive("samples/norm.ltm --optimizer SGD(lr:100)")
    let log = folder.file("expected/norm+16+O2.log")
    var lines = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").map(String.init)
    lines[1] = lines[1].replacing(/"loss":[0-9.e+-]+/, with: "\"loss\":77")
    try lines.joined(separator: "\n").write(toFile: log, atomically: true, encoding: .utf8)
    let outcome = try check(folder)
    #expect(outcome.status == 0 && outcome.output.contains("both diverge from step 1"), "\(outcome.output)\(lines)")
  }

  /// An emulated GPU is no faster in 16 bits; that the numbers are read, and checked, shows all the same.
  @Test("measures the wide perceptron, its activations and a product", arguments: [("1e3", true), ("1e18", false)])
  func speed(operations: String, isFastEnough: Bool) throws {
    let folder = try archive()
    _ = try fake("bin/cublas", folder, "echo \(operations)")
    let sizes = ["CHECK_SPEED": "yes", "CHECK_WIDE": "--set outer=16 --set inner=32 --dim B=16", "CHECK_GEMM": "64"]
    let outcome = try check(folder, sizes)
    #expect(outcome.output.contains(/wide perceptron +.*fp32 O0 [0-9.e-]+ s, fp16 O2 [0-9.e-]+ s: \d+\.\d\d times/))
    #expect(outcome.output.contains(/its activations +0\.5\d of fp32's/), "\(outcome.output)\(outcome.errors)")
    let product = try #require(outcome.output.split(separator: "\n").first { $0.contains("64-cubed fp16 product") })
    #expect(product.contains("WRONG") != isFastEnough && product.contains("cuBLAS"), "\(product)")
    #expect(outcome.errors.isEmpty, "\(outcome.errors)")
  }

  @Test(
    "asks compute-sanitizer, and says what it found",
    arguments: [
      (9, "========= Error: Race reported", 1, "WRONG: ========= Error: Race reported"), (0, "", 0, "found nothing"),
    ])
  func sanitizer(ends: Int, says: String, status: Int32, verdict: String) throws {
    let folder = try archive()
    let body = "case $2 in racecheck) echo '\(says)'; exit \(ends);; esac; shift 4; exec \"$@\""
    let outcome = try check(folder, ["CHECK_SANITIZER": fake("bin/compute-sanitizer", folder, body)])
    #expect(outcome.status == status, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains(/compute-sanitizer memcheck norm +found nothing/), "\(outcome.output)")
    let race = try #require(outcome.output.split(separator: "\n").first { $0.contains("racecheck norm") })
    #expect(race.contains(verdict), "\(race)")
  }

  @Test("starts nothing when its time is over, and says what it left")
  func noTime() throws {
    let folder = try archive()
    let outcome = try check(folder, ["CHECK_BUDGET": "0", "CHECK_SPEED": "yes"])
    #expect(outcome.status == 2, "\(outcome.output)\(outcome.errors)")
    for part in ["train norm 16 O2", "wide perceptron, 32 O0", "4096-cubed fp16 product"] {
      let line = try #require(outcome.output.split(separator: "\n").first { $0.hasPrefix(part) })
      #expect(line.contains("not run: the 0 seconds are over"), "\(line)")
    }
    #expect(try String(contentsOfFile: folder.file("results/report"), encoding: .utf8) == outcome.output)
  }

  @Test("tells a system that it does not start on from one without a GPU")
  func noStart() throws {
    let folder = try archive()
    _ = try fake("bin/ltm", folder, "echo \"version 'GLIBC_2.36' not found\" >&2; exit 1")
    let outcome = try check(folder)
    #expect(outcome.status == 4 && outcome.output.contains("GLIBC_2.36"), "\(outcome.output)")
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
