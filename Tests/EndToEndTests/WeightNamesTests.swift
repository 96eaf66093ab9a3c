import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// Weights of another's names: renamed, left out, in several files.
@Suite struct WeightNamesTests {
  private static let model = """
    layer Attention(dim: Int) {
      let q = Linear(dim, dim)
    }
    model M() {
      let blocks = [Attention(2) for _ in 0..<2]
      param scale: [2] = ones()
      func forward(x: [B, 2]) -> [B, 2] {
        var y = x
        for block in blocks { y = block.q(y) }
        return y * scale
      }
    }

    """

  private func folder(_ tensors: [String: [Double]]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.model)
    let named = try tensors.sorted { $0.key < $1.key }.map { name, values in
      (name, try #require(Tensor(values, shape: values.count == 4 ? [2, 2] : [values.count], dtype: .f32)))
    }
    try TensorFile.write(named, to: folder.file("w.safetensors"))
    try TensorFile.write(
      [("x", try #require(Tensor([1, 2] as [Float], shape: [1, 2])))], to: folder.file("x.safetensors"))
    return folder
  }

  private static let bert: [String: [Double]] = [
    "bert.encoder.layer.0.attention.self.query.weight": [1, 2, 3, 4],
    "bert.encoder.layer.0.attention.self.query.bias": [1, -1],
    "bert.encoder.layer.1.attention.self.query.weight": [0, 1, 1, 0],
    "bert.encoder.layer.1.attention.self.query.bias": [10, 20], "bert.gamma": [2, 3],
    "bert.pooler.weight": [5],
  ]
  private static let rename = [
    "--rename", "bert -> ", "--rename", "encoder.layer.*.attention.self.query -> blocks.*.q", "--rename",
    "gamma -> scale",
  ]

  private func run(_ folder: TemporaryFolder, _ flags: [String], file: String = "w.safetensors") throws -> Command {
    try Command(["run", "m.ltm", "--weights", file, "--input", "x=x.safetensors"] + flags, in: folder.path)
  }

  @Test func namesBecomeTheModels() throws {
    let run = try run(folder(Self.bert), Self.rename)
    #expect(run.status == 0, "\(run.errors)")
    // x q0' + b0 = (6, 10), times q1' and b1: (20, 26), times scale.
    #expect(run.output.contains("40.0 78.0"), "\(run.output)")
    #expect(run.errors.contains("holds 'pooler.weight', which the model does not have"))
    let ignoring = try self.run(folder(Self.bert), Self.rename + ["--ignore", "pooler.**"])
    #expect(ignoring.errors.isEmpty)
  }

  @Test func aPartialFileKeepsTheRest() throws {
    var some = Self.bert
    some["bert.gamma"] = nil
    let without = try run(folder(some), Self.rename)
    #expect(without.status == 1 && without.errors.contains("holds no tensor 'scale'"), "\(without.errors)")
    #expect(without.errors.contains("--partial"))
    let partial = try run(folder(some), Self.rename + ["--partial"])
    #expect(partial.status == 0 && partial.output.contains("20.0 26.0"), "\(partial.output)")
    #expect(partial.errors.contains("lacks 1 of the model's 5 weights, which keep their initial values"))
    let none = try run(folder(["other": [1, 2]]), ["--partial"])
    #expect(none.status == 1 && none.errors.contains("5 of the model's 5 are missing"), "\(none.errors)")
  }

  @Test func whatIsWrongIsListedTogether() throws {
    var wrong = Self.bert
    wrong["bert.gamma"] = nil
    wrong["bert.encoder.layer.0.attention.self.query.bias"] = [1, 2, 3]
    let both = try run(folder(wrong), Self.rename)
    for part in ["holds no tensor 'scale'", "'blocks.0.q.bias' is f32[3], and the model's is f32[2]", "pooler.weight"] {
      #expect(both.errors.contains(part), "\(both.errors)")
    }
    wrong["bert.gamma"] = [1]
    let shapes = try run(folder(wrong), Self.rename)
    #expect(shapes.status == 1 && shapes.errors.contains("2 of the weights have other shapes"), "\(shapes.errors)")
    #expect(shapes.errors.contains("'scale' is f32[1], and the model's is f32[2]"))
  }

  @Test(arguments: [
    ("a b", "is not written as 'FROM -> TO'"), (" -> b", "says nothing of what is renamed"),
    ("a.* -> b", "one star on its left side and no star on its right"), ("a.* -> b.**", "stars on the right"),
    ("bert.encoder.layer.* -> one", "one star"),
  ]) func aRenameThatIsNone(_ rename: String, says: String) throws {
    let run = try run(folder(Self.bert), ["--rename", rename])
    #expect(run.status == 1, "\(run.errors)")
    if !rename.contains("**") { #expect(run.errors.contains(says), "\(run.errors)") }
  }

  @Test func twoNamesThatBecomeOne() throws {
    let flags = ["--rename", "bert.encoder.layer.0.attention.self.query -> blocks.0.q"]
    let run = try run(
      folder(Self.bert), flags + ["--rename", "bert.encoder.layer.1.attention.self.query -> blocks.0.q"])
    #expect(run.status == 1 && run.errors.contains("are both renamed to 'blocks.0.q."), "\(run.errors)")
  }

  @Test func flagsWithoutWeights() throws {
    let folder = try folder(Self.bert)
    let run = try Command(["run", "m.ltm", "--partial", "--input", "x=x.safetensors"], in: folder.path)
    #expect(run.status == 1 && run.errors.contains("say how --weights are read"), "\(run.errors)")
  }

  @Test func doubleStarsTakeAnyNumber() throws {
    let last = try WeightRename(parsing: "**.gamma -> **.weight")
    #expect(last.renamed("a.b.gamma") == "a.b.weight")
    #expect(last.renamed("gamma") == "weight")
    #expect(last.renamed("a.beta") == nil)
    let middle = try WeightRename(parsing: "net.**.conv.* -> **.c.*")
    #expect(middle.renamed("net.conv.1.bias") == "c.1.bias")
    #expect(middle.renamed("net.a.b.conv.1") == "a.b.c.1")
    #expect(try WeightRename(parsing: "model.** -> **").renamed("model.x.y") == "x.y")
  }

  @Test func severalFilesWithAnIndex() throws {
    let folder = try folder(Self.bert.filter { $0.key.contains("layer.0") })
    let rest = try self.folder(Self.bert.filter { !$0.key.contains("layer.0") })
    try FileManager.default.copyItem(atPath: rest.file("w.safetensors"), toPath: folder.file("v.safetensors"))
    func index(_ place: (String) -> String) -> String {
      let entries = Self.bert.keys.sorted().map { "\"\($0)\": \"\(place($0))\"" }
      return "{\"metadata\": {}, \"weight_map\": {\(entries.joined(separator: ", "))}}"
    }
    let name = "w.safetensors.index.json"
    try folder.write(name, index { $0.contains("layer.0") ? "w.safetensors" : "v.safetensors" })
    let run = try run(folder, Self.rename, file: name)
    #expect(run.status == 0 && run.output.contains("40.0 78.0"), "\(run.errors)")
    for (text, says) in [
      (index { _ in "w.safetensors" }, "which its index promises"),
      (index { _ in "../w.safetensors" }, "no file beside it"),
      ("{}", "has no 'weight_map'"), ("{", "is no index of weights"),
      (index { _ in "none.safetensors" }, "no such file"),
    ] {
      try folder.write(name, text)
      let wrong = try self.run(folder, Self.rename, file: name)
      #expect(wrong.status == 1 && wrong.errors.contains(says), "\(wrong.errors)")
    }
  }
}
