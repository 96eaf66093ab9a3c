import LTMFrontEnd
import Testing

/// What messages advise is true.
@Suite struct ForeignNameTests {
  private static let parameters =
    "x: [B, 8], y: [B, 8], w: [8, 8], mask: bool[B, 8], i: i32[B], "
    + "q: [B, 2, T, 8], k: [B, 2, T, 8], v: [B, 2, T, 8]"

  @Test("a form that stands for an op compiles", arguments: ForeignNames.written.sorted { $0.key < $1.key })
  func written(name: String, advice: String) throws {
    // Words behind a comma and a space that no bracket encloses explain the form.
    var depth = 0
    let end = advice.indices.first { index in
      if "([".contains(advice[index]) { depth += 1 }
      if ")]".contains(advice[index]) { depth -= 1 }
      return depth == 0 && advice[index] == ","
    }
    let form = advice[..<(end ?? advice.endIndex)]
    let source = """
      model M {
        func f(\(Self.parameters)) -> [B, 8] {
          let found = \(form)
          return x
        }
      }
      """
    let diagnostics = try loaded(source, named: "model.ltm").check()
    #expect(diagnostics.all.isEmpty, "\(name): \(diagnostics)")
  }

  @Test("what is called missing is missing", arguments: ForeignNames.missing.sorted())
  func missing(name: String) {
    let report = messages { _ = try loaded("func f(x: [B, 8]) -> [B, 8] { return \(name)(x) }\n", named: "model.ltm") }
    #expect(report.contains("unknown name '\(name)'") && report.contains("there is no '\(name)' yet"))
  }
}
