import Foundation
import LTM
import LTMKernels
import LTMPTX
import LTMSupport
import Testing

/// The root of the package.
let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// NVIDIA's tools, which need no GPU.
enum Tools {
  static let assembler = try? Assembler.find()
  /// Why nothing can be assembled; `nil` where it can.
  static let noAssembler = assembler == nil ? "no ptxas found; scripts/tools.sh installs one" : nil

  /// NVIDIA's disassembler.
  static let disassembler: String? = {
    let library = root.appending(path: ".build/tools/lib").path
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: library)) ?? []
    let given = ProcessInfo.processInfo.environment["LTM_NVDISASM"].map { [$0] } ?? []
    return (given + versions.map { "\(library)/\($0)/site-packages/nvidia/cu13/bin/nvdisasm" })
      .first { FileManager.default.fileExists(atPath: $0) }
  }()
  static let noDisassembler =
    noAssembler ?? (disassembler == nil ? "no nvdisasm found; scripts/tools.sh installs one" : nil)

  /// The instructions of each kernel of a cubin.
  static func disassemble(_ code: [UInt8]) throws -> [String: String] {
    let file = FileManager.default.temporaryDirectory.appending(path: "ltm-\(UUID().uuidString).cubin")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data(code).write(to: file)
    let process = Process()
    process.executableURL = URL(filePath: try #require(disassembler))
    process.arguments = ["-c", file.path]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    var kernels: [String: String] = [:]
    for section in text.components(separatedBy: "//--------------------- .text.").dropFirst() {
      kernels[String(section.prefix { !$0.isWhitespace })] = section
    }
    return kernels
  }

  /// The text of each loop of a kernel: from a label to a branch back to it.
  static func loops(_ text: String) -> [String] {
    text.matches(of: /BRA[^;`]*`\((\.L_x_\d+)\)/).compactMap { branch in
      guard let label = text.range(of: "\(branch.1):"), label.upperBound < branch.range.lowerBound else { return nil }
      return String(text[label.upperBound..<branch.range.lowerBound])
    }
  }
}

/// How `text` differs from the golden file; `LTM_BLESS=1` records it.
func expectGolden(_ text: String, _ name: String) throws {
  let file = root.appending(path: "Tests/PTXTests/Goldens/\(name)")
  if ProcessInfo.processInfo.environment["LTM_BLESS"] == "1" {
    try text.write(to: file, atomically: true, encoding: .utf8)
    Issue.record("recorded \(name)")
  } else {
    #expect(text == (try String(contentsOf: file, encoding: .utf8)), "LTM_BLESS=1 records it; read the difference")
  }
}

func kernels(_ text: String) throws -> [Kernel] {
  let kernels = try parseKernels(SourceFile(path: "test.kernels", text: text))
  for kernel in kernels { #expect(kernel.verify().isEmpty, "\(kernel.verify())") }
  return kernels
}

/// What the assembler reports of a kernel.
struct Assembled {
  var spilledBytes: Int
  var registers: Int

  /// Reads `ptxas -v`, by kernel.
  static func parse(_ report: String) -> [String: Assembled] {
    var found: [String: Assembled] = [:]
    for section in report.components(separatedBy: "Compiling entry function '").dropFirst() {
      let name = String(section.prefix { $0 != "'" })
      let spills = section.matches(of: /(\d+) bytes spill/).compactMap { Int($0.1) }.reduce(0, +)
      let registers = section.firstMatch(of: /Used (\d+) registers/).flatMap { Int($0.1) } ?? 0
      found[name] = Assembled(spilledBytes: spills, registers: registers)
    }
    return found
  }
}
