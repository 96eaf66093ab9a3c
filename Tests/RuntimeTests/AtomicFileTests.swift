import Foundation
import Fuzzing
import LTMIR
import LTMRuntime
import TestSupport
import Testing

@Suite struct AtomicFileTests {
  /// The helper lies beside the program that runs the tests.
  private static let helper = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    .appending(path: "SaveHelper")

  private func start(_ arguments: [String]) throws -> (process: Process, output: Pipe) {
    let process = Process()
    let output = Pipe()
    process.executableURL = Self.helper
    process.arguments = arguments
    process.standardOutput = output
    try process.run()
    return (process, output)
  }

  /// The step of a checkpoint that the helper wrote, when it is whole.
  private func step(_ path: String) throws -> Int {
    let checkpoint = try Checkpoint(path: path)
    let step = try #require(checkpoint.metadata["step"].flatMap(Int.init))
    #expect(checkpoint.tensors.count == 8)
    for (_, tensor) in checkpoint.tensors { #expect(tensor.doubles.allSatisfy { $0 == Double(step) }) }
    return step
  }

  @Test func aKillLeavesAWholeFile() throws {
    try withTemporaryFolder { folder in
      let path = folder + "model.safetensors"
      try Checkpoint(tensors: []).save(path: path)
      var random = SeededGenerator(seed: 5)
      for round in 1...15 {
        let (process, _) = try start(["loop", path, String(round * 1_000_000)])
        // Once it has saved, it is killed anywhere in one of its next saves.
        while process.isRunning, try Int(Checkpoint(path: path).metadata["step"] ?? "0") ?? 0 < round * 1_000_000 {
          usleep(500)
        }
        usleep(UInt32.random(in: 0...20_000, using: &random))
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        #expect(try step(path) >= round * 1_000_000)
      }
      // What a killed save leaves behind is taken over by the next one.
      try Checkpoint(tensors: []).save(path: path)
      #expect(try names(in: folder) == ["model.safetensors"])
    }
  }

  @Test func withoutRoomTheOldFileStays() throws {
    try withTemporaryFolder { folder in
      let path = folder + "model.safetensors"
      try write("old", to: path)
      let (process, output) = try start(["limit", path, "1"])
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(process.terminationStatus == 1)
      #expect(text.contains("\(path): cannot be written: the file would be larger than is allowed"))
      #expect(try bytes(of: path) == Array("old".utf8))
      #expect(try names(in: folder) == ["model.safetensors"])
    }
  }

  @Test func aFailureWhileWritingLeavesNothing() throws {
    try withTemporaryFolder { folder in
      let path = folder + "a"
      try write("old", to: path)
      let text = message {
        try writeAtomically(path) { (file) throws(FileError) in
          try file.write([1, 2, 3])
          throw FileError(path, "stopped half-way")
        }
      }
      #expect(text.contains("stopped half-way"))
      #expect(try bytes(of: path) == Array("old".utf8))
      #expect(try names(in: folder) == ["a"])
    }
  }

  @Test func twoSaversDoNotMix() throws {
    try withTemporaryFolder { folder in
      let path = folder + "a"
      try writeAtomically(path) { (file) throws(FileError) in
        try file.write([1])
        #expect(message { try writeAtomically(path, [2]) }.contains("being written by another process"))
        try file.write([3])
      }
      #expect(try bytes(of: path) == [1, 3])
      #expect(try names(in: folder) == ["a"])
    }
  }

  @Test func badTargetsAreNamed() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "d", withIntermediateDirectories: false)
      let cases = [
        (folder + "d", "is a directory"), (folder + "d/", "is a directory"),
        (folder + "none/a", "make the folder first"),
        ("/dev/full", "is not a regular file"), ("", "is not the name of a file"), (folder + "a\0b", "is not the name"),
        (folder + String(repeating: "x", count: 400), "name too long"), (folder + "n/", "is not the name of a file"),
      ]
      for (path, says) in cases {
        let text = message { try writeAtomically(path, [1]) }
        #expect(text.contains(says), "\(text)")
      }
      #expect(try names(in: folder) == ["d"])
    }
  }

  @Test(.enabled(if: geteuid() != 0, "root may write anywhere")) func withoutPermissionTheOldFileStays() throws {
    try withTemporaryFolder { folder in
      try write("old", to: folder + "a")
      try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: folder + "a")
      #expect(message { try writeAtomically(folder + "a", [1]) }.contains("may not be written"))
      #expect(try bytes(of: folder + "a") == Array("old".utf8))
    }
  }

  @Test func linksAndPermissionsAreKept() throws {
    try withTemporaryFolder { folder in
      try write("old", to: folder + "real")
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder + "real")
      try FileManager.default.createSymbolicLink(atPath: folder + "link", withDestinationPath: "real")
      try writeAtomically(folder + "link", [7])
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "link") == "real")
      #expect(try bytes(of: folder + "real") == [7])
      let mode = try FileManager.default.attributesOfItem(atPath: folder + "real")[.posixPermissions] as? Int
      #expect(mode == 0o600)
    }
  }

  @Test func aPartialFileThatSomeoneElseMayWriteToIsNotUsed() throws {
    try withTemporaryFolder { folder in
      let partial = folder + ".a.partial"
      try write("precious", to: folder + "other")
      try FileManager.default.linkItem(atPath: folder + "other", toPath: partial)
      #expect(message { try writeAtomically(folder + "a", [1]) }.contains("was put there by another user"))
      #expect(try bytes(of: folder + "other") == Array("precious".utf8))
      try FileManager.default.removeItem(atPath: partial)
      #expect(mkfifo(partial, 0o600) == 0)
      #expect(message { try writeAtomically(folder + "a", [1]) }.contains("cannot be written"))
      try FileManager.default.removeItem(atPath: partial)
      if geteuid() == 0 {
        try write("theirs", to: partial)
        #expect(chown(partial, 4321, 4321) == 0)
        #expect(message { try writeAtomically(folder + "a", [1]) }.contains("was put there by another user"))
        try FileManager.default.removeItem(atPath: partial)
      }
      try writeAtomically(folder + "a", [1])
      #expect(try bytes(of: folder + "a") == [1])
    }
  }

  @Test func aLinkInPlaceOfThePartialFileIsNotFollowed() throws {
    try withTemporaryFolder { folder in
      try write("precious", to: folder + "other")
      try FileManager.default.createSymbolicLink(atPath: folder + ".a.partial", withDestinationPath: "other")
      #expect(message { try writeAtomically(folder + "a", [1]) }.contains("cannot be written"))
      #expect(try bytes(of: folder + "other") == Array("precious".utf8))
    }
  }
}
