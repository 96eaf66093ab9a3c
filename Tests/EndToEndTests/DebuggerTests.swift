import Foundation
import TestSupport
import Testing

private let gdb = ["/usr/bin/gdb", "/usr/local/bin/gdb"].first { FileManager.default.isExecutableFile(atPath: $0) }

@Suite struct DebuggerTests {
  /// The line of the model's forward pass: `return image |> fc1 |> relu |> fc2`.
  private static let line = 7

  @Test(.enabled(if: gdb != nil, "no gdb is installed")) func gdbStopsInAKernelAtItsLine() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ltm-gdb-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/timeout")
    let commands = [
      "set breakpoint pending on", "set debuginfod enabled off", "break digits.ltm:\(Self.line)", "run", "bt 3", "kill",
    ]
    let arguments = ["train", "samples/digits.ltm", "--max-steps", "2", "--threads", "1", "--quiet"]
    process.arguments =
      ["--foreground", "120", try #require(gdb), "-nx", "-batch"] + commands.flatMap { ["-ex", $0] } + [
        "--args", Command.executable,
      ] + arguments
    process.currentDirectoryURL = URL(filePath: Command.root)
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["LTM_DEBUG": "1", "LTM_CACHE": "off", "JITDUMPDIR": folder.path]
    ) { $1 }
    let output = Pipe()
    (process.standardOutput, process.standardError) = (output, output)
    process.standardInput = FileHandle.nullDevice
    try unblockingSignals { try process.run() }
    let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    if text.contains("ptrace") || text.contains("Could not trace") {
      return print("skipped: gdb may not trace here: \(text.suffix(300))")
    }
    // The frame is a kernel by its name, at the line of the model.
    let frame = text.split(separator: "\n").first { $0.hasPrefix("#0") } ?? ""
    #expect(frame.contains("k") && frame.contains("digits.ltm:\(Self.line)"), "\(text.suffix(2000))")
  }

  /// Threads of the concurrency runtime block signals, and gdb, which would inherit that, waits for one.
  private func unblockingSignals(_ body: () throws -> Void) rethrows {
    var (none, held) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &held)
    defer { pthread_sigmask(SIG_SETMASK, &held, nil) }
    try body()
  }

  @Test func compileWritesLinesWhereAskedTo() throws {
    let arguments = ["compile", "samples/digits.ltm", "--emit", "asm", "--dim", "B=64"]
    let lines = try Command(arguments + ["-g"])
    #expect(lines.status == 0 && lines.output.contains(".loc\t") && lines.output.contains("digits.ltm"))
    let plain = try Command(arguments)
    #expect(plain.status == 0 && !plain.output.contains(".loc\t"))
  }

  @Test func assemblyIsWhatRuns() throws {
    // A result of 16 MiB is stored past the caches.
    let arguments = ["compile", "bench/models/chain.ltm", "--emit", "asm", "--dim", "R=4096", "--dim", "C=1024"]
    let assembly = try Command(arguments)
    #expect(assembly.status == 0, "\(assembly.errors)")
    #if arch(x86_64)
      #expect(assembly.output.contains("movnt"))
    #endif
  }
}
