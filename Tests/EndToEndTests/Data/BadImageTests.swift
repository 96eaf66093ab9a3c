import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// What is wrong with images, and said with the file's name.
@Suite struct BadImageTests {
  private let folder: TemporaryFolder
  private let model: Model

  init() throws {
    folder = try TemporaryFolder()
    try FileManager.default.createDirectory(atPath: folder.file("d/cat"), withIntermediateDirectories: true)
    model = try Model(contentsOf: folder.write("m.ltm", ImageTests.source))
  }

  /// What evaluation says about some data.
  private func problem(_ path: String) throws -> String {
    var trainer = try Trainer()
    trainer.dataPath = folder.file(path)
    let error = #expect(throws: LTMError.self) { try trainer.evaluate(model) }
    return (error.map { "\($0)" } ?? "").replacing(folder.path + "/", with: "")
  }

  private func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(filePath: "\(ImageTests.fixtures)/\(name)")))
  }

  private func write(_ name: String, _ bytes: [UInt8]) throws {
    try Data(bytes).write(to: URL(filePath: folder.file(name)))
  }

  @Test func filesThatAreNoImages() throws {
    let png = try bytes("images/train/cat/a.png")
    var huge = png
    huge.replaceSubrange(16..<24, with: [0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF])
    huge.replaceSubrange(29..<33, with: [155, 171, 156, 49])
    var large = png
    large.replaceSubrange(16..<24, with: [0, 0, 0x20, 0, 0, 0, 0x20, 0])
    large.replaceSubrange(29..<33, with: [253, 200, 93, 14])
    var none = png
    none.replaceSubrange(16..<20, with: [0, 0, 0, 0])
    let jpeg = try bytes("images/train/dog/b.jpg")
    var wide = jpeg
    let frame = try #require(wide.indices.first { wide[$0] == 0xFF && wide[$0 + 1] == 0xC0 })
    wide.replaceSubrange(frame + 5..<frame + 9, with: [0xFF, 0xDC, 0xFF, 0xDC])
    let cases: [(String, [UInt8], String)] = [
      ("empty.png", [], "it is empty"), ("text.png", Array("not an image".utf8), "neither a PNG nor a JPEG"),
      ("short.png", Array(png.prefix(20)), "truncated"), ("cut.png", Array(png.dropLast(40)), "truncated"),
      ("huge.png", huge, "2147483647 x 2147483647"), ("large.png", large, "more than the file can hold"),
      ("none.png", none, "IHDR"), ("cut.jpg", Array(jpeg.prefix(jpeg.count - 60)), "Premature end"),
      ("header.jpg", [0xFF, 0xD8, 0xFF, 0xE0], "Premature end"), ("wide.jpg", wide, "65500 x 65500"),
      ("cmyk.jpg", try bytes("cmyk.jpg"), "CMYK"),
    ]
    for (name, bytes, words) in cases {
      try write("d/cat/\(name)", bytes)
      let text = try problem("d")
      #expect(text.contains("d/cat/\(name): cannot be read: ") && text.contains(words), "\(text)")
      try FileManager.default.removeItem(atPath: folder.file("d/cat/\(name)"))
    }
    // The name's ending does not matter, what the file holds does.
    try write("d/cat/a.jpg", png)
    var trainer = try Trainer()
    trainer.dataPath = folder.file("d")
    #expect(try trainer.predict(model)[0].tensor.shape == [1, 2])
  }

  @Test func foldersAndListsThatHoldNone() throws {
    let png = try bytes("images/train/cat/a.png")
    #expect(try problem("d").contains("d/cat: is the folder of a class, and holds no images"))
    #expect(try problem("none/").contains("no such folder"))
    try write("d/cat/a.png", png)
    try FileManager.default.createSymbolicLink(atPath: folder.file("d/cat/again"), withDestinationPath: "..")
    #expect(try problem("d").contains("leads back to a folder that it lies in"))
    try FileManager.default.removeItem(atPath: folder.file("d/cat/again"))
    try write("d/cat/b.webp", png)
    #expect(try problem("d").contains("d/cat/b.webp: is no PNG or JPEG"))
    try FileManager.default.removeItem(atPath: folder.file("d/cat/b.webp"))
    try write("d/x.png", png)
    #expect(try problem("d").contains("d/x.png: lies in no folder of a class"))
    try folder.write("i.list", "d/cat/a.png\nd/cat/no.png\n")
    #expect(try problem("i.list").contains("d/cat/no.png: no such file"))
    try folder.write("i.list", "\n")
    #expect(try problem("i.list").contains("holds no images"))
  }

  @Test func parametersThatAreNoImages() throws {
    let source = ImageTests.source.replacing("[B, 3, 6, 8]", with: "[B, 2, 6, 8]").replacing("144", with: "96")
    try folder.write("m.ltm", source)
    let run = try Command(["train", "m.ltm"], in: folder.path)
    #expect(run.status == 1 && run.errors.contains("'image' has no shape of an image"), "\(run.errors)")
  }

  /// An image that turns out to be damaged costs nothing of what was trained.
  @Test func damageWhileTrainingSavesWhatThereIs() throws {
    for number in 0..<4 { try write("d/cat/\(number).png", try bytes("images/train/cat/a.png")) }
    try write("d/cat/4.png", Array(try bytes("images/train/cat/a.png").dropLast(40)))
    try folder.write("m.ltm", ImageTests.source.replacing("report    accuracy", with: ""))
    let run = try Command(
      ["train", "m.ltm", "--data", "d", "--batch", "1", "--no-shuffle", "--save", "w.safetensors"], in: folder.path)
    #expect(run.status == 1 && run.errors.contains("d/cat/4.png: cannot be read"), "\(run.errors)")
    #expect(FileManager.default.fileExists(atPath: folder.file("w.safetensors")))
  }

  /// Any damage is a message or an image.
  @Test func damageIsAMessage() throws {
    var random = SeededGenerator(seed: 4)
    for name in ["train/cat/a.png", "train/dog/b.jpg", "test/dog/h.png", "test/cat/e.jpg"] {
      let whole = try bytes("images/\(name)")
      for _ in 0..<60 {
        var bytes = whole
        for _ in 0..<3 {
          bytes[Int.random(in: 3..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 1..<bytes.count - 4, using: &random)) }
        try write("d/cat/x.png", bytes)
        var trainer = try Trainer()
        trainer.dataPath = folder.file("d")
        do {
          let made = try trainer.predict(model, entry: "pixels")
          #expect(made[0].tensor.shape == [1, 3, 6, 8])
        } catch {
          #expect("\(error)".contains("cannot be read"), "\(error)")
        }
      }
    }
  }
}
