import Fuzzing
import LTMIR
import LTMSupport
import OpCases
import TestSupport
import Testing

@Suite("the text form of graphs")
struct TextTests {
  @Test("every op reads back as it was", arguments: opCases)
  func opsRoundTrip(opCase: OpCase) throws {
    var (b, inputs, value) = try opCase.builder(opCase.op.definition.precision == .banned ? .f32 : .f16)
    b.output("y", value)
    if b.type(value).dtype.isFloating {
      _ = try b.differentiate(value, withRespectTo: inputs.filter { b.type($0).dtype.isFloating })
    }
    #expect(try Graph.parse(b.graph.text) == b.graph)
  }

  @Test("random graphs read back as they were", arguments: 0..<20)
  func randomRoundTrip(seed: Int) throws {
    let graph = randomGraph(seed: UInt64(seed))
    #expect(try Graph.parse(graph.text) == graph)
  }

  /// Odd names, places, dimensions and numbers.
  private func oddGraph() throws -> Graph {
    var b = GraphBuilder(name: "odd name")
    let size = try #require(Dim(symbol: "B").multiplied(by: 2)?.subtracting(Dim(symbol: "…0"))?.adding(1))
    b.location = Location(path: "a dir/f:1.ltm", line: 3, column: 9)
    let x = b.input("0.weight", TensorType(.float, [size, 3]), role: .parameter)
    b.location = Location(path: "a.ltm:2:3", line: 1, column: 1)
    let number = b.constant(-.infinity, TensorType(.bf16, []))
    b.scope = "say \"hi\"\n:1:2"
    b.location = nil
    let late = b.input("late", TensorType(.bf16, []), role: .control)
    b.reason = "because \\ of\u{1F}é"
    b.output("a b", b.add(number, late), updates: "late")
    b.output("tail", x)
    b.scope = "a.b"
    _ = b.constant(.leastNonzeroMagnitude, TensorType(.f64, []))
    _ = b.dimension(size, .i32)
    _ = b.make(
      .contract, [number, late],
      [
        "lhs_batch": .ints([]), "rhs_batch": .ints([]), "lhs_contract": .ints([]), "rhs_contract": .ints([]),
        "dtype": .dtype(.f32),
      ])
    _ = b.constant(-0.0, TensorType(.f64, []))
    return b.graph
  }

  @Test("odd names, places and numbers read back as they were")
  func oddRoundTrip() throws {
    let graph = try oddGraph()
    let again = try Graph.parse(graph.text)
    #expect(again == graph)
    #expect(again.text == graph.text)
    #expect(again.nodes.last?.attributes.float("value")?.sign == .minus)
  }

  @Test("the form is the one that is documented")
  func form() throws {
    let text = """
      graph @loss(
        %image: float[B, 64] argument,  // samples/digits.ltm:3:15
        %fc1.weight: float[128, 64] parameter,
      ) -> (
        result: %2,
      ) {
        %2: float[B, 128] = linear(%image, %fc1.weight) {why = "asked"}  // fc1 samples/digits.ltm:7:12
      }

      """
    let graph = try Graph.parse(text)
    #expect(graph.text == text)
    #expect(graph.nodes[2].scope == "fc1")
    #expect(graph.nodes[2].location == Location(path: "samples/digits.ltm", line: 7, column: 12))
    #expect(graph.verify() == [])
  }

  @Test(
    "mistakes are diagnostics with a place",
    arguments: [
      "", "graph", "graph @g(", "graph @g() -> () {", "graph @g() -> (y: %0) {}", "graph @g() -> () {} more",
      "graph @g() -> () { %0: f32[] = exp(%0) }", "graph @g() -> () { %1: f32[] = exp() }",
      "graph @g() -> () { %0: f33[] = exp() }", "graph @g() -> () { %0: f32[] = exq() }",
      "graph @g() -> () { %0: f32[9999999999999999999] = exp() }",
      "graph @g() -> () { %0: f32[4611686018427387904*4] = exp() }",
      "graph @g() -> () { %0: f32[] = exp(%x) }", "graph @g() -> () { %0: f32[] = input() }",
      "graph @g(%x: f32[] argument, %x: f32[] argument,) -> () {}", "graph @g(%x #7: f32[] argument,) -> () {}",
      "graph @g(%x: f32[] weight,) -> () {}", "graph @g() -> () { %0: f32[] = exp() {axis = } }",
      "graph @g() -> () { %0: f32[] = exp() {axis = [0.5]} }", "graph @g() -> () { %0: f32[] = exp() {why = \"a\n} }",
      "graph @g() -> () { %0: f32[] = exp() {why = \"\\q\"} }", "graph @g() -> () { %0: f32[] = exp() // a b c\n}",
      "graph @\u{0}",
    ])
  func mistakes(text: String) {
    #expect(
      performing: { _ = try Graph.parse(text) },
      throws: { error in
        (error as? DiagnosticSet)?.all.first?.span != nil
      })
  }

  @Test("mutated text is an error or a graph, never a trap", arguments: 0..<60)
  func mutations(seed: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    var graph = seed == 0 ? try oddGraph() : randomGraph(seed: UInt64(seed))
    for _ in 0..<fuzzRounds(30) {
      var bytes = Array(graph.text.utf8)
      for _ in 0..<Int.random(in: 1...3, using: &random) { mutate(&bytes, &random) }
      guard let parsed = try? Graph.parse(String(decoding: bytes, as: UTF8.self)) else { continue }
      #expect(try Graph.parse(parsed.text) == parsed)
      // What parses and verifies can be bound, evaluated, differentiated and printed.
      guard parsed.verify(stage: [.afterCasts, .bound]).isEmpty else { continue }
      graph = parsed
      _ = try? parsed.bound(["B": 3])
      if parsed.values.allSatisfy({ isSmall(parsed[$0].type) }) {
        _ = try? parsed.evaluate(randomInputs(parsed, seed: 1))
      }
    }
  }

  private func isSmall(_ type: TensorType) -> Bool { (type.staticShape.flatMap { elementCount($0) } ?? .max) < 10_000 }

  private func mutate(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
    let at = Int.random(in: 0..<bytes.count, using: &random)
    switch Int.random(in: 0..<4, using: &random) {
    case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
    case 1: bytes.remove(at: at)
    case 2: bytes[at] = Array("0123456789-[]%,\"".utf8).randomElement(using: &random) ?? 48
    default:
      let end = min(bytes.count, at + Int.random(in: 1...30, using: &random))
      bytes.insert(contentsOf: bytes[at..<end], at: Int.random(in: 0..<bytes.count, using: &random))
    }
  }
}
