import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// The command as a user meets it.
@Suite struct CommandTests {
  static let digits = "samples/digits.ltm"

  @Test func trainSavesAndRunReads() throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("digits.safetensors")
    let log = folder.file("log.jsonl")
    let train = try Command([
      "train", Self.digits, "--precision", "16", "--amp-level", "O2", "--epochs", "2", "--save", saved, "--log", log,
      "--json",
    ])
    #expect(train.status == 0, "\(train.errors)")
    let result = try JSON(parsing: Array(train.output.utf8))
    #expect(result["report"]?.stringValue == "accuracy")
    let lines = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == result["steps"]?.intValue)
    let first = try JSON(parsing: Array(lines[0].utf8))
    #expect(first["scale"]?.doubleValue == 65536)
    #expect(first["skipped"]?.boolValue == false)

    let run = try Command([
      "run", Self.digits, "--entry", "accuracy", "--weights", saved, "--precision", "16", "--amp-level", "O2", "--json",
      "--input", "image=samples/data/digits.safetensors:x_test", "--input",
      "label=samples/data/digits.safetensors:y_test",
    ])
    #expect(run.status == 0, "\(run.errors)")
    let accuracy = try JSON(parsing: Array(run.output.utf8))["result"]?["data"]?[0]?.doubleValue
    #expect(abs(try #require(accuracy) - (result["value"]?.doubleValue ?? 0)) < 1e-3)
  }

  @Test func integersOf64BitsAreShownExactly() throws {
    for number in [Int64.max, .min, 0x20_0000_0000_0001] {
      let bytes = withUnsafeBytes(of: number.littleEndian) { Array($0) }
      let tensor = try #require(Tensor(dtype: .i64, shape: [1], bytes: bytes))
      #expect(tensor.summary == "i64[1] \(number)")
      #expect(TensorFile.json([("x", tensor)]).contains("[\(number)]"))
    }
  }

  @Test func runWritesFiles() throws {
    let folder = try TemporaryFolder()
    let output = folder.file("y.npy")
    let run = try Command(["run", Self.digits, "--input", "image=samples/data/digits.safetensors:x_test", "-o", output])
    #expect(run.status == 0, "\(run.errors)")
    #expect(FileManager.default.fileExists(atPath: output))
  }

  @Test(arguments: ["ast", "graph", "kernels", "llvm", "asm"]) func compileEmits(_ stage: String) throws {
    for step in [[], ["--step"]] {
      let compile = try Command(
        ["compile", Self.digits, "--emit", stage, "--precision", "16", "--amp-level", "O2"] + step)
      #expect(compile.status == 0, "\(compile.errors)")
      #expect(compile.output.count > 200)
    }
  }

  @Test func profileTimesEveryLaunch() throws {
    let command = ["profile", Self.digits, "--step", "--precision", "16", "--amp-level", "O2", "--runs", "3"]
    let json = try Command(command + ["--json"])
    #expect(json.status == 0, "\(json.errors)")
    let report = try JSON(parsing: Array(json.output.utf8))
    let launches = try #require(report["launches"]?.elements)
    #expect(launches.count > 10)
    #expect(launches.allSatisfy { ($0["seconds"]?.doubleValue ?? 0) > 0 && ($0["bytes"]?.doubleValue ?? 0) > 0 })
    #expect(report["ceilings"]?["flops"]?.doubleValue ?? 0 > 1e9)
    let text = try Command(command)
    #expect(text.output.contains("contraction") && text.output.contains("samples/digits.ltm:"))
  }

  @Test func profileOfTheCompilationTellsTheCacheFromTheCompiler() throws {
    let folder = try TemporaryFolder()
    let command = ["profile", Self.digits, "--step", "--compile"]
    func report() throws -> JSON {
      let run = try Command(command + ["--json"], shell: "export LTM_CACHE=\(folder.file("cache"))")
      #expect(run.status == 0, "\(run.errors)")
      return try JSON(parsing: Array(run.output.utf8))
    }
    for isCached in [false, true] {
      let found = try report()
      let phases = try #require(found["phases"]?.elements)
      #expect(
        phases.compactMap { $0["name"]?.stringValue } == [
          "process start", "model", "LLVM", "graph", "kernels", "machine code", "memory", "weights", "first run",
        ])
      #expect(phases.allSatisfy { ($0["seconds"]?.doubleValue ?? -1) >= 0 })
      let kernels = try #require(found["kernels"]?.elements)
      #expect(kernels.count > 10 && kernels.allSatisfy { $0["cached"] == .bool(isCached) })
      // The parts of one thread are no more than the whole, but for the tick of the system's clock.
      let sum = phases.reduce(0) { $0 + ($1["seconds"]?.doubleValue ?? 0) }
      #expect(sum <= (found["seconds"]?.doubleValue ?? 0) + 0.05)
    }
    let text = try Command(command)
    #expect(text.output.contains("ms from process start") && text.output.contains("machine code"))
  }

  @Test func profileNeedsKernels() throws {
    let profile = try Command(["profile", Self.digits, "--step", "--target", "interpreter"])
    #expect(profile.status == 1)
    #expect(profile.errors.contains("only the targets cpu and cuda"))
  }

  @Test func dumpsEveryStage() throws {
    let folder = try TemporaryFolder()
    let compile = try Command([
      "compile", Self.digits, "--step", "--dump", folder.file("stages"), "--precision", "16", "--amp-level", "O1",
    ])
    #expect(compile.status == 0, "\(compile.errors)")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.file("stages")).sorted()
    #expect(files.count >= 10, "\(files)")
    #expect(files.first == "00-source.ltm")
  }

  /// Of the last run alone, whichever command made them.
  @Test func aDumpHoldsTheStagesOfOneRun() throws {
    let folder = try TemporaryFolder()
    let stages = folder.file("stages")
    func dump(_ arguments: [String]) throws -> [String] {
      let run = try Command(arguments + [Self.digits, "--dump", stages])
      #expect(run.status == 0, "\(run.errors)")
      return try FileManager.default.contentsOfDirectory(atPath: stages).sorted()
    }
    let step = try dump(["compile", "--step"])
    try folder.write("stages/notes.txt", "mine")
    let entry = try dump(["compile", "--entry", "forward"])
    #expect(entry.contains("notes.txt") && !entry.contains { $0.contains("step") }, "\(entry)")
    #expect(Set(entry.dropLast().map { $0.prefix(2) }).count == entry.count - 1, "\(entry)")
    #expect(try dump(["train", "--max-steps", "1", "--quiet"]) == step + ["notes.txt"])
  }

  @Test func anObjectFileComesWithItsHeaderOrNotAtAll() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.createDirectory(atPath: folder.file("x.h"), withIntermediateDirectories: false)
    let compile = try Command(["compile", Self.digits, "--emit", "obj", "-o", folder.file("x.o")])
    #expect(compile.status == 1)
    #expect(compile.errors.contains("x.h: is a directory"), "\(compile.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["x.h"])
  }

  @Test func thePreludeIsPrintedAsItIs() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("prelude.ltm", Command(["prelude"]).output)
    #expect(try Command(["fmt", "--check", file]).status == 0)
  }

  @Test func explainsEveryOp() throws {
    let text = try Command(["explain", Self.digits, "--precision", "16", "--amp-level", "O1"])
    #expect(text.status == 0, "\(text.errors)")
    #expect(text.output.contains("samples/digits.ltm:"))
    #expect(text.output.contains("cast f32 to f16"))
    let json = try JSON(
      parsing: Array(
        try Command(["explain", Self.digits, "--precision", "16", "--amp-level", "O1", "--json"]).output.utf8))
    #expect((json["totals"]?["casts"]?.intValue ?? 0) > 0)
    #expect(json["ops"]?.elements?.allSatisfy { $0["rule"]?.stringValue?.isEmpty == false } == true)
  }

  @Test func checkAndFormat() throws {
    let folder = try TemporaryFolder()
    #expect(try Command(["check", Self.digits]).status == 0)
    #expect(try Command(["fmt", "--check", Self.digits]).status == 0)
    let ugly = try folder.write("ugly.ltm", "model  M( ) {\nfunc f(x:[B]) -> [B] { return x+x }\n}\n")
    #expect(try Command(["fmt", "--check", ugly]).status == 1)
    #expect(try Command(["fmt", ugly]).status == 0)
    #expect(try Command(["fmt", "--check", ugly]).status == 0)
  }

  @Test func aStreamIsFormattedOrChecked() throws {
    let folder = try TemporaryFolder()
    let ugly = try folder.write("ugly.ltm", "model  M( ) {\nfunc f(x:[B]) -> [B] { return x+x }\n}\n")
    let printed = try Command(["fmt", "-"], shell: "exec < \(ugly)")
    #expect(printed.status == 0)
    #expect(printed.output == "model M() {\n  func f(x: [B]) -> [B] { return x + x }\n}\n")
    let checked = try Command(["fmt", "--check", "-"], shell: "exec < \(ugly)")
    #expect(checked.status == 1)
    #expect(checked.output == "")
  }

  @Test func checkGoesOnAfterAMistakeAndFindsItInCodeThatNothingUses() throws {
    let folder = try TemporaryFolder()
    let wrong = try folder.write("wrong.ltm", "func f(x: [B, 2], y: [2, B]) -> [B, 2] {\n  return x + y\n}\n")
    let unsure = try folder.write(
      "unsure.ltm", "layer L(a: Int, b: Int) {\n  func call(x: [N, a]) -> [N, b] {\n    return x\n  }\n}\n")
    let both = try Command(["check", wrong, unsure])
    #expect(both.status == 1)
    #expect(both.errors.contains("wrong.ltm:2:10: error: shapes [B, 2] and [2, B] do not agree"), "\(both.errors)")
    #expect(both.errors.contains("unsure.ltm:3:12: warning:"), "\(both.errors)")
    #expect(try Command(["check", unsure]).status == 0)
  }

  @Test func helpTeaches() throws {
    for command in [
      [], ["train"], ["run"], ["compile"], ["explain"], ["profile"], ["devices"], ["check"], ["fmt"], ["eval"],
      ["predict"], ["summary"], ["plot"],
    ] {
      let help = try Command(command + ["--help"])
      #expect(help.status == 0)
      #expect(help.output.contains("ltm "))
      // No command is broken, and the lines of a paragraph are full but for its last.
      let lines = help.output.split(separator: "\n", omittingEmptySubsequences: false)
      for (line, next) in zip(lines, lines.dropFirst()) where !next.isEmpty && !line.isEmpty && !line.hasPrefix(" ") {
        let isHeading = line.hasSuffix(":") && line == line.uppercased()
        #expect(isHeading || line.hasPrefix("ltm ") || line.count > 55, "\(line)\n\(next)")
        #expect(!next.hasPrefix("--"), "\(line)\n\(next)")
      }
    }
  }
}
