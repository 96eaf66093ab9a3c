import Foundation
import LTM
import LTMONNX
import TestSupport
import Testing

/// What is written: a file that a person would write, which gives what ONNX Runtime gives.
@Suite struct TextTests {
  @Test func equalBlocksBecomeAListOfLayers() throws {
    let item = NodeCase(name: "encoder", path: Command.root + "/Tests/ONNXTests/Fixtures/models/encoder")
    #expect(try item.problem() == nil)
    let imported = try Importer(path: item.path + "/model.onnx").run()
    try expectGolden(imported.text, URL(filePath: Command.root + "/Tests/ONNXTests/Goldens/encoder.ltm"))
    #expect(try Source(path: "encoder.ltm", bytes: Array(imported.text.utf8)).formatted() == imported.text)
    #expect(try Source(path: "encoder.ltm", bytes: Array(imported.text.utf8)).check().isEmpty)
    let names = imported.weights.map(\.entry.name)
    #expect(names.contains("encoder.layer.2.attention.query.weight"), "\(names)")
  }

  @Test func theCommandWritesBothFiles() throws {
    let folder = try TemporaryFolder()
    let model = Command.root + "/Tests/ONNXTests/Fixtures/models/encoder/model.onnx"
    let result = try Command(["import", model, "-o", folder.file("encoder.ltm"), "--dim", "sequence=9"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("encoder.safetensors"), "\(result.output)")
    #expect(try Command(["check", folder.file("encoder.ltm")]).status == 0)
    let text = try String(contentsOfFile: folder.file("encoder.ltm"), encoding: .utf8)
    #expect(text.contains("ids: i64[B, 9]"), "\(text)")
  }

  @Test func aDimensionThatIsNotThereIsAnError() throws {
    let model = Command.root + "/Tests/ONNXTests/Fixtures/models/encoder/model.onnx"
    let result = try Command(["import", model, "-o", "/dev/null/x.ltm", "--dim", "width=9"])
    #expect(result.status == 1)
    #expect(result.errors.contains("no input has a dimension 'width'"), "\(result.errors)")
  }
}
