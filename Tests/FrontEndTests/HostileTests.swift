import LTMFrontEnd
import LTMSupport
import Testing

/// Files that ask for more than any machine has: each is refused, soon, by name of what is too much.
@Suite struct HostileTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var text: String
    var message: String
    var testDescription: String { name }
  }

  private static func function(_ parameters: String, _ lines: String...) -> String {
    "func f(\(parameters)) -> [] {\n\(lines.joined(separator: "\n"))\n}\n"
  }

  /// `count` functions, each of which calls the next within `before` and `after`.
  private static func chain(_ count: Int, _ before: String = "", _ after: String = "") -> String {
    let end = after.isEmpty ? "" : after + "return x\n"
    let links = (0..<count).map { "func g_\($0)(x: [B]) -> [B] {\n\(before)return g_\($0 + 1)(x)\n\(end)}\n" }
    return links.joined() + "func g_\(count)(x: [B]) -> [B] {\nreturn x\n}\n"
  }

  private static func nested(_ opening: String, _ count: Int) -> (String, String) {
    (String(repeating: opening, count: count), String(repeating: "}\n", count: count))
  }

  static let cases: [Case] = [
    Case(
      name: "a list that doubles",
      text: function("x: [B]", "var a = [relu, relu]", "for i in 0..<60 {", "a = [a, a]", "}", "return sum(x |> a)"),
      message: "this list holds too much"),
    Case(
      name: "a polynomial that grows",
      text: function(
        "x: [A, B, C, D, E, F, G]",
        "var n = x.shape[0] + x.shape[1] + x.shape[2] + x.shape[3] + x.shape[4] + x.shape[5]",
        "for i in 0..<20 {", "n = n * n", "}", "return sum(x) * n"), message: "too many terms"),
    Case(
      name: "a long name", text: function("x: [B]", "return \(String(repeating: "a", count: 100_000))"),
      message: "255 letters at most"),
    Case(
      name: "many dimensions",
      text: function("x: [\([String](repeating: "B", count: 10_000).joined(separator: ", "))]", "return sum(x)"),
      message: "32 dimensions at most, and this has 10000"),
    Case(
      name: "many dimensions of a value",
      text: function("x: [B]", "return sum(full([1 for i in 0..<100], 1.0))"), message: "32 dimensions at most"),
    Case(
      name: "unknown names in many functions",
      text: (0..<20_000).map { "func g_\($0)(x: [B]) -> Any_\($0) {\nreturn y_\($0)\n}\n" }.joined(),
      message: "unknown name 'y_0'"),
    Case(name: "deep calls", text: chain(1000), message: "more than 100 calls"),
    Case(
      name: "deep blocks in deep calls",
      text: chain(150, nested("if true {\n", 120).0, nested("if true {\n", 120).1), message: "nest too deeply"),
    Case(
      name: "a long loop in many functions",
      text: (0..<100).map {
        "func g_\($0)(x: [B]) -> [B] {\nvar n = 0\nfor i in 0..<90000 {\nn = n + i\n}\nreturn x\n}\n"
      }
      .joined(), message: "the rest of it is not checked"),
    Case(
      name: "loops in loops",
      text: function(
        "x: [B]", "let a = [[[i + j + k for i in 0..<90] for j in 0..<90] for k in 0..<90]", "return sum(x)"),
      message: "more than 100000 rounds"),
    Case(
      name: "a loop beyond all numbers",
      text: function("x: [B]", "for i in 0..<9223372036854775807 {", "}", "return sum(x)"),
      message: "too long to unroll"),
    Case(
      name: "a huge parameter",
      text: "model M {\nparam w: [1000000000000000000] = zeros()\nfunc f(x: [B]) -> [] {\nreturn sum(x)\n}\n}\n",
      message: "too large"),
    Case(
      name: "a shape that overflows", text: function("x: [B]", "return sum(full([4000000000, 4000000000], 1.0))"),
      message: "overflows"),
    Case(name: "no elements", text: function("x: [0]", "return sum(x)"), message: "a dimension is 1 or more"),
    Case(
      name: "many layers in one",
      text: "layer A {\nlet a = [[A0() for i in 0..<400] for j in 0..<400]\n}\nlayer A0 {\n}\n",
      message: "more than 100000 rounds"),
  ]

  @Test(arguments: cases)
  func isRefused(_ hostile: Case) {
    let said = messages {
      let found = try loaded(hostile.text).check()
      if !found.all.isEmpty { throw found }
    }
    #expect(said.contains(hostile.message), "\(said.prefix(2000))")
  }

  /// Long, and right: its names are not copied line by line.
  @Test func aLongFunctionIsChecked() throws {
    let lines = (0..<60_000).map { "let y_\($0) = x" }.joined(separator: "\n")
    #expect(try loaded("func f(x: [B]) -> [B] {\n\(lines)\nreturn x\n}\n").check().all.isEmpty)
  }

  @Test func manyFilesAreRefused() {
    let said = messages {
      _ = try load(path: "0.ltm") { path in
        Array("import \"\((Int(path.dropLast(4)) ?? 0) + 1).ltm\"\n".utf8)
      }
    }
    #expect(said.contains("more than 256 files are imported"))
  }

  @Test func importsInACircleAreRefused() {
    let said = messages {
      _ = try loaded("import \"b.ltm\"\n", others: ["b.ltm": "import \"./x/../test.ltm\"\n"])
    }
    #expect(said.contains("imports form a cycle: test.ltm -> b.ltm -> test.ltm"))
  }

  @Test func manyFunctionsInACircleAreOneMessage() {
    let links = (0..<20_000).map { "func g_\($0)(x: [B]) -> [B] {\nreturn g_\(($0 + 1) % 20_000)(x)\n}\n" }
    let said = messages { _ = try loaded(links.joined()) }
    #expect(said.contains("'g_0' calls itself: g_0 -> g_1 -> g_2"))
    #expect(said.count < 5_000, "\(said.count)")
  }
}
