import Fuzzing
import LTMIR
import LTMRuntime
import TestSupport
import Testing

/// Damaged files end in a value or in an error that names them, whatever the damage.
@Suite struct MutationTests {
  /// What headers are made of.
  private static let words = [
    "{", "}", "[", "]", "(", ")", ",", ":", "\"", "null", "true", "-1", "0", "1e400", "9223372036854775807", "{}",
    "[[]]",
    "\"F16\"", "\"dtype\"", "\"shape\"", "\"data_offsets\"", "'<f4'", "'descr'", "False", "\n", "\r\n", "\0", "nan",
  ]

  @Test(arguments: [
    "torch.safetensors", "stored.npz", "packed.npz", "level0.npz", "v1.npy", "v2.npy", "table.csv", "state.pt",
    "state_legacy.pth", "checkpoint.ckpt",
  ])
  func damageIsAnErrorOrAValue(name: String) throws {
    let original = try bytes(of: fixtures + name)
    var random = SeededGenerator(seed: 1)
    var mutator = Mutator(seed: 2, words: Self.words)
    try withTemporaryFolder { folder in
      let path = folder + name
      var failures = 0
      for round in 0..<fuzzRounds(400) {
        let bytes = round % 5 == 4 ? mutator.mutated(original) : damaged(original, round, &random)
        try write(bytes, to: path)
        do throws(FileError) { try readAll(path) } catch {
          failures += 1
          #expect(error.description.contains(path))
        }
      }
      #expect(failures > 50)
    }
  }

  private func damaged(_ bytes: [UInt8], _ round: Int, _ random: inout SeededGenerator) -> [UInt8] {
    var result = bytes
    switch round % 4 {
    case 0: result.removeLast(Int.random(in: 1...bytes.count, using: &random))
    case 1:
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        result[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
    case 2:
      let position = Int.random(in: 0..<bytes.count, using: &random)
      result.replaceSubrange(
        position..<min(position + 8, bytes.count), with: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])
    case _:
      // Digits are what headers are made of: a larger number is the likeliest trap.
      for index in result.indices where result[index] >= 0x30 && result[index] <= 0x39 {
        if Int.random(in: 0..<10, using: &random) == 0 { result[index] = UInt8.random(in: 0x30...0x39, using: &random) }
      }
    }
    return result
  }

  private func readAll(_ path: String) throws(FileError) {
    if path.hasSuffix(".csv") {
      _ = try Dataset(
        path: path, fields: [DataField(parameter: "x", key: "x"), DataField(parameter: "y", key: "y", dtype: .i32)])
      return
    }
    let file = try openTensors(path)
    for name in file.names { _ = try file.tensor(name) }
  }
}
