import Fuzzing
import LTMSupport
import LTMSyntax
import TestSupport
import Testing

@Suite struct RobustnessTests {
  /// Loads, parses and formats whatever the bytes are: either all goes well, or something is reported with its place.
  private func survive(_ bytes: [UInt8]) {
    var diagnostics = DiagnosticSet()
    guard let file = sourceFile(path: "hostile.ltm", bytes: bytes, into: &diagnostics) else {
      #expect(diagnostics.hasErrors && !diagnostics.description.isEmpty)
      return
    }
    let module = parse(file, into: &diagnostics)
    #expect(diagnostics.hasErrors || !dump(module).contains("(invalid)"))
    for diagnostic in diagnostics.all { #expect(diagnostic.span != nil && !diagnostic.rendered().isEmpty) }
    let formatted = Result { () throws(DiagnosticSet) in try format(file) }
    switch formatted {
    case .success(let text): #expect(!diagnostics.hasErrors && (try? tree(text)) == dump(module))
    case .failure(let errors): #expect(diagnostics.hasErrors && errors.hasErrors)
    }
  }

  @Test(arguments: Fixture.all("accept"))
  func `truncated files`(fixture: Fixture) throws {
    let bytes = try fixture.bytes()
    for end in stride(from: 0, to: bytes.count, by: 23) { survive(Array(bytes[..<end])) }
  }

  @Test(arguments: Fixture.all("accept"))
  func `mutated files`(fixture: Fixture) throws {
    let original = try fixture.bytes()
    var random = SeededGenerator(seed: UInt64(original.count))
    for _ in 0..<fuzzRounds(80) {
      var bytes = original
      for _ in 0..<Int.random(in: 1...4, using: &random) { mutate(&bytes, &random) }
      survive(bytes)
    }
  }

  private func mutate(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
    let place = Int.random(in: 0..<bytes.count, using: &random)
    switch Int.random(in: 0..<5, using: &random) {
    case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
    case 1: bytes.remove(at: place)
    case 2: bytes.insert(Array("()[]{}\n\".,:=<-|>@! ".utf8).randomElement(using: &random) ?? 0, at: place)
    case 3: bytes.swapAt(place, Int.random(in: 0..<bytes.count, using: &random))
    default:
      let end = min(bytes.count, place + Int.random(in: 1...60, using: &random))
      bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0..<bytes.count, using: &random))
    }
    if bytes.isEmpty { bytes = [0] }
  }

  @Test(arguments: [
    "(", "[", "{", "let x = (", "let x = [", "let x = -", "let x = a.", "let x = a ** ", "let x = a + ",
    "let x = if a { b } else ", "let x = f(", "let x = @f32 {", "let x = a |> f |> ", "let x = a[", "let x: [", "\0",
    "\"",
    "func f() -> [] { if a { } else ", "layer L {", "func f(", "}\n", "let x = 1\n", "//\n", "let x = [ //\n", ")",
    "let x = f(a b\n", "_", "é",
  ])
  func `long repetitions`(piece: String) {
    survive(Array(String(repeating: piece, count: 4000).utf8))
    survive(Array(("let y = (" + String(repeating: piece, count: 300) + ")\n").utf8))
  }

  @Test(arguments: [
    "x + %", "f(%)", "(%)", "[%]", "-%", "%.a", "%(1)", "%[0]", "x ** %", "x |> f(%)", "if a { b } else { % }",
    "@f32 { % }",
  ])
  func `what nests too deep is refused, and what nests less is not`(pattern: String) throws {
    let parts = pattern.split(separator: "%", omittingEmptySubsequences: false).map(String.init)
    func nested(_ count: Int) -> String {
      "let x = " + String(repeating: parts[0], count: count) + "y" + String(repeating: parts[1], count: count)
    }
    _ = try tree(nested(80))
    let errors = #expect(throws: DiagnosticSet.self) { try tree(nested(400)) }
    #expect(errors?.all.contains { $0.message.contains("nests deeper") } == true)
  }

  @Test func `a file that is too large is refused`() {
    survive(Array(repeating: UInt8(ascii: "\n"), count: Lexer.sizeLimit + 1))
    let errors = #expect(throws: DiagnosticSet.self) {
      try tree(String(repeating: " ", count: Lexer.sizeLimit + 1))
    }
    #expect(errors?.all.first?.message.contains("bytes") == true)
  }

  @Test(
    arguments: [
      ([0x61, 0xFF], 1), ([0xC3], 0), ([0x61, 0x0A, 0xE2, 0x82], 2), ([0xED, 0xA0, 0x80], 0), ([0xF0, 0x9F, 0x98], 0),
      ([0xC3, 0xA9, 0x80], 2),
    ] as [([UInt8], Int32)])
  func `invalid UTF-8 is reported where it begins`(bytes: [UInt8], offset: Int32) {
    var diagnostics = DiagnosticSet()
    #expect(sourceFile(path: "bad.ltm", bytes: bytes, into: &diagnostics) == nil)
    #expect(diagnostics.all.first?.span?.start == offset)
  }
}
