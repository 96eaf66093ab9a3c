import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// A run that is killed at random moments, in the middle of saves too, and resumed each time, ends with the bits of one that was never killed.
@Suite struct KillTests {
  static let source = """
    model M() {
      let fc1 = Linear(4, 16)
      let fc2 = Linear(16, 1)
      func forward(x: [B, 4]) -> [B] { return squeeze(x |> fc1 |> tanh |> fc2, axis: 1) }
      func loss(x: [B, 4], y: [B]) -> [] {
        return mse_loss(forward(dropout(x, 0.1)), y)
      }
      func error(x: [B, 4], y: [B]) -> [] { return mse_loss(forward(x), y) }
    }
    train M {
      data      "d.safetensors"
      minimize  loss
      optimizer Adam(lr: 1e-2)
      schedule  plateau(factor: 0.8, patience: 1)
      batch     8
      steps     900
      val_split 0.2
      monitor   val_error
      val_check_interval 23
      save_top_k 2
      save_every_n_steps 5
    }

    """

  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.source)
    let x = try #require(Tensor((0..<400).map { sin(Float($0) * 1.7) }, shape: [100, 4]))
    let y = try #require(Tensor((0..<100).map { cos(Float($0) * 0.9) }, shape: [100]))
    try TensorFile.write([("x", x), ("y", y)], to: folder.file("d.safetensors"))
    return folder
  }

  private static func arguments(_ place: String) -> [String] {
    ["train", "m.ltm", "--quiet", "--precision", "16", "--amp-level", "O2", "--save-dir", place, "--resume", "last"]
  }

  /// Starts a run and kills it after some time; `true` where it was still at it.
  private func isKilled(in folder: TemporaryFolder, after seconds: Double) throws -> Bool {
    let process = Process()
    process.executableURL = URL(filePath: Command.executable)
    process.arguments = Self.arguments("killed")
    process.currentDirectoryURL = URL(filePath: folder.path)
    (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
    try process.run()
    Thread.sleep(forTimeInterval: seconds)
    let isRunning = process.isRunning
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    return isRunning
  }

  /// What a checkpoint holds, but for the time that it took.
  private func contents(_ path: String) throws -> [String: Tensor] {
    Dictionary(uniqueKeysWithValues: try TensorFile.names(path).map { ($0, try TensorFile.read("\(path):\($0)")) })
  }

  @Test func theBitsAreThoseOfAnUnbrokenRun() throws {
    let folder = try folder()
    let whole = try Command(Self.arguments("whole"), in: folder.path)
    #expect(whole.status == 0, "\(whole.errors)")
    let expected = try contents(folder.file("whole/last.safetensors"))
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("whole")).sorted()
    var random = SeededGenerator(seed: 11)
    var kills = 0
    let count = ProcessInfo.processInfo.environment["LTM_KILLS"].flatMap { Int($0) } ?? 20
    while kills < count {
      if try isKilled(in: folder, after: Double.random(in: 0.02...0.2, using: &random)) {
        kills += 1
      } else {
        try check(folder, expected, names)
      }
    }
    let last = try Command(Self.arguments("killed"), in: folder.path)
    #expect(last.status == 0, "\(last.errors)")
    try check(folder, expected, names)
  }

  private func check(_ folder: TemporaryFolder, _ expected: [String: Tensor], _ names: [String]) throws {
    let place = folder.file("killed")
    #expect(try contents(place + "/last.safetensors") == expected)
    let found = try FileManager.default.contentsOfDirectory(atPath: place)
    #expect(Set(names).isSubset(of: found), "\(found)")
    try FileManager.default.removeItem(atPath: place)
  }
}
