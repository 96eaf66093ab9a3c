import Foundation
import LTM
import LTMIR
import TestSupport
import Testing

/// Texts as data, and texts that are written, by a tokenizer of a thousand tokens.
@Suite struct TokenizerTests {
  private static let fixtures = Command.root + "/Tests/TokenizerTests/Fixtures"
  private static let gpt2 = fixtures + "/gpt2.json"
  /// BERT's kind, with padding and a mask.
  private static let wordPiece = fixtures + "/word_piece.json"
  private static let small = ["--set", "dim=16", "--set", "depth=1", "--set", "heads=2", "--set", "context=64"]

  private static let model = """
    model Mean(vocab: Int = 900, dim: Int = 8) {
      let words = Embedding(vocab, dim)
      let head = Linear(dim, 2)

      func forward(tokens: i32[B, T], there: bool[B, T]) -> [B, 2] {
        return head(sum(where(unsqueeze(there, 2), words(tokens), 0), axis: 1) / count(there))
      }

      func count(there: bool[B, T]) -> [B, 1] {
        return sum(where(there, 1.0, 0.0), axis: 1, keep: true)
      }

      func loss(tokens: i32[B, T], there: bool[B, T], label: i32[B]) -> [] {
        return cross_entropy(forward(tokens, there), label)
      }
    }

    train Mean {
      data      "texts.csv" { tokens: text, there: text, label: label }
      tokenizer "t.json"
      minimize  loss
      optimizer AdamW(lr: 1e-2)
      batch     2
      epochs    12
    }
    """

  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("mean.ltm", Self.model)
    try folder.write("texts.csv", "text,label\n\"good, fine\",1\nbad,0\nvery good,1\nvery bad indeed,0\n")
    try FileManager.default.copyItem(atPath: Self.wordPiece, toPath: folder.file("t.json"))
    return folder
  }

  @Test func trainsAndPredictsOnTexts() throws {
    let folder = try folder()
    let trained = try Command(["train", "mean.ltm", "--save", "w.safetensors", "--json"], in: folder.path)
    #expect(trained.status == 0, "\(trained.errors)")
    let predicted = try Command(
      ["predict", "mean.ltm", "--weights", "w.safetensors", "--tokenizer", "t.json", "-o", "y.csv"], in: folder.path)
    #expect(predicted.status == 0, "\(predicted.errors)")
    let rows = try String(contentsOfFile: folder.file("y.csv"), encoding: .utf8).split(separator: "\n").dropFirst()
    let likelier = rows.map { row in
      let scores = row.split(separator: ",").compactMap { Double($0) }
      return scores[1] > scores[0] ? 1 : 0
    }
    #expect(likelier == [1, 0, 1, 0])
  }

  @Test func runsOnLines() throws {
    let folder = try folder()
    try folder.write("lines.txt", "very good\r\nbad\n")
    let tokenizer = try Tokenizer(contentsOf: Self.wordPiece)
    let (tokens, there) = try tokenizer.encode(batch: ["very good", "bad"])
    let model = try Model(contentsOf: folder.file("mean.ltm"), seed: 5)
    let expected = try #require(try model.compile("forward")(["tokens": tokens, "there": there]).first).tensor
    try model.save(to: folder.file("w.safetensors"))
    let run = try Command(
      [
        "run", "mean.ltm", "--weights", "w.safetensors", "--tokenizer", "t.json", "--input", "tokens=lines.txt",
        "--input", "there=lines.txt", "-o", "y.npy",
      ], in: folder.path)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try TensorFile.read(folder.file("y.npy")).doubles == expected.doubles)
    let without = try Command(["run", "mean.ltm", "--input", "tokens=lines.txt"], in: folder.path)
    #expect(without.errors.contains("lines.txt: is a text, and 'tokens' takes numbers"), "\(without.errors)")
  }

  @Test func aSmallerTableIsAMessage() throws {
    let folder = try folder()
    let trained = try Command(["train", "mean.ltm", "--set", "vocab=300"], in: folder.path)
    #expect(trained.status == 1)
    #expect(trained.errors.contains("t.json: has 900 tokens, and 'tokens' is read by"), "\(trained.errors)")
    #expect(trained.errors.contains("--set vocab=900"), "\(trained.errors)")
    let generated = try Command(
      ["generate", "samples/gpt.ltm", "--tokenizer", Self.gpt2, "--prompt", "x"] + Self.small)
    #expect(generated.errors.contains("has 1000 tokens, and the model has scores for 256"), "\(generated.errors)")
  }

  @Test func readsWindowsOfTokens() throws {
    let folder = try TemporaryFolder()
    let text = String(repeating: "Shapes are checked before anything runs. ", count: 80)
    try folder.write("book.txt", text)
    let trained = try Command(
      [
        "train", "samples/gpt.ltm", "--set", "vocab=1000", "--data", folder.file("book.txt"), "--tokenizer", Self.gpt2,
        "--window", "17", "--batch", "4", "--epochs", "1", "--no-report", "--json",
      ] + Self.small)
    #expect(trained.status == 0, "\(trained.errors)")
  }

  /// What is printed as tokens come is the text of all tokens, and a stop ends it wherever it begins.
  @Test func writesTexts() throws {
    let arguments =
      [
        "generate", "samples/gpt.ltm", "--set", "vocab=1000", "--tokenizer", Self.gpt2, "--prompt", "Ein Tüür",
        "--length", "30",
      ]
      + Self.small
    let json = try Command(arguments + ["--json"])
    #expect(json.status == 0, "\(json.errors)")
    let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: [[String: Any]]]
    let row = try #require(object?["texts"]?.first)
    let (prompt, tokens) = (row["prompt_tokens"] as? [Int] ?? [], row["tokens"] as? [Int] ?? [])
    let tokenizer = try Tokenizer(contentsOf: Self.gpt2)
    #expect(prompt == (try tokenizer.encode("Ein Tüür")))
    let whole = try tokenizer.decode(prompt + tokens)
    let live = try Command(arguments)
    #expect(live.output == whole + "\n")
    let written = String(whole.dropFirst(8))
    let stop = String(written.dropFirst(10).prefix(3))
    let stopped = try Command(arguments + ["--stop", stop])
    let place = try #require(written.range(of: stop)?.lowerBound)
    #expect(stopped.output == "Ein Tüür" + written[..<place] + "\n")
  }

  @Test func aStreamHoldsBackWhatIsNotComplete() throws {
    let tokenizer = try Tokenizer(contentsOf: Self.gpt2)
    let text = "né 👍🏽 STOP and more"
    var stream = TextStream(tokenizer, stops: ["STOP"])
    var written = ""
    for token in try tokenizer.encode(text) {
      let part = try stream.add(token)
      #expect(!part.unicodeScalars.contains("\u{FFFD}"))
      written += part
    }
    written += try stream.finish()
    #expect(stream.isStopped)
    #expect(written == "né 👍🏽 ")
  }
}
