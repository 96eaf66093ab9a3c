import Foundation
import Testing

/// Device kernels in an emulator of warps against the CPU's kernels: whole entries and training steps, launch by launch.
@Suite("emulated")
struct EmulatorTests {
  private static let python = root.appending(path: ".build/tools/bin/python").path
  private static let llc = "/usr/lib/llvm-22/bin/llc"

  /// The compiler of C that comes with Swift, or the system's.
  private static let clang = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    .map { "\($0)/clang" }.first(where: FileManager.default.isExecutableFile)

  /// The command, built beside the tests.
  private static let command: String? = {
    let beside = CommandLine.arguments.filter { $0.contains(".build") }.map {
      URL(filePath: $0).deletingLastPathComponent().appending(path: "ltm").path
    }
    return (beside + ["release", "debug"].map { root.appending(path: ".build/\($0)/ltm").path })
      .first(where: FileManager.default.isExecutableFile)
  }()

  static let missing: String? = {
    let files = [(python, "scripts/tools.sh installs numpy"), (llc, "llvm-22 has llc"), (command ?? "ltm", "")]
    for (file, note) in files where !FileManager.default.isExecutableFile(atPath: file) {
      return "\(file) is missing; \(note)"
    }
    return clang == nil ? "there is no clang in $PATH" : nil
  }()

  struct Difference: Codable {
    var name: String
    var difference: Double
    var magnitude: Double
  }

  private func emulate(_ sample: String, _ architecture: String, _ flags: String) throws -> [Difference] {
    let process = Process()
    process.executableURL = URL(filePath: Self.python)
    process.arguments =
      [
        root.appending(path: "Tests/PTXTests/Emulator/emulate.py").path, try #require(Self.command), Self.llc,
        try #require(Self.clang), root.appending(path: "samples/\(sample).ltm").path, architecture,
      ] + flags.split(separator: " ").map(String.init)
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let answer = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return try JSONDecoder().decode([Difference].self, from: answer)
  }

  @Test(
    "give the CPU's results", .enabled(if: missing == nil, "\(missing ?? "")"),
    arguments: [
      ("digits", "sm_80", "--step --precision 16 --amp-level O2", 1e-3),
      ("digits", "sm_70", "--step --precision 16 --amp-level O2 --dim B=33", 1e-3),
      ("norm", "sm_70", "--step --precision 16 --amp-level O1", 1e-3),
      ("norm", "sm_80", "--step --precision 16 --amp-level O3", 1e-3),
      ("norm", "sm_80", "--step --precision bf16 --amp-level O2", 1e-2),
      ("norm", "sm_70", "--step --precision bf16 --amp-level O2", 1e-2),
      ("norm", "sm_90", "--step", 2e-6), ("norm", "sm_80", "--step --precision 64", 1e-14),
      ("mlp", "sm_80", "--step --precision 16 --amp-level O2 --dim B=32 --set hidden=70 --set inputs=37", 1e-3),
      ("mlp", "sm_80", "--entry forward --precision 16 --amp-level O2 --dim B=1024 --set inputs=64", 2e-3),
    ])
  func emulated(sample: String, architecture: String, flags: String, tolerance: Double) throws {
    let written = try emulate(sample, architecture, flags)
    #expect(!written.isEmpty)
    for buffer in written {
      #expect(buffer.difference <= tolerance * max(buffer.magnitude, 1e-3), "\(buffer)")
    }
  }
}
