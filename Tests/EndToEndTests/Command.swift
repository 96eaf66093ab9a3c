import Foundation
import Testing

/// Runs the `ltm` that was built beside the tests, as a user would.
struct Command {
  let status: Int32
  let output: String
  let errors: String

  /// The repository.
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

  /// Beside the test bundle.
  static let executable: String = {
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
  init(_ arguments: [String], in folder: String = Command.root, shell prefix: String? = nil) throws {
    let process = Process()
    if let prefix {
      process.executableURL = URL(filePath: "/bin/sh")
      process.arguments = ["-c", "\(prefix); exec \"$0\" \"$@\"", Self.executable] + arguments
    } else {
      process.executableURL = URL(filePath: Self.executable)
      process.arguments = arguments
    }
    process.currentDirectoryURL = URL(filePath: folder)
    let (out, err) = (Pipe(), Pipe())
    process.standardOutput = out
    process.standardError = err
    process.standardInput = FileHandle.nullDevice
    try process.run()
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

/// A folder that is removed when the test is done.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "ltm-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  @discardableResult
  func write(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: file(name), atomically: true, encoding: .utf8)
    return file(name)
  }
}
