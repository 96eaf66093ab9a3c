import Foundation
import LTM
import LTMIR
import TestSupport
import Testing

/// A `weights` block: another's names, matrices transposed, joined and split; and all of it the other way round.
@Suite struct WeightBlockTests {
  private static let model = """
    layer Attention(dim: Int) {
      let qkv = Linear(dim, 3 * dim)
      func call(x: [B, dim]) -> [B, dim] {
        let (q, k, v) = split(qkv(x), 3, axis: -1)
        return q * k + v
      }
    }

    model M(dim: Int = 2) {
      let blocks = [Attention(dim) for _ in 0..<2]
      let gate = Linear(dim, dim)
      let up = Linear(dim, dim)
      func forward(x: [B, dim]) -> [B, dim] {
        let y = x |> blocks
        return gate(y) * up(y)
      }
    }

    weights M {
      "h.*.q_proj" -> "h.*.q"
      ["h.*.q", "h.*.k", "h.*.v"] -> "blocks.*.qkv" transposed
      "mlp" -> ["gate", "up"]
      ignore "head.**"
    }
    """

  private func tensor(_ values: [Double], _ shape: [Int]) throws -> Tensor {
    try #require(Tensor(values, shape: shape, dtype: .f32))
  }

  /// What the block's names are of.
  private func file() throws -> [(name: String, tensor: Tensor)] {
    var tensors: [(name: String, tensor: Tensor)] = []
    for layer in 0..<2 {
      for (index, name) in ["q_proj", "k", "v"].enumerated() {
        let first = Double(10 * layer + 3 * index)
        tensors.append(("h.\(layer).\(name).weight", try tensor([first, first + 1, first + 2, first + 3], [2, 2])))
        tensors.append(("h.\(layer).\(name).bias", try tensor([first, -first], [2])))
      }
    }
    tensors.append(("mlp.weight", try tensor([1, 2, 3, 4, 5, 6, 7, 8], [4, 2])))
    tensors.append(("mlp.bias", try tensor([1, 2, 3, 4], [4])))
    tensors.append(("head.weight", try tensor([1], [1])))
    return tensors
  }

  private func folder(model: String = model, _ tensors: [(name: String, tensor: Tensor)]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", model)
    try TensorFile.write(tensors, to: folder.file("w.safetensors"))
    return folder
  }

  @Test func namesShapesAndPartsBecomeTheModels() throws {
    let folder = try folder(file())
    var model = try Model(contentsOf: folder.file("m.ltm"))
    #expect(try model.load(weightsFrom: folder.file("w.safetensors")).isEmpty)
    let weights = model.weights
    #expect(weights["blocks.1.qkv.weight"]?.doubles == [10, 12, 11, 13, 13, 15, 14, 16, 16, 18, 17, 19])
    #expect(weights["blocks.0.qkv.bias"]?.doubles == [0, 0, 3, -3, 6, -6])
    #expect(weights["gate.weight"]?.doubles == [1, 2, 3, 4])
    #expect(weights["up.weight"]?.doubles == [5, 6, 7, 8])
    #expect(weights["up.bias"]?.doubles == [3, 4])
  }

  @Test func whatIsWrittenBackIsWhatWasRead() throws {
    let folder = try folder(file())
    let renamed = try Command(
      ["rename", "m.ltm", "--weights", "w.safetensors", "-o", "back.safetensors"], in: folder.path)
    #expect(renamed.status == 0, "\(renamed.errors)")
    let written = try TensorFile.names(folder.file("back.safetensors"))
    // The line that renames q alone is undone too.
    #expect(Set(written) == Set(try file().map(\.name)).subtracting(["head.weight"]))
    for (name, tensor) in try file() where name != "head.weight" {
      #expect(try TensorFile.read(folder.file("back.safetensors:\(name)")) == tensor, "\(name)")
    }
  }

  /// What ltm saved has the model's names, and is read without the block.
  @Test func ourOwnFilesAreReadAsTheyAre() throws {
    let model = Self.model.replacing("\"mlp\" -> [\"gate\", \"up\"]", with: "\"gate\" -> \"gate\" transposed")
    let folder = try folder(model: model, file())
    let first = try Model(contentsOf: folder.file("m.ltm"), seed: 4)
    try first.save(to: folder.file("own.safetensors"))
    var second = try Model(contentsOf: folder.file("m.ltm"))
    #expect(try second.load(weightsFrom: folder.file("own.safetensors")).isEmpty)
    #expect(second.weights == first.weights)
  }

  @Test func whatDoesNotFitIsAMessage() throws {
    func message(_ tensors: [(name: String, tensor: Tensor)], _ model: String = Self.model) throws -> String {
      let folder = try folder(model: model, tensors)
      return try Command(["rename", "m.ltm", "--weights", "w.safetensors", "-o", "b.safetensors"], in: folder.path)
        .errors
    }
    let without = try message(file().filter { $0.name != "h.1.k.weight" })
    #expect(without.contains("holds no tensor 'blocks.1.qkv.weight'"), "\(without)")
    #expect(without.contains("it holds 'h.1.q.weight', 'h.1.v.weight', which the model does not have"), "\(without)")
    let odd = try message(file().map { $0.name == "mlp.bias" ? ($0.name, try tensor([1, 2, 3], [3])) : $0 })
    #expect(odd.contains("is one of 2 equal parts of f32[3], which has none"), "\(odd)")
    let both = try message(
      file(),
      Self.model.replacing("\"h.*.q_proj\"", with: "[\"h.*.a\", \"h.*.b\"]")
        .replacing("-> \"h.*.q\"", with: "-> [\"h.*.c\", \"h.*.d\"]"))
    #expect(both.contains("m.ltm:20:3: error: several weights are joined"), "\(both)")
    let stars = try message(file(), Self.model.replacing("\"mlp\"", with: "\"mlp.*\""))
    #expect(stars.contains("has other stars than \"mlp.*\""), "\(stars)")
    let open = try message(
      file(), Self.model.replacing("\"mlp\" -> [\"gate\", \"up\"]", with: "\"**.**.**.**\" -> \"**.**.**.**\""))
    #expect(open.contains("has more than 3 '**'"), "\(open)")
    let none = try message(file(), Self.model.replacing("weights M", with: "weights N"))
    #expect(none.contains("holds no tensor"), "\(none)")
    let lossy = try message(
      file(),
      Self.model.replacing(
        "ignore \"head.**\"", with: "\"blocks.*.qkv\" -> \"blocks.*.qkv\"\n  \"gate.bias\" -> \"up.bias\""))
    #expect(lossy.contains("both become 'up.bias'"), "\(lossy)")
  }
}
