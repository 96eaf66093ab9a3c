import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// What is printed of a resumed run is what runs: a loss scale that is given anew wins over the checkpoint's.
@Suite struct ResumeScaleTests {
  static let model = """
    model L() {
      param w: [] = ones()
      param v: [2] = ones()
      func loss(x: [B]) -> [] { return mean(w * x) }
      func other(x: [B]) -> [] { return mean(v[0] * x) }
    }
    train L {
      data "d.csv" { x: x }
      minimize loss
      optimizer SGD(lr: 0.01)
      batch 2
    }

    """

  private let half = ["--precision", "16", "--amp-level", "O2"]

  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.model)
    try folder.write("d.csv", "x\n0.5\n0.5\n")
    return folder
  }

  /// The scales of the steps that a command adds to a log.
  private func scales(_ folder: TemporaryFolder, _ flags: [String]) throws -> [Double] {
    let run = try Command(["train", "m.ltm", "--quiet", "--log", "log"] + half + flags, in: folder.path)
    #expect(run.status == 0, "\(run.errors)")
    defer { try? FileManager.default.removeItem(atPath: folder.file("log")) }
    let lines = try String(contentsOfFile: folder.file("log"), encoding: .utf8).split(separator: "\n")
    return try lines.compactMap { try JSON(parsing: Array($0.utf8))["scale"]?.doubleValue }
  }

  /// The scale of the first run, that of the second, and what the second runs at.
  static let cases: [(String?, String?, Double)] = [
    (nil, nil, 0x1p16), (nil, "128", 128), ("128", "128", 128), ("128", nil, 0x1p16), ("64", "128", 128),
    (nil, "dynamic:init=1024:max=1024", 1024), ("dynamic:init=256", nil, 256),
    ("dynamic:init=256", "dynamic:init=512", 512),
    ("dynamic:init=256", "dynamic:init=256", 256), ("dynamic:init=256:window=1", "dynamic:init=256:window=1", 1024),
    ("dynamic:init=256:window=1", "dynamic:init=256:max=512", 512),
  ]

  @Test(arguments: cases) func theScaleIsTheOneAskedFor(_ first: String?, _ second: String?, _ expected: Double) throws
  {
    let folder = try folder()
    func flags(_ scale: String?) -> [String] { scale.map { ["--loss-scale", $0] } ?? [] }
    _ = try scales(folder, flags(first) + ["--save", "c.safetensors", "--epochs", "2"])
    let resumed = try scales(folder, flags(second) + ["--resume", "c.safetensors", "--epochs", "3"])
    #expect(resumed == [expected])
  }

  @Test func anOptimizerGivenAnewHasItsOwnRate() throws {
    let folder = try folder()
    _ = try scales(folder, ["--lr", "0.25", "--save", "c.safetensors"])
    func weight(_ flags: [String]) throws -> Double {
      _ = try scales(folder, ["--resume", "c.safetensors", "--epochs", "2", "--save", "e.safetensors"] + flags)
      return try #require(try TensorFile.read("\(folder.file("e.safetensors")):w").doubles.first)
    }
    let start = try #require(try TensorFile.read("\(folder.file("c.safetensors")):w").doubles.first)
    #expect(try weight([]) == start - 0.125)
    #expect(try weight(["--optimizer", "SGD(lr: 0.5)"]) == start - 0.25)
    #expect(try weight(["--optimizer", "SGD(lr: 0.5)", "--lr", "1"]) == start - 0.5)
  }

  /// The step does not read `v`: it is the checkpoint's all the same.
  @Test func weightsThatTheStepDoesNotReadAreResumedToo() throws {
    let folder = try folder()
    var model = try Model(contentsOf: folder.file("m.ltm"))
    try model.set(["v": try #require(Tensor([5, 6] as [Float], shape: [2]))])
    try model.save(to: folder.file("start.safetensors"))
    _ = try scales(folder, ["--weights", "start.safetensors", "--save", "c.safetensors"])
    _ = try scales(folder, ["--resume", "c.safetensors", "--epochs", "2", "--save", "e.safetensors"])
    #expect(try TensorFile.read("\(folder.file("e.safetensors")):v").doubles == [5, 6])
  }

  @Test func aCountThatNoCounterHoldsIsRefused() throws {
    let folder = try folder()
    _ = try scales(folder, ["--save", "c.safetensors"])
    let path = folder.file("c.safetensors")
    let tensors = try TensorFile.names(path).map { name in
      (
        name: name,
        tensor: name == "control/attempt"
          ? try #require(Tensor([0x1p40], shape: [], dtype: .i64)) : try TensorFile.read("\(path):\(name)")
      )
    }
    try TensorFile.write(tensors, to: folder.file("bad.safetensors"))
    let run = try Command(["train", "m.ltm", "--resume", "bad.safetensors", "--epochs", "2"] + half, in: folder.path)
    #expect(run.status == 1)
    #expect(run.errors.contains("'control/attempt' holds 1099511627776"), "\(run.errors)")
  }
}
