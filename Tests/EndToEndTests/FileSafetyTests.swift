import Foundation
import LTM
import TestSupport
import Testing

/// A command never writes over what it reads, and never saves weights that are not finite.
@Suite struct FileSafetyTests {
  static let model = """
    import "part.ltm"
    model M() {
      param w: [] = scale()
      func loss(x: [B]) -> [] { return mean(w * x) }
      func twice(x: [B]) -> [B] { return x * 2 }
    }
    train M {
      data "d.csv" { x: x }
      minimize loss
      optimizer SGD(lr: 0.1)
      batch 2
    }

    """

  /// A folder with the model, what it imports, its data, a checkpoint, an array, and links to the data.
  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", Self.model.replacing("scale()", with: "ones()"))
    try folder.write("part.ltm", "let unused = 1\n")
    try folder.write("d.csv", "x\n1\n2\n3\n4\n")
    try FileManager.default.createSymbolicLink(atPath: folder.file("link.csv"), withDestinationPath: "d.csv")
    try FileManager.default.linkItem(atPath: folder.file("d.csv"), toPath: folder.file("hard.csv"))
    let x = try #require(Tensor([1, 2] as [Float], shape: [2]))
    try TensorFile.write([("x", x)], to: folder.file("x.safetensors"))
    let train = try Command(["train", "m.ltm", "--quiet", "--save", "w.safetensors"], in: folder.path)
    #expect(train.status == 0, "\(train.errors)")
    return folder
  }

  static let conflicts: [[String]] = [
    ["train", "m.ltm", "--log", "d.csv"], ["train", "m.ltm", "--log", "./link.csv"],
    ["train", "m.ltm", "--log", "hard.csv"], ["train", "m.ltm", "--log", "part.ltm"],
    ["train", "m.ltm", "--weights", "w.safetensors", "--save", "w.safetensors"],
    ["train", "m.ltm", "--data", "x.safetensors", "--no-report", "--save", "../\("*")/x.safetensors"],
    ["train", "m.ltm", "--save", "new.safetensors", "--log", "./new.safetensors"],
    ["train", "m.ltm", "--resume", "w.safetensors", "--epochs", "2", "--log", "w.safetensors"],
    ["train", "m.ltm", "--save", "n.safetensors", "--dump", "n.safetensors"],
    ["run", "m.ltm", "--entry", "twice", "--input", "x=x.safetensors:x", "-o", "x.safetensors"],
    [
      "run", "m.ltm", "--weights", "w.safetensors", "--entry", "twice", "--input", "x=x.safetensors", "-o",
      "w.safetensors",
    ],
    ["compile", "m.ltm", "--emit", "graph", "-o", "part.ltm"], ["compile", "m.ltm", "--emit", "graph", "-o", "d.csv"],
    ["compile", "m.ltm", "--emit", "graph", "-o", "link.csv"],
    ["compile", "./m.ltm", "--emit", "graph", "-o", "m.ltm"],
  ]

  @Test(arguments: conflicts) func noInputIsWrittenOver(_ arguments: [String]) throws {
    let folder = try folder()
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    func contents() throws -> [Data] { try files.map { try Data(contentsOf: URL(filePath: folder.file($0))) } }
    let before = try contents()
    let name = URL(filePath: folder.path).lastPathComponent
    let result = try Command(arguments.map { $0.replacing("*", with: name) }, in: folder.path)
    #expect(result.status == 1, "\(result.output)")
    #expect(result.errors.contains("name another file"), "\(result.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == files)
    #expect(try contents() == before)
  }

  @Test func aRunMayBeSavedWhereItWasResumed() throws {
    let folder = try folder()
    let result = try Command(
      ["train", "m.ltm", "--quiet", "--epochs", "2", "--resume", "w.safetensors", "--save", "./w.safetensors"],
      in: folder.path)
    #expect(result.status == 0, "\(result.errors)")
  }

  // MARK: what is not finite

  @Test(arguments: [["32", "O0"], ["16", "O2"], ["bf16", "O1"]])
  func initialWeightsThatAreNotFiniteReplaceNoCheckpoint(_ flags: [String]) throws {
    let folder = try folder()
    let good = try Data(contentsOf: URL(filePath: folder.file("w.safetensors")))
    for value in ["nan", "inf"] {
      try folder.write("m.ltm", Self.model.replacing("scale()", with: "constant(\(value))"))
      let result = try Command(
        [
          "train", "m.ltm", "--quiet", "--precision", flags[0], "--amp-level", flags[1], "--on-nonfinite", "skip",
          "--save", "w.safetensors",
        ], in: folder.path)
      #expect(result.status == 1)
      #expect(result.errors.contains("'w' is not finite before the first step"), "\(result.errors)")
      #expect(try Data(contentsOf: URL(filePath: folder.file("w.safetensors"))) == good)
    }
  }

  @Test func aModelDoesNotSaveWhatIsNotFinite() throws {
    let folder = try folder()
    let path = folder.file("w.safetensors")
    let good = try Data(contentsOf: URL(filePath: path))
    var model = try Model(contentsOf: folder.file("m.ltm"))
    try model.set(["w": try #require(Tensor([Float.nan], shape: []))])
    let error = #expect(throws: LTMError.self) { try model.save(to: path) }
    #expect(try #require(error).description.contains("'w' is not finite"))
    #expect(try Data(contentsOf: URL(filePath: path)) == good)
    #expect(throws: LTMError.self) { try model.save(to: folder.file("part.ltm")) }
    #expect(throws: LTMError.self) { try Trainer().fit(&model) }
  }

  @Test func weightsThatAreNotFiniteAreWarnedOf() throws {
    let folder = try folder()
    try TensorFile.write([("w", try #require(Tensor([Float.nan], shape: [])))], to: folder.file("bad.safetensors"))
    let run = try Command(
      ["run", "m.ltm", "--entry", "twice", "--weights", "bad.safetensors", "--input", "x=x.safetensors"],
      in: folder.path)
    #expect(run.status == 0)
    #expect(run.errors.contains("warning: bad.safetensors: 'w' holds nan as element 0"), "\(run.errors)")
  }
}
