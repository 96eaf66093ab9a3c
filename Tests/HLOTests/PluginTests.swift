import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// Plugins that are none, or are wrong in some way, as a user meets them.
@Suite("wrong PJRT plugins")
struct PluginTests {
  /// The ways that `FakePlugin/plugin.c` knows, in its order, and the words that each must be met with.
  static let problems = [
    "GetPjrtApi gave nothing", "speaks version 9 of the C API", "is too old",
    "another process holds the device", "has 2 devices of the platform tpu",
  ]

  static let missing = compiler == nil ? "no C compiler (clang or cc) to make a plugin with" : nil

  private static let compiler = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    .flatMap { ["\($0)/clang", "\($0)/cc"] }.first { FileManager.default.isExecutableFile(atPath: $0) }

  /// Compiles the plugin of a kind.
  private func plugin(_ kind: Int) throws -> String {
    let path = FileManager.default.temporaryDirectory.appending(path: "ltm-plugin-\(kind)-\(UUID().uuidString).so").path
    let process = Process()
    process.executableURL = URL(filePath: try #require(Self.compiler))
    process.arguments = [
      "-shared", "-fPIC", "-DKIND=\(kind)", "-I", root.appending(path: "Sources/CPJRT/include").path,
      root.appending(path: "Tests/HLOTests/FakePlugin/plugin.c").path, "-o", path,
    ]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return path
  }

  @Test("are told apart", .enabled(if: missing == nil, "\(missing ?? "")"), arguments: problems.indices)
  func toldApart(kind: Int) throws {
    let path = try plugin(kind)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let error = #expect(throws: LTMError.self) { try Execution(target: .tpu, pjrtPlugin: path, tpuCores: 3) }
    let text = try #require(error).description
    #expect(text.contains(Self.problems[kind]), "\(text)")
    #expect(text.contains(path) && text.contains("note: "), "\(text)")
  }

  @Test("no library at all", arguments: ["/nowhere/libtpu.so", #filePath, "/", "", "/dev/null", "libm.so.6"])
  func noPlugin(path: String) throws {
    let error = #expect(throws: LTMError.self) { try Execution(target: .tpu, pjrtPlugin: path) }
    let text = try #require(error).description
    #expect(text.contains("'\(path)'") && text.contains("--pjrt-plugin"), "\(text)")
  }
}
