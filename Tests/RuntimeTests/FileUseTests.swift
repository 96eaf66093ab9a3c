import Foundation
import LTMRuntime
import TestSupport
import Testing

/// Outputs that are inputs, or each other, under every spelling.
@Suite struct FileUseTests {
  private func conflict(_ output: String, _ input: String, isDump: Bool = false) -> String? {
    do throws(FileError) {
      try checkOutputs([FileUse("--save", output, isDump: isDump)], inputs: [FileUse("--data", input)])
      return nil
    } catch {
      return error.description
    }
  }

  @Test func everySpellingOfAnInputIsFound() throws {
    try withTemporaryFolder { folder in
      let file = folder + "d.safetensors"
      try Data("x".utf8).write(to: URL(filePath: file))
      try FileManager.default.createSymbolicLink(atPath: folder + "link", withDestinationPath: "d.safetensors")
      try FileManager.default.linkItem(atPath: file, toPath: folder + "hard")
      try FileManager.default.createDirectory(atPath: folder + "sub", withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(atPath: folder + "other", withDestinationPath: "sub/..")
      let spellings = [
        "d.safetensors", "./d.safetensors", "sub/../d.safetensors", "link", "hard", "other/d.safetensors",
      ]
      for spelling in spellings {
        let text = try #require(conflict(folder + spelling, file), "\(spelling)")
        #expect(text.contains("--save would write over --data"), "\(text)")
      }
      #expect(conflict(folder + "e.safetensors", file) == nil)
    }
  }

  @Test func filesThatAreNotThereYetAreOneFile() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createSymbolicLink(atPath: folder + "dangling", withDestinationPath: "new")
      for (a, b) in [("new", "./new"), ("new", "dangling"), ("dangling", "new")] {
        #expect(throws: FileError.self, "\(a) \(b)") {
          try checkOutputs([FileUse("--save", folder + a), FileUse("--log", folder + b)], inputs: [])
        }
      }
      try checkOutputs([FileUse("--save", folder + "a"), FileUse("--log", folder + "b")], inputs: [])
    }
  }

  @Test func aDeviceMayBeNamedTwice() throws {
    try checkOutputs([FileUse("--save", "/dev/null"), FileUse("--log", "/dev/null")], inputs: [])
  }

  @Test func aDumpWritesOverNumberedFilesOfItsFolder() throws {
    try withTemporaryFolder { folder in
      #expect(conflict(folder, folder + "00-source.ltm", isDump: true) != nil)
      #expect(conflict(folder + "/.", folder + "./07-step.ltir", isDump: true) != nil)
      #expect(conflict(folder, folder + "model.ltm", isDump: true) == nil)
    }
  }
}
