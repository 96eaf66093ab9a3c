import Foundation
import LTMKernels
import LTMLLVM
import LTMSupport
import TestSupport
import Testing

/// What reads line tables; it comes with llvm-22-dev.
private let dwarfdump = "/usr/lib/llvm-22/bin/llvm-dwarfdump"
private let noDwarfdump = FileManager.default.isExecutableFile(atPath: dwarfdump) ? nil : "no \(dwarfdump)"

/// A sum whose operands are read on line 7 of one file, and which is added and stored on line 21 of another.
private func locatedKernel() -> Kernel {
  var kernel = binaryKernel(.add, .f32, 9)
  kernel.locations = [
    Location(path: "model.ltm", line: 7, column: 3), Location(path: "layers/norm.ltm", line: 21, column: 9),
  ]
  kernel.origins = kernel.expressions.map { if case .apply = $0 { 1 } else { 0 } }
  return kernel
}

private func run(_ tool: String, _ arguments: [String]) throws -> String { try Command(tool, arguments).output }

private func withFile(_ bytes: [UInt8] = [], _ body: (String) throws -> Void) throws {
  let file = FileManager.default.temporaryDirectory.appending(path: "ltm-debug-\(UUID().uuidString)")
  defer { try? FileManager.default.removeItem(at: file) }
  try Data(bytes).write(to: file)
  try body(file.path)
}

@Suite struct DebugInfoTests {
  @Test(.enabled(if: noDwarfdump == nil, Comment(rawValue: noDwarfdump ?? ""))) func objectsHaveLineTables() throws {
    let kernel = locatedKernel()
    let object = try emit(kernel, as: .object, profile: .host, lines: "/models")
    try withFile(object) { file in
      let table = try run(dwarfdump, ["--debug-line", file])
      #expect(table.contains("name: \"model.ltm\"") && table.contains("norm.ltm\""))
      let rows = table.split(separator: "\n").filter { $0.hasPrefix("0x0") }.map { $0.split(separator: " ") }
      let lines = Set(rows.compactMap { $0.count > 2 ? Int($0[1]) : nil })
      // Line 0 is what belongs to no line, such as the ends of loops.
      #expect(lines.subtracting([0]) == [7, 21], "\(table)")
      let entries = try run(dwarfdump, ["--debug-info", file])
      #expect(entries.contains("DW_AT_name\t(\"\(kernel.name)\")"))
      #expect(entries.contains("DW_AT_comp_dir\t(\"/models\")"))
    }
    try withFile(try emit(kernel, as: .object, profile: .host)) { file in
      let table = try run(dwarfdump, ["--debug-line", file])
      #expect(!table.contains("model.ltm"))
    }
  }

  /// On AArch64 a function that is described for debuggers sets up its frame in other steps.
  @Test(arguments: ([TargetProfile.host] + TargetProfile.named).filter { $0.architecture == .x86_64 })
  func linesChangeNoInstruction(_ profile: TargetProfile) throws {
    func instructions(_ kernel: Kernel, lines: String?) throws -> [String] {
      let text = String(decoding: try emit(kernel, as: .assembly, profile: profile, lines: lines), as: UTF8.self)
      return text.components(separatedBy: ".section\t.debug")[0].split(separator: "\n").compactMap { line in
        let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
        // Labels stand at the beginning of a line, directives begin with a dot.
        guard line.first == "\t", let first = words.first, first.first != "." else { return nil }
        return words.joined(separator: " ")
      }
    }
    var product = linearKernel(m: 64, n: 64, k: 64, dtype: .f32)
    product.locations = [Location(path: "model.ltm", line: 4, column: 1)]
    for kernel in [locatedKernel(), product] {
      let plain = try instructions(kernel, lines: nil)
      #expect(plain.count > 10)
      #expect(try instructions(kernel, lines: "/models") == plain)
    }
  }

  @Test func aKernelWithoutPlacesHasNoLines() throws {
    let text = String(
      decoding: try emit(binaryKernel(.add, .f32, 9), as: .llvmIR, profile: .host, lines: "/models"), as: UTF8.self)
    #expect(!text.contains("!dbg"))
  }

  @Test func profilersFindKernelsByName() throws {
    try withFile { map in
      let compiler = try KernelCompiler(cache: nil, debugSession: DebugSession(map: map))
      let kernels = [locatedKernel(), linearKernel(m: 64, n: 64, k: 64, dtype: .f32)]
      let compiled = try compiler.compile(kernels)
      let lines = try String(contentsOfFile: map, encoding: .utf8).split(separator: "\n").map {
        $0.split(separator: " ")
      }
      for (kernel, made) in zip(kernels, compiled) {
        let line = try #require(lines.first { $0[2].hasPrefix(kernel.name + "_") && !$0[2].contains(".") })
        let entry = UInt(bitPattern: unsafeBitCast(made.function, to: UnsafeRawPointer.self))
        #expect(UInt(line[0], radix: 16) == entry)
        #expect(try #require(UInt(line[1], radix: 16)) > 16)
      }
      #expect(lines.contains { $0[2].hasSuffix(".tile") })
      let ones = [Double](repeating: 1, count: 9)
      let sum = try launch(compiled[0], kernels[0], [ones, ones, ones], order: .together)[2].doubles
      #expect(sum == [Double](repeating: 2, count: 9))
    }
  }

  @Test func placesDecideACacheEntryOnlyWhereTheyAreKept() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ltm-cache-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    var moved = locatedKernel()
    moved.locations[0] = Location(path: "model.ltm", line: 70, column: 3)
    func entries(_ session: DebugSession?) throws -> Int {
      let path = folder.appending(path: session == nil ? "plain" : "debug").path
      let cache = try #require(ObjectCache(folder: path))
      let compiler = try KernelCompiler(cache: cache, debugSession: session)
      _ = try compiler.compile([locatedKernel(), moved])
      return try FileManager.default.contentsOfDirectory(atPath: path).count
    }
    #expect(try entries(nil) == 1)
    #expect(try entries(DebugSession(map: "/dev/null")) == 2)
  }
}
