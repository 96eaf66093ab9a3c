import Foundation
import LTMONNX
import TestSupport
import Testing

/// Files that are no models, or not all of one: a message with the file, the node and the reason, a status of 1, nothing
/// written.
@Suite struct ErrorTests {
  /// The bytes of a protobuf field with a length.
  private static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
    var length = bytes.count
    var head: [UInt8] = [number << 3 | 2]
    repeat {
      head.append(UInt8(length & 0x7F) | (length > 0x7F ? 0x80 : 0))
      length >>= 7
    } while length > 0
    return head + bytes
  }

  private static func text(_ number: UInt8, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }

  /// A model whose graph has the fields given.
  private static func model(_ graph: [UInt8]) -> [UInt8] {
    [0x08, 8] + field(7, graph) + field(8, [0x10, 17])
  }

  /// `node`, an operator with a name, an operand and a result.
  private static func node(_ op: String, _ name: String, from input: String, to output: String) -> [UInt8] {
    field(1, text(1, input) + text(2, output) + text(3, name) + text(4, op))
  }

  /// A tensor of floats: its name, dimensions, and further fields.
  private static func tensor(_ name: String, _ dims: [UInt8], _ rest: [UInt8]) -> [UInt8] {
    field(5, dims.flatMap { [0x08, $0] } + [0x10, 1] + text(8, name) + rest)
  }

  private static func input(_ name: String) -> [UInt8] {
    // type { tensor_type { elem_type: float, shape { dim { dim_param: "N" } } } }
    let shape = field(2, field(1, text(2, "N")))
    return field(11, text(1, name) + field(2, field(1, [0x08, 1] + shape)))
  }

  private static func output(_ name: String) -> [UInt8] { field(12, text(1, name)) }

  /// A graph in a graph, in attributes of nodes.
  private static func nested(_ depth: Int) -> [UInt8] {
    var graph: [UInt8] = []
    for _ in 0..<depth { graph = field(1, field(5, field(6, graph))) }
    return graph
  }

  /// A loop without end that carries nothing.
  private static let loop: [UInt8] = {
    let nodes =
      node("Identity", "again", from: "c", to: "again") + node("Neg", "row", from: "x", to: "row")
    let body = nodes + input("i") + input("c") + output("again") + output("row")
    let attribute = field(5, text(1, "body") + field(6, body) + [0xA0, 0x01, 5])
    return field(1, text(1, "") + text(1, "") + text(2, "y") + text(3, "/loop") + text(4, "Loop") + attribute)
  }()

  static let cases: [(name: String, bytes: [UInt8])] = [
    ("empty", []),
    ("text", Array("not a model at all, but a text".utf8)),
    ("no graph", [0x08, 8]),
    ("deep", model(nested(4000))),
    ("a length beyond the file", [0x08, 8, 0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 1, 2]),
    (
      "unknown operators",
      model(
        node("Loop", "/decoder/Loop", from: "x", to: "a") + node("Relu", "/act/Relu", from: "a", to: "b")
          + node("NonZero", "/head/NonZero", from: "x", to: "y") + input("x") + output("y"))
    ),
    ("a shape beyond its bytes", model(tensor("w", [100, 100], field(9, [0, 0, 0, 0])) + input("x") + output("x"))),
    (
      "data outside of the folder",
      model(
        tensor("w", [1], field(13, text(1, "location") + text(2, "../secret")) + [0x70, 1])
          + tensor(
            "v", [1], field(13, text(1, "location") + text(2, "/etc/passwd")) + [0x70, 1])
          + tensor("u", [1], field(13, text(1, "location") + text(2, "none.bin")) + [0x70, 1]) + input("x")
          + output("x"))
    ),
    ("a name that nothing gives", model(node("Relu", "act", from: "ghost", to: "y") + input("x") + output("y"))),
    (
      "a name that two nodes give",
      model(
        node("Relu", "act", from: "x", to: "y") + node("Neg", "minus", from: "x", to: "y") + input("x") + output("y"))
    ),
    ("a loop without end", model(loop + input("x") + output("y"))),
    ("a result that no node makes", model(input("x") + output("y"))),
  ]

  @Test func messagesAreThoseOfTheGolden() throws {
    let folder = try TemporaryFolder()
    var found = ""
    for (name, bytes) in Self.cases {
      let file = folder.file("model.onnx")
      try Data(bytes).write(to: URL(filePath: file))
      let result = try Command(["import", file, "-o", folder.file("model.ltm")])
      #expect(result.status == 1, "\(name): \(result.output) \(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder.file("model.ltm")), "\(name)")
      found += "== \(name)\n\(result.errors.replacingOccurrences(of: folder.path + "/", with: ""))\n"
    }
    try expectGolden(found, URL(filePath: Command.root + "/Tests/ONNXTests/Goldens/errors.txt"))
  }

  /// Damage to a real file is a message too, or a model that still reads.
  @Test func damagedFilesDoNotCrash() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("model.onnx")
    for name in ["test_lstm_defaults", "test_gemm_transposeB", "test_reflect_pad"] {
      let whole = Array(try Data(contentsOf: URL(filePath: "\(NodeCase.fixtures)/\(name)/model.onnx")))
      for end in stride(from: 0, to: whole.count, by: 3) {
        try Data(whole[..<end]).write(to: URL(filePath: file))
        _ = try? Importer(path: file).run()
      }
      for place in stride(from: 0, to: whole.count, by: 2) {
        for bit: UInt8 in [1, 0x10, 0x80] {
          var damaged = whole
          damaged[place] ^= bit
          try Data(damaged).write(to: URL(filePath: file))
          _ = try? Importer(path: file).run()
        }
      }
    }
  }
}
