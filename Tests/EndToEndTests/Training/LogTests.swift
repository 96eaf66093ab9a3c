import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// What is written of a run.
@Suite struct LogTests {
  private func train(_ folder: TemporaryFolder, _ flags: [String]) throws -> Command {
    let command = ["train", "samples/digits.ltm", "--val-split", "0.1", "--report", "accuracy"]
    return try Command(command + ["--logger", "jsonl", "--logger", "csv", "--log-dir", folder.file("log")] + flags)
  }

  @Test func linesAndColumnsHoldTheSame() throws {
    let folder = try TemporaryFolder()
    let command = try train(folder, ["--epochs", "2", "--precision", "16", "--amp-level", "O2"])
    #expect(command.status == 0, "\(command.errors)")
    let lines = try String(contentsOfFile: folder.file("log/metrics.jsonl"), encoding: .utf8).split(separator: "\n")
      .map { try JSON(parsing: Array($0.utf8)) }
    let table = try String(contentsOfFile: folder.file("log/metrics.csv"), encoding: .utf8).split(separator: "\n")
      .map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
    #expect(lines.count == 42 && table.count == 43)
    for (line, row) in zip(lines, table.dropFirst()) {
      for (name, field) in zip(table[0], row) { #expect(line[name]?.doubleValue == Double(field), "\(name)") }
    }
    #expect(table[0].contains("lr") && table[0].contains("val_accuracy") && table[0].contains("train_loss"))
    #expect(lines[1]["lr"]?.doubleValue.map { abs($0 - 1.2e-4) < 1e-9 } == true, "\(lines[1])")
    #expect(lines.filter { $0["validation"]?.boolValue == true }.count == 2)
  }

  @Test func aResumedRunAddsToThem() throws {
    let folder = try TemporaryFolder()
    let save = ["--save-dir", folder.file("c")]
    _ = try train(folder, ["--max-steps", "5"] + save)
    _ = try train(folder, ["--max-steps", "9", "--resume", "last"] + save)
    let text = try String(contentsOfFile: folder.file("log/metrics.csv"), encoding: .utf8)
    #expect(text.split(separator: "\n").count == 1 + 9 + 2)
    #expect(text.components(separatedBy: "attempt").count == 2)
  }

  /// TFRecord's framing, each length and content with its checksum.
  @Test func eventsAreFramedWithChecksums() throws {
    let folder = try TemporaryFolder()
    let command = try Command([
      "train", "samples/digits.ltm", "--max-steps", "3", "--logger", "tensorboard", "--log-dir", folder.path,
    ])
    #expect(command.status == 0, "\(command.errors)")
    let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder.path).first)
    let bytes = Array(try Data(contentsOf: URL(filePath: folder.file(name))))
    func number(_ offset: Int, _ size: Int) -> Int {
      bytes[offset..<offset + size].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    var (offset, records) = (0, [[UInt8]]())
    while offset < bytes.count {
      let length = number(offset, 8)
      let data = Array(bytes[offset + 12..<offset + 12 + length])
      #expect(number(offset + 8, 4) == Self.masked(Array(bytes[offset..<offset + 8])))
      #expect(number(offset + 12 + length, 4) == Self.masked(data))
      records.append(data)
      offset += 16 + length
    }
    #expect(records.count == 1 + 3 + 1)
    #expect(String(decoding: records[0], as: UTF8.self).contains("brain.Event:2"))
    #expect(String(decoding: records[1], as: UTF8.self).contains("scale"))
  }

  /// Castagnoli's checksum, bit by bit, as TFRecord masks it.
  private static func masked(_ bytes: [UInt8]) -> Int {
    var sum: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0x82F6_3B78 : sum >> 1 }
    }
    sum = ~sum
    return Int((sum >> 15 | sum << 17) &+ 0xA282_EAD8)
  }

  /// Each weight and its gradient, in 64 ranges that hold all of its numbers.
  @Test func histogramsHoldEveryNumber() throws {
    let folder = try TemporaryFolder()
    let command = try Command([
      "train", "samples/digits.ltm", "--max-steps", "5", "--logger", "tensorboard", "--log-dir", folder.path,
      "--histograms", "2", "--precision", "16", "--amp-level", "O2", "--no-report",
    ])
    #expect(command.status == 0, "\(command.errors)")
    let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder.path).first)
    let bytes = Array(try Data(contentsOf: URL(filePath: folder.file(name))))
    let tags = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"].flatMap { ["weights/\($0)", "gradients/\($0)"] }
    for tag in tags {
      let places = bytes.indices.filter { bytes[$0...].starts(with: tag.utf8) }
      #expect(places.count == 2, "\(tag): \(places.count)")
    }
    // The number of a HistogramProto, its third field, of the 10 biases.
    let ten = [UInt8(3 << 3 | 1)] + withUnsafeBytes(of: 10.0.bitPattern.littleEndian) { Array($0) }
    #expect(bytes.indices.count { bytes[$0] == ten[0] && bytes[$0...].starts(with: ten) } == 4)
    let alone = try Command(["train", "samples/digits.ltm", "--histograms", "2", "--max-steps", "2"])
    #expect(alone.status == 1 && alone.errors.contains("--logger tensorboard"), "\(alone.errors)")
  }

  /// A log in a place where none can be is said before anything is compiled.
  @Test func aLogThatCannotBeIsSaidAtOnce() throws {
    let folder = try TemporaryFolder()
    for path in [folder.file("none/log.jsonl"), folder.path] {
      let command = try Command(["train", "samples/digits.ltm", "--max-steps", "3", "--log", path])
      #expect(command.status == 1 && command.errors.contains("cannot write the log '\(path)'"), "\(command.errors)")
      #expect(command.output.isEmpty && !command.errors.contains("compiled in"), "\(command.errors)")
    }
  }

  /// The run goes on to its end, with one warning and its checkpoint.
  @Test(arguments: [[], ["--quiet"]]) func aFullDiskDoesNotEndTheRun(_ flags: [String]) throws {
    let folder = try TemporaryFolder()
    let saved = folder.file("w.safetensors")
    let train = ["train", "samples/digits.ltm", "--max-steps", "5", "--log", "/dev/full", "--save", saved]
    let command = try Command(train + flags)
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.errors.components(separatedBy: "cannot write the log '/dev/full'").count == 2, "\(command.errors)")
    #expect(command.errors.contains("training goes on without this log"))
    #expect(try Int(TensorFile.read("\(saved):control/step").doubles[0]) == 5)
  }

  /// Training goes on, and says so.
  @Test func aFullDiskLosesTheLogAlone() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.createSymbolicLink(atPath: folder.file("metrics.csv"), withDestinationPath: "/dev/full")
    let command = try Command([
      "train", "samples/digits.ltm", "--max-steps", "3", "--logger", "jsonl", "--logger", "csv", "--log-dir",
      folder.path,
    ])
    // The header is written before training begins.
    #expect(command.status == 1 && command.errors.contains("the disk is full"), "\(command.errors)")
    try FileManager.default.removeItem(atPath: folder.file("metrics.csv"))
    try FileManager.default.removeItem(atPath: folder.file("metrics.jsonl"))
    try FileManager.default.createSymbolicLink(atPath: folder.file("metrics.jsonl"), withDestinationPath: "/dev/full")
    let later = try Command([
      "train", "samples/digits.ltm", "--max-steps", "3", "--logger", "jsonl", "--logger", "csv", "--log-dir",
      folder.path,
    ])
    #expect(later.status == 0 && later.output.contains("after 3 steps"), "\(later.errors)")
    let warning = "metrics.jsonl: cannot be written: the disk is full"
    #expect(later.errors.components(separatedBy: warning).count == 2, "\(later.errors)")
    #expect(try String(contentsOfFile: folder.file("metrics.csv"), encoding: .utf8).split(separator: "\n").count == 5)
  }
}
