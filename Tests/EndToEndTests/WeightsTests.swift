import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// Files of weights and arrays that are not quite the model's.
@Suite struct WeightsTests {
  static let model = """
    model M() {
      let fc = Linear(2, 2)
      let norm = LayerNorm(2)
      state steps: i32[] = zeros()
      func forward(x: [B, 2]) -> [B, 2] { return norm(fc(x)) }
      func next(n: i32[B]) -> i32[B] { return n + steps }
      func small(n: u8[B]) -> u8[B] { return n }
      func large(n: i64[B]) -> i64[B] { return n }
    }

    """

  static let names = ["fc.weight", "fc.bias", "norm.weight", "norm.bias"]

  private func folder(_ tensors: [(String, Tensor)]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.model)
    try TensorFile.write(tensors.map { (name: $0, tensor: $1) }, to: folder.file("w.safetensors"))
    try TensorFile.write(
      [("x", try #require(Tensor([1, 2] as [Float], shape: [1, 2])))], to: folder.file("x.safetensors"))
    return folder
  }

  private func weights(prefix: String = "") throws -> [(String, Tensor)] {
    try Self.names.map {
      (prefix + $0, try #require(Tensor(zeros: $0 == "fc.weight" ? [2, 2] : [2], dtype: .f32)))
    } + [(prefix + "steps", try #require(Tensor(zeros: [], dtype: .i32)))]
  }

  private func run(_ folder: TemporaryFolder, _ file: String = "w.safetensors") throws -> Command {
    try Command(["run", "m.ltm", "--weights", file, "--input", "x=x.safetensors"], in: folder.path)
  }

  @Test func whatAFileHoldsBesideTheModelIsNamed() throws {
    let extra = try #require(Tensor(zeros: [2], dtype: .f32))
    let run = try run(
      folder(weights() + [("norm.running_mean", extra), ("bn.num_batches_tracked", extra), ("head.bias", extra)]))
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.contains("warning: w.safetensors: holds 'norm.running_mean', 'head.bias'"), "\(run.errors)")
    #expect(!run.errors.contains("num_batches_tracked"))
  }

  @Test func theModelsOwnCheckpointIsNotWarnedOf() throws {
    let folder = try folder(weights())
    try folder.write("d.csv", "x0,x1\n1,2\n3,4\n")
    let model = Self.model.replacing(
      "  func next", with: "  func loss(x: [B, 2]) -> [] { return mean(forward(x) * x) }\n  func next")
    try folder.write(
      "m.ltm", model + "train M {\n  data \"d.csv\"\n  minimize loss\n  optimizer AdamW(lr: 0.1)\n  batch 2\n}\n")
    let train = try Command(["train", "m.ltm", "--quiet", "--save", "c.safetensors"], in: folder.path)
    #expect(train.status == 0, "\(train.errors)")
    let own = try run(folder, "c.safetensors")
    #expect(own.status == 0 && own.errors == "", "\(own.errors)")
    let resumed = try Command(
      ["train", "m.ltm", "--quiet", "--epochs", "2", "--resume", "c.safetensors", "--optimizer", "SGD(lr: 0.1)"],
      in: folder.path)
    #expect(resumed.status == 0)
    #expect(resumed.errors.contains("which this run does not read"), "\(resumed.errors)")
  }

  @Test func everythingThatIsMissingIsNamed() throws {
    let run = try run(folder([weights()[0], ("fc.gain", try #require(Tensor(zeros: [2], dtype: .f32)))]))
    #expect(run.status == 1)
    for part in ["'fc.bias', 'norm.weight', 'norm.bias', 'steps'", "4 of the model's 5", "it holds 'fc.gain'"] {
      #expect(run.errors.contains(part), "\(run.errors)")
    }
  }

  @Test(arguments: ["model.", "module.net."]) func aPrefixOfAllNamesIsNamed(_ prefix: String) throws {
    let run = try run(folder(weights(prefix: prefix)))
    #expect(run.status == 1)
    #expect(run.errors.contains("every name in it begins with '\(prefix)'"), "\(run.errors)")
    #expect(run.errors.contains("--rename '\(prefix.dropLast()) -> '"), "\(run.errors)")
  }

  @Test(arguments: ["a.onnx", "a.h5"]) func othersFilesAreTold(_ name: String) throws {
    let folder = try folder(weights())
    try folder.write(name, "x")
    for flags in [
      ["run", "m.ltm", "--weights", name, "--input", "x=x.safetensors"], ["run", "m.ltm", "--input", "x=\(name)"],
    ] {
      let run = try Command(flags, in: folder.path)
      #expect(run.status == 1)
      let part = name.hasSuffix("h5") ? "h5py" : "python3 -c"
      #expect(run.errors.contains(part), "\(run.errors)")
    }
  }

  // MARK: integers

  /// An entry, a dtype, a number, and what the message says; `nil` where it is right.
  static let integers: [(String, DType, Double, String?)] = [
    ("next", .i64, 0x1p40, "'n' holds 1099511627776 as element 0, which is no i32"), ("next", .i64, 7, nil),
    ("next", .u8, 255, nil), ("small", .i32, 300, "'n' holds 300 as element 0, which is no u8"),
    ("small", .i64, -1, "which is no u8"), ("small", .bool, 1, nil), ("large", .i32, -5, nil),
  ]

  @Test(arguments: integers) func areExactOrAnError(_ entry: String, _ dtype: DType, _ value: Double, _ text: String?)
    throws
  {
    let folder = try folder(weights())
    try TensorFile.write([("n", try #require(Tensor([value], shape: [1], dtype: dtype)))], to: folder.file("n.npy"))
    let run = try Command(["run", "m.ltm", "--entry", entry, "--input", "n=n.npy", "--json"], in: folder.path)
    guard let text else {
      #expect(run.status == 0, "\(run.errors)")
      #expect(try JSON(parsing: Array(run.output.utf8))["result"]?["data"]?[0]?.intValue == Int(value))
      return
    }
    #expect(run.status == 1)
    #expect(run.errors.contains(text), "\(run.errors)")
  }

  @Test func weightsMustFitTheirDType() throws {
    var tensors = try weights()
    tensors[4].1 = try #require(Tensor([0x1p40], shape: [], dtype: .i64))
    let run = try run(folder(tensors))
    #expect(run.status == 1)
    #expect(
      run.errors.contains("w.safetensors: 'steps' holds 1099511627776 as element 0, which is no i32"), "\(run.errors)")
  }

  @Test func anArgumentThatTheModelCannotBeMadeWithIsNamed() throws {
    let result = try Command(["train", "samples/digits.ltm", "--set", "hidden=0"])
    #expect(result.status == 1)
    #expect(result.errors.contains("--set hidden=0"), "\(result.errors)")
  }

  // MARK: sizes

  @Test(arguments: [["explain"], ["compile", "--emit", "graph"], ["compile", "--emit", "graph", "--step"]])
  func sizesAreThoseOfTheData(_ command: [String]) throws {
    let folder = try TemporaryFolder()
    try folder.write("d.csv", "x0,x1,x2,y\n1,2,3,4\n1,2,3,4\n")
    try folder.write(
      "m.ltm",
      """
      model M() {
        param w: [] = ones()
        func loss(x: [B, T], y: [B]) -> [] { return mean(sum(x, axis: 1) * w - y) }
        func other(x: [B, S]) -> [] { return mean(x) * w }
      }
      train M {
        data "d.csv"
        minimize loss
        optimizer SGD(lr: 0.1)
        batch 2
      }

      """)
    let result = try Command([command[0], "m.ltm"] + command.dropFirst(), in: folder.path)
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("[2, 3]"), "\(result.output)")
    try FileManager.default.removeItem(atPath: folder.file("d.csv"))
    let without = try Command([command[0], "m.ltm"] + command.dropFirst(), in: folder.path)
    #expect(without.status == (command[0] == "explain" ? 0 : 1), "\(without.errors)")
  }
}
