import Foundation
import LTM
import LTMIR
import LTMONNX
import LTMRuntime
import LTMSupport
import TestSupport
import Testing

/// What is exported comes back: the file is imported again, and gives what the model gave.
@Suite struct ExportTests {
  @Test(arguments: ["digits", "cnn", "gpt", "lstm"], ["32", "16", "bf16"])
  func samplesComeBack(_ sample: String, _ precision: String) throws {
    let folder = try TemporaryFolder()
    let model = try Model(contentsOf: "\(Command.root)/samples/\(sample).ltm")
    let policy = try PrecisionPolicy(precision: precision, level: nil)
    // A loop that is imported is written out, and so its length is known; everything else stays symbolic.
    let dims = sample == "lstm" ? ["T": 6] : [:]
    try model.onnx(policy: policy, dimensions: dims).write(to: folder.file("model.onnx"), externalData: sample == "cnn")
    let imported = try Importer(path: folder.file("model.onnx")).run()
    let weights = try imported.write(to: folder.file("model.ltm"))
    var back = try Model(contentsOf: folder.file("model.ltm"))
    try back.load(weightsFrom: weights)
    let name = try #require(imported.inputs.first)
    let input = try Self.input(sample)
    let wanted = try model.compile("forward", policy: policy, execution: Execution())([name.onnx: input])[0].tensor
    let found = try back.compile("forward")([name.parameter: input])[0].tensor
    let bounds = ["32": 1e-5, "16": 4e-3, "bf16": 3e-2]
    expectClose(
      found.doubles, wanted.doubles, .ofLargest(try #require(bounds[precision]), least: 0).ignoringSignsOfZero)
    #expect(found.shape == wanted.shape)
  }

  private static func input(_ sample: String) throws -> Tensor {
    if sample == "gpt" || sample == "lstm" {
      return try #require(Tensor((0..<12).map { Double($0 * 37 % 256) }, shape: [2, 6], dtype: .i32))
    }
    return try #require(Tensor((0..<128).map { Double($0 * 29 % 17) / 16 }, shape: [2, 64], dtype: .f32))
  }

  /// Ops without a row are exported by their formulas, sizes that stay symbolic included.
  @Test(arguments: ["norms", "spread", "gates", "corners", "order", "near", "attend", "moves"])
  func formulasComeBack(_ entry: String) throws {
    let folder = try TemporaryFolder()
    let model = try Model(contentsOf: folder.write("ops.ltm", Self.formulas))
    try model.onnx(entry: entry, policy: PrecisionPolicy(precision: "32", level: nil)).write(to: folder.file("m.onnx"))
    let imported = try Importer(path: folder.file("m.onnx")).run()
    var back = try Model(contentsOf: folder.write("back.ltm", imported.text))
    if imported.tensorCount > 0 {
      try writeSafetensors(folder.file("w.safetensors"), imported.weights)
      try back.load(weightsFrom: folder.file("w.safetensors"))
    }
    let shape = entry == "attend" ? [2, 2, 5, 8] : entry == "corners" ? [2, 5, 5] : [2, 5, 8]
    let numbers = (0..<shape.reduce(1, *)).map { Double($0 * 37 % 101) / 50 - 1 }
    let input = try #require(Tensor(numbers, shape: shape, dtype: .f32))
    let (given, wanted) = (imported.inputs, try model.compile(entry)(["x": input]))
    let found = try back.compile("forward")([try #require(given.first).parameter: input])
    #expect(found.count == wanted.count)
    for (one, other) in zip(found, wanted) {
      expectClose(one.tensor, other.tensor, .ofLargest(1e-5).ignoringSignsOfZero, "\(entry): ")
    }
  }

  /// What a report shows: the casts of the opt level, and dimensions by name.
  @Test func theFileSaysWhatTheGraphSays() throws {
    let folder = try TemporaryFolder()
    let result = try Command([
      "export", "samples/digits.ltm", "--onnx", folder.file("digits.onnx"), "--precision", "16", "--json",
    ])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("\"tensors\":4") || result.output.contains("\"tensors\": 4"), "\(result.output)")
    let imported = try Importer(path: folder.file("digits.onnx")).run()
    #expect(imported.text.contains("[B, 64]") && imported.text.contains("f16"), "\(imported.text)")
    #expect(imported.weights.map(\.entry.name).contains("fc1.weight"), "\(imported.weights.map(\.entry.name))")
  }

  @Test func messagesAreThoseOfTheGolden() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("model.ltm", Self.source)
    _ = try folder.write("there.onnx", "someone's")
    let cases: [(name: String, arguments: [String])] = [
      ("another ending", ["--onnx", folder.file("model.bin")]),
      ("a file that is there", ["--onnx", folder.file("there.onnx")]),
      ("an unknown dimension", ["--onnx", folder.file("model.onnx"), "--dim", "W=3"]),
      ("an unknown entry", ["--onnx", folder.file("model.onnx"), "--entry", "none"]),
      ("random numbers", ["--onnx", folder.file("model.onnx"), "--entry", "noise"]),
      ("what needs numbers", ["--onnx", folder.file("model.onnx"), "--entry", "enlarge"]),
    ]
    var found = ""
    for (name, arguments) in cases {
      let result = try Command(["export", file] + arguments)
      #expect(result.status == 1, "\(name): \(result.output)")
      #expect(!FileManager.default.fileExists(atPath: folder.file("model.onnx")), "\(name)")
      found += "== \(name)\n\(result.errors.replacingOccurrences(of: folder.path + "/", with: ""))\n"
    }
    try expectGolden(found, URL(filePath: Command.root + "/Tests/ONNXTests/Goldens/export-errors.txt"))
  }

  @Test func importsDoNotWriteOverFiles() throws {
    let folder = try TemporaryFolder()
    let model = Command.root + "/Tests/ONNXTests/Fixtures/models/encoder/model.onnx"
    let target = try folder.write("encoder.ltm", "mine")
    let refused = try Command(["import", model, "-o", target])
    #expect(refused.status == 1 && refused.errors.contains("--force"), "\(refused.errors)")
    #expect(try String(contentsOfFile: target, encoding: .utf8) == "mine")
    #expect(try Command(["import", model, "-o", target, "--force"]).status == 0)
  }

  private static let source = """
    model Odd {
      let fc = Linear(4, 2)
      func forward(x: [B, 4]) -> [B, 2] { return fc(x) }
      func noise(x: [B, 4]) -> [B, 4] { return x + normal([B, 4]) }
      func enlarge(x: [B, 3, H, 8]) -> [B, 3, 2 * H, 16] { return interpolate(x, scale_factor: 2.0) }
    }
    """

  private static let formulas = """
    model Ops {
      let scale = RMSNorm(8)
      func norms(x: [B, T, 8]) -> [B, T, 8] { return scale(x) }
      func spread(x: [B, T, 8]) -> ([B, T], [B, 8]) { return (std(x, axes: -1), variance(x, axes: 1)) }
      func gates(x: [B, T, 8]) -> ([B, T, 4], [B, T, 8]) { return (swiglu(x), trunc(x * 3)) }
      func corners(x: [B, T, T]) -> ([B, T, T], [B, T, T]) { return (tril(x), triu(x, diagonal: 1)) }
      func order(x: [B, T, 8]) -> ([B, T, 8], [B, T, 3]) {
        let (all, places) = sort(x, axis: -1)
        let (most, tops) = topk(x, 3)
        return (all, most)
      }
      func near(x: [B, T, 8]) -> ([B, T], []) { return (cosine_similarity(x, x * x, axis: -1), mse_loss(x, x * x)) }
      func attend(x: [B, 2, T, 8]) -> [B, 2, T, 8] { return attention(x, x, x, causal: true) }
      func moves(x: [B, T, 8]) -> ([B, T, 8], [B, T, 12]) { return (flip(x, axes: 2), pad(x, 2, 2, 2, mode: "reflect")) }
    }
    """
}
