import Foundation
import LTMSupport
import TestSupport
import Testing

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
      let done = try? Command(
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
