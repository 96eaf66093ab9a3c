import Foundation
import LTMSupport
import Testing

/// The root of the package.
let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// NVIDIA's driver interface on this CPU (`Driver/`): a library that the runtime opens in the driver's place. It takes the PTX,
/// makes C of it, and runs that launch by launch.
enum EmulatedDriver {
  private static let sources = root.appending(path: "Tests/CUDATests/Driver")

  /// The driver as it is, and with functions missing.
  enum Form: String, CaseIterable {
    case whole, WITHOUT_GRAPHS, WITHOUT_SHARED_MEMORY
  }

  private static func tool(_ name: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
      .first(where: FileManager.default.isExecutableFile)
  }

  /// Why there is none; `nil` where there is one.
  static let missing: String? =
    tool("clang") == nil || tool("python3") == nil
    ? "the emulated driver needs clang and python3 in $PATH" : built == nil ? "the emulated driver does not build" : nil

  /// A folder for its libraries and for what modules compile to; another one when a source changes.
  private static let folder: URL = {
    var digest: UInt64 = 14_695_981_039_346_656_037
    for name in ["driver.c", "emulator.h", "ptx2c.py"] {
      for byte in (try? Data(contentsOf: sources.appending(path: name))) ?? Data() {
        digest = (digest ^ UInt64(byte)) &* 1_099_511_628_211
      }
    }
    return root.appending(path: ".build/cuda-emulator/\(String(digest, radix: 16))")
  }()

  private static let built: [Form: String]? = {
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    var libraries: [Form: String] = [:]
    for form in Form.allCases {
      let library = folder.appending(path: "\(form.rawValue)/libcuda.so.1")
      try? FileManager.default.createDirectory(
        at: library.deletingLastPathComponent(), withIntermediateDirectories: true)
      let flags = [
        "-O1", "-shared", "-fPIC", "-D\(form.rawValue)", "-I", root.appending(path: "Sources/CCUDA/include").path,
      ]
      let done = try? Outcome(
        "/usr/bin/env", ["clang"] + flags + [sources.appending(path: "driver.c").path, "-o", library.path, "-ldl"])
      guard done?.status == 0 else { return nil }
      libraries[form] = library.path
    }
    return libraries
  }()

  /// What the runtime and the driver read, with more of it.
  static func environment(_ form: Form = .whole, _ more: [String: String] = [:]) throws -> [String: String] {
    let library = try #require(built?[form])
    let own = [
      "LTM_CUDA_DRIVER": library, "EMULATED_CUDA_TOOLS": sources.path, "EMULATED_CUDA_CACHE": folder.path,
    ]
    return own.merging(more) { $1 }
  }
}

/// A command that has ended.
struct Outcome {
  let status: Int32
  let output: String
  let errors: String

  init(_ executable: String, _ arguments: [String], _ environment: [String: String] = [:]) throws {
    let process = Process()
    process.executableURL = URL(filePath: executable)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.currentDirectoryURL = root
    let folder = try TemporaryFolder()
    let files = ["output", "errors"].map { URL(filePath: folder.file($0)) }
    for file in files { try Data().write(to: file) }
    let handles = try files.map { try FileHandle(forWritingTo: $0) }
    (process.standardOutput, process.standardError) = (handles[0], handles[1])
    process.standardInput = FileHandle.nullDevice
    try process.run()
    // Nothing here takes a minute; what hangs must not hang the suite.
    DispatchQueue.global().asyncAfter(deadline: .now() + 300) { if process.isRunning { process.terminate() } }
    process.waitUntilExit()
    status = process.terminationStatus
    output = try String(contentsOf: files[0], encoding: .utf8)
    errors = try String(contentsOf: files[1], encoding: .utf8)
  }

  /// The `ltm` that was built beside the tests.
  static func command() throws -> String {
    let beside = CommandLine.arguments.filter { $0.contains(".build") }.map {
      URL(filePath: $0).deletingLastPathComponent().appending(path: "ltm").path
    }
    let built = ["release", "debug"].map { root.appending(path: ".build/\($0)/ltm").path }
    return try #require((beside + built).first(where: FileManager.default.isExecutableFile))
  }

  static func ltm(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Outcome {
    try Outcome(command(), arguments, environment)
  }
}

/// A folder that is removed when the test is done.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "ltm-cuda-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }
}

/// One line of a step log.
struct LoggedStep: Decodable, Equatable {
  var attempt: Int
  var step: Int
  var loss: Double?
  var scale: Double
  var skipped: Bool

  static func read(_ path: String) throws -> [LoggedStep] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
      try JSONDecoder().decode(LoggedStep.self, from: Data($0.utf8))
    }
  }
}
