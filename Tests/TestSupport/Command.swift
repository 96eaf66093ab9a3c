import Foundation

/// The root of the package.
package let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()

/// A program that has ended: the `ltm` that was built beside the tests, as a user would run it, or another.
package struct Command {
  package let status: Int32
  package let output: String
  package let errors: String

  package static let root = TestSupport.root.path

  /// Beside the test bundle.
  package static let executable: String = {
    let arguments = CommandLine.arguments.compactMap { argument in
      argument.contains(".build") ? URL(filePath: argument).deletingLastPathComponent() : nil
    }
    let folders =
      arguments + [
        URL(filePath: root).appending(path: ".build/release"), URL(filePath: root).appending(path: ".build/debug"),
      ]
    return folders.map { $0.appending(path: "ltm").path }.first { FileManager.default.isExecutableFile(atPath: $0) }
      ?? "ltm"
  }()

  /// `ltm arguments...` in a folder; `shell` prefixes a command such as `ulimit`.
  @discardableResult
  package init(
    _ arguments: [String], in folder: String = Command.root, shell prefix: String? = nil,
    environment: [String: String] = [:]
  ) throws {
    if let prefix {
      let line = ["-c", "\(prefix); exec \"$0\" \"$@\"", Self.executable]
      try self.init("/bin/sh", line + arguments, in: folder, environment: environment)
    } else {
      try self.init(Self.executable, arguments, in: folder, environment: environment)
    }
  }

  /// Any program, with more in its environment than the tests have; one that hangs is ended.
  @discardableResult
  package init(
    _ program: String, _ arguments: [String], in folder: String = Command.root, environment: [String: String] = [:]
  ) throws {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.currentDirectoryURL = URL(filePath: folder)
    let (out, err) = (Pipe(), Pipe())
    process.standardOutput = out
    process.standardError = err
    process.standardInput = FileHandle.nullDevice
    try process.run()
    DispatchQueue.global().asyncAfter(deadline: .now() + 600) { if process.isRunning { process.terminate() } }
    // Read both to their ends, one on another thread, so that neither pipe fills up.
    nonisolated(unsafe) var errorData = Data()
    let done = DispatchSemaphore(value: 0)
    let waiter = Thread {
      errorData = (try? err.fileHandleForReading.readToEnd()) ?? Data()
      done.signal()
    }
    waiter.start()
    let outputData = try out.fileHandleForReading.readToEnd() ?? Data()
    done.wait()
    process.waitUntilExit()
    status = process.terminationStatus
    output = String(decoding: outputData, as: UTF8.self)
    errors = String(decoding: errorData, as: UTF8.self)
  }
}
