import Foundation
import LTM
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// Folders and lists of images (scripts/reference/images.py).
@Suite struct ImageTests {
  static let fixtures = Command.root + "/Tests/EndToEndTests/Fixtures"
  static let folder = fixtures + "/images"
  static let source = """
    model M() {
      let fc = Linear(144, 2)
      func forward(image: [B, 3, 6, 8]) -> [B, 2] { return fc(flatten(image, 1)) }
      func pixels(image: [B, 3, 6, 8]) -> [B, 3, 6, 8] { return image * 1 }
      func grey(grey: [B, 1, 6, 8]) -> [B, 1, 6, 8] { return grey * 1 }
      func loss(image: [B, 3, 6, 8], label: i32[B]) -> [] { return cross_entropy(forward(image), label) }
      func accuracy(image: [B, 3, 6, 8], label: i32[B]) -> [] {
        return accuracy_score(label, argmax(forward(image), axis: -1))
      }
    }
    train M {
      data      "\(folder)"
      minimize  loss
      report    accuracy
      optimizer Adam(lr: 1e-2)
      batch     3
      epochs    30
    }

    """

  private func folder(_ text: String = source) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", text)
    return folder
  }

  private func trainer(_ path: String) throws -> Trainer {
    var trainer = try Trainer()
    trainer.dataPath = path
    return trainer
  }

  @Test func areSizedAsPyTorchSizesThem() throws {
    let folder = try folder()
    let model = try Model(contentsOf: folder.file("m.ltm"))
    let expected = try JSON(parsing: Array(Data(contentsOf: URL(filePath: Self.fixtures + "/images.json"))))
    let names = try FileManager.default.subpathsOfDirectory(atPath: Self.folder).filter { $0.contains(".") }.sorted()
    for (entry, key, size) in [("pixels", "rgb", 144), ("grey", "grey", 48)] {
      for (split, name) in [(DataSplit.train, "train/"), (.test, "test/")] {
        let made = try trainer(Self.folder).predict(model, entry: entry, on: split)[0].tensor
        let files = names.filter { $0.hasPrefix(name) }
        #expect(made.shape == [files.count, size / 48, 6, 8])
        for (row, name) in files.enumerated() {
          let values = try #require(expected[name]?[key]?.elements).compactMap(\.doubleValue)
          // Two versions of libjpeg may round a pixel to neighbouring bytes, and grey is rounded to one.
          let bound = name.hasSuffix("png") ? 1e-6 : 0.012
          expectClose(Array(made.doubles[row * size..<(row + 1) * size]), values, .absolute(bound), "\(entry) \(name)")
        }
      }
    }
  }

  /// Pixels as bytes, and with alpha.
  @Test func keepAlphaForFourChannels() throws {
    let source = "model M() { func bytes(x: u8[B, 4, 3, 5]) -> u8[B, 4, 3, 5] { return x } }"
    let folder = try TemporaryFolder()
    let model = try Model(contentsOf: folder.write("m.ltm", source))
    try folder.write("i.list", "\(Self.folder)/test/dog/g.png\n")
    let bytes = try trainer(folder.file("i.list")).predict(model, entry: "bytes")[0].tensor
    #expect(bytes.dtype == .u8 && Set(bytes.bytes[45...]).count > 5)
    try folder.write("i.list", "\(Self.folder)/test/cat/e.jpg\tcat\n")
    let opaque = try trainer(folder.file("i.list")).predict(model, entry: "bytes")[0].tensor
    #expect(opaque.bytes[45...].allSatisfy { $0 == 255 })
  }

  @Test func areTrainedOnByTheirFolder() throws {
    let folder = try folder()
    let train = try Command(["train", "m.ltm", "--save", "w.safetensors", "--json"], in: folder.path)
    #expect(train.status == 0, "\(train.errors)")
    var model = try Model(contentsOf: folder.file("m.ltm"))
    try model.load(weightsFrom: folder.file("w.safetensors"))
    #expect(model.categories == ["class": ["cat", "dog"]])
    // A list, its class in the line; and without classes what is only to be predicted.
    try folder.write("some.list", "\(Self.folder)/train/dog/b.jpg\tcat\n\(Self.folder)/test/dog/g.png\n")
    let values = try trainer(folder.file("some.list")).evaluate(model)
    #expect(values.count == 1 && values[0].value.isFinite)
    try folder.write("other.list", "\(Self.folder)/train/dog/b.jpg\tbird\n")
    #expect(throws: LTMError.self) { try trainer(folder.file("other.list")).evaluate(model) }
    try FileManager.default.createDirectory(atPath: folder.file("plain"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: Self.folder + "/train/dog/b.jpg", toPath: folder.file("plain/x.jpg"))
    #expect(try trainer(folder.file("plain")).predict(model)[0].tensor.shape == [1, 2])
  }

  /// The same weights, whoever loads.
  @Test func comeInOneOrderForAnyNumberOfLoaders() throws {
    let folder = try folder()
    var seen: [[String: Tensor]] = []
    for threads in [nil, 1, 3] {
      var trainer = try trainer(Self.folder)
      trainer.options.loaderThreads = threads
      trainer.batchSize = 1
      trainer.maxEpochs = 4
      var model = try Model(contentsOf: folder.file("m.ltm"))
      try trainer.fit(&model)
      seen.append(model.weights)
    }
    #expect(seen[0] == seen[1] && seen[1] == seen[2])
  }
}
