import Foundation
import LTM
import LTMKernels
import LTMPTX
import LTMSupport
import TestSupport
import Testing

/// NVIDIA's tools, which need no GPU.
enum CUDATools {
  static let assembler: Assembler? = {
    if let installed = InstalledTools.find("nvidia/cuda_nvcc/bin/ptxas") { setenv("LTM_PTXAS", installed, 0) }
    return try? Assembler.find()
  }()
  /// Why nothing can be assembled; `nil` where it can.
  static let noAssembler = assembler == nil ? "no ptxas found; scripts/tools.sh installs one" : nil

  /// NVIDIA's disassembler.
  static let disassembler: String? =
    ProcessInfo.processInfo.environment["LTM_NVDISASM"] ?? InstalledTools.find("nvidia/cu13/bin/nvdisasm")
  static let noDisassembler =
    noAssembler ?? (disassembler == nil ? "no nvdisasm found; scripts/tools.sh installs one" : nil)

  /// The instructions of each kernel of a cubin.
  static func disassemble(_ code: [UInt8]) throws -> [String: String] {
    let folder = try TemporaryFolder()
    try Data(code).write(to: URL(filePath: folder.file("code.cubin")))
    let text = try Command(try #require(disassembler), ["-c", folder.file("code.cubin")]).output
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

func expectGolden(_ text: String, _ name: String) throws {
  try expectGolden(text, root.appending(path: "Tests/PTXTests/Goldens/\(name)"))
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
