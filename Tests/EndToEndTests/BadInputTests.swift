import Foundation
import TestSupport
import Testing

/// Whatever the input: a message with place and remedy, a status that is not 0, nothing written, no crash.
@Suite struct BadInputTests {
  @Test(arguments: cases) func isAnErrorWithAMessage(_ item: Case) throws {
    let folder = try TemporaryFolder()
    if let model = item.model { try folder.write("model.ltm", model) }
    let before = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    let arguments = item.arguments.map { $0.replacingOccurrences(of: "@", with: folder.path) }
    let result = try Command(arguments)
    #expect(result.status != 0, "\(result.output)")
    // 128 and more would be a signal: a crash.
    #expect(result.status < 128, "\(result.errors)")
    #expect(result.errors.contains("rror"), "\(result.errors)")
    for part in item.message { #expect(result.errors.contains(part), "\(result.errors)") }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == before)
  }

  @Test func aLimitOnMemoryIsAMessage() throws {
    let result = try Command(
      ["train", "samples/digits.ltm", "--set", "hidden=20000000", "--max-steps", "1"], shell: "ulimit -v 4000000")
    #expect(result.status == 1, "\(result.errors)")
    #expect(result.errors.contains("'fc1.weight'") && result.errors.contains("memory"), "\(result.errors)")
  }

  @Test func aFullDiskLeavesTheOldCheckpoint() throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("digits.safetensors")
    #expect(try Command(["train", "samples/digits.ltm", "--epochs", "1", "--quiet", "--save", saved]).status == 0)
    let before = try Data(contentsOf: URL(filePath: saved))
    // A limit on the size of files stands in for a disk that is full.
    let result = try Command(
      ["train", "samples/digits.ltm", "--epochs", "2", "--quiet", "--save", saved], shell: "ulimit -f 8; trap '' XFSZ")
    #expect(result.status != 0)
    #expect(result.errors.contains("digits.safetensors"), "\(result.errors)")
    #expect(try Data(contentsOf: URL(filePath: saved)) == before)
  }

  @Test func aPlaceThatCannotBeWrittenIsSaidBeforeTraining() throws {
    let folder = try TemporaryFolder()
    let result = try Command(["train", "samples/digits.ltm", "--save", folder.file("none/x.safetensors")])
    #expect(result.status == 1)
    #expect(result.errors.contains("folder does not exist"), "\(result.errors)")
    #expect(result.output == "")
  }

  @Test func aLimitOnFilesIsAMessage() throws {
    let folder = try TemporaryFolder()
    let result = try Command(
      ["train", "samples/digits.ltm", "--epochs", "10", "--quiet", "--save", folder.file("x.safetensors")],
      shell: "ulimit -f 8")
    #expect(result.status == 1)
    #expect(result.errors.contains("x.safetensors"), "\(result.errors)")
  }

  /// The model is the file that is compiled, or asked to hold the log: it stays.
  @Test(arguments: [
    ["compile", "--emit", "graph", "-o"], ["train", "--data", "samples/data/digits.safetensors", "--log"],
  ])
  func aModelIsNotWrittenOver(_ arguments: [String]) throws {
    let folder = try TemporaryFolder()
    let text = try String(contentsOfFile: Command.root + "/samples/digits.ltm", encoding: .utf8)
    let path = try folder.write("digits.ltm", text)
    let result = try Command(arguments + [path, path])
    #expect(result.status == 1)
    #expect(result.errors.contains("name another file"), "\(result.errors)")
    #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
  }

  @Test func aLogOnStandardOutputJoinsWhatIsThere() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("all.txt", "first\n")
    let train = try Command(
      ["train", "samples/digits.ltm", "--max-steps", "2", "--quiet", "--log", "/dev/stdout"], shell: "exec >> \(file)")
    #expect(train.status == 0, "\(train.errors)")
    let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 3 && lines.first == "first", "\(lines)")
  }

  @Test func aLogIsWrittenInPlace() throws {
    let folder = try TemporaryFolder()
    let (link, target) = (folder.file("link.jsonl"), folder.file("target.jsonl"))
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
    #expect(try Command(["train", "samples/digits.ltm", "--max-steps", "2", "--quiet", "--log", link]).status == 0)
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == target)
    #expect(try String(contentsOfFile: target, encoding: .utf8).split(separator: "\n").count == 2)
  }

  @Test func aFinishedRunSaysSo() throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("x.safetensors")
    let train = ["train", "samples/digits.ltm", "--epochs", "1"]
    #expect(try Command(train + ["--save", saved]).status == 0)
    let again = try Command(train + ["--resume", saved])
    #expect(again.status == 0)
    #expect(again.errors.contains("nothing to train"), "\(again.errors)")
    #expect(!again.output.contains("nan"), "\(again.output)")
  }

  @Test func aClosedPipeIsNoCrash() throws {
    let result = try Command(["ops"], shell: "exec 1>&-")
    #expect(result.status != 0)
    #expect(result.status < 128)
  }
}
