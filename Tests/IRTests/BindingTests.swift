import LTMIR
import LTMSupport
import Testing

@Suite("binding of dimensions")
struct BindingTests {
  private func mean() throws -> Graph {
    var b = GraphBuilder(name: "g")
    b.location = Location(path: "m.ltm", line: 4, column: 7)
    b.scope = "head"
    let (t, size) = (Dim(symbol: "T"), Dim(symbol: "B"))
    let x = b.input("x", TensorType(.f32, [size, t, 4]), role: .argument)
    let twoT = try #require(t.multiplied(by: 2))
    let y = b.reshape(x, to: [size, twoT, 2])
    b.output("y", try b.apply(.slice, [y], ["axis": .int(1), "start": .dim(1), "limit": .dim(6), "stride": .int(1)]))
    b.output("count", b.dimension(twoT, .f32))
    return b.graph
  }

  @Test("types, attributes and dimension ops become numbers")
  func binds() throws {
    let graph = try mean().bound(["B": 3, "T": 5])
    #expect(graph.verify(stage: .bound) == [])
    #expect(graph[graph.outputs[0].value].type.description == "f32[3, 5, 2]")
    let count = graph[graph.outputs[1].value]
    #expect(count.op == .constant && count.attributes.float("value") == 10)
  }

  @Test("a graph can be bound in part")
  func part() throws {
    let graph = try mean().bound(["T": 5])
    #expect(graph.verify() == [])
    #expect(graph[graph.inputs[0].value].type.description == "f32[B, 5, 4]")
  }

  @Test("what the polynomial could not decide is decided, with the place")
  func late() throws {
    #expect(
      performing: { _ = try mean().bound(["B": 3, "T": 2]) },
      throws: { error in
        let text = (error as? DiagnosticSet)?.description ?? ""
        return text.contains("m.ltm:4:7") && text.contains("1..<6 is empty or outside of a dimension of size 4")
          && text.contains("head")
      })
  }

  @Test(
    "sizes that are not positive, or overflow, are errors", arguments: [["B": 0], ["T": -1], ["B": Int.max, "T": 2]])
  func positive(values: [String: Int]) throws {
    #expect(throws: DiagnosticSet.self) { try mean().bound(values) }
  }

  @Test("arithmetic on sizes binds a symbol where a whole number makes it")
  func solved() throws {
    let t = Dim(symbol: "T")
    let odd = try #require(t.multiplied(by: 2)?.adding(1))
    var b = GraphBuilder(name: "g")
    _ = b.input("x", TensorType(.f32, [odd]), role: .argument)
    _ = b.input("y", TensorType(.f32, [try #require(odd.dividedDown(by: 2)), t]), role: .argument)
    #expect(try b.graph.bindings(["x": [7], "y": [3, 3]]) == ["T": 3])
    #expect(try b.graph.bindings(["x": [7]]) == ["T": 3])
    for (wrong, words) in [([6], "no T makes 2*T+1 that"), ([1], "no T makes 2*T+1 that")] {
      #expect(
        performing: { _ = try b.graph.bindings(["x": wrong]) },
        throws: { ($0 as? DiagnosticSet)?.description.contains(words) ?? false })
    }
    #expect(throws: DiagnosticSet.self) { try b.graph.bindings(["x": [7], "y": [4, 3]]) }
  }

  @Test("quotients that are rounded down are dimensions")
  func quotients() throws {
    let t = Dim(symbol: "T")
    let half = try #require(t.dividedDown(by: 2))
    #expect(half.description == "div(T,2)" && half.symbols == ["T"] && half.constant == nil)
    #expect(t.multiplied(by: 2)?.adding(1)?.dividedDown(by: 2) == t)
    #expect(t.adding(5)?.dividedDown(by: 2)?.description == "div(T+5,2)")
    #expect(t.multiplied(by: 4)?.adding(t)?.dividedDown(by: 5) == t)
    #expect(Dim(-7).dividedDown(by: 2) == -4 && Dim(7).dividedDown(by: -2) == -4 && Dim(7).dividedDown(by: 0) == nil)
    #expect(Dim(Int.min).dividedDown(by: -1) == nil)
    for size in -9...9 {
      #expect(half.bound(["T": size])?.constant == Int((Double(size) / 2).rounded(.down)))
    }
    #expect(half.subtracting(half) == 0)
    #expect(Dim(3).dividedDown(by: t)?.bound(["T": 0]) == nil)
    var b = GraphBuilder(name: "g")
    _ = b.input("x", TensorType(.f32, [half, try #require(half.adding(t)?.dividedDown(by: 3))]), role: .argument)
    _ = b.input("y", TensorType(.f32, [try #require(Dim(symbol: "…0").dividedDown(by: t))]), role: .argument)
    #expect(try Graph.parse(b.graph.text).text == b.graph.text)
    #expect(try Graph.parse(b.graph.text) == b.graph)
    // What nests and multiplies without end is an overflow, not a hang.
    var nested: Dim? = t
    for divisor in 2..<400 {
      nested = nested?.dividedDown(by: Dim(divisor)).flatMap { part in nested.flatMap { part.adding($0) } }
    }
    #expect(nested == nil)
  }

  @Test("sizes of inputs bind symbols, and must agree")
  func bindings() throws {
    var b = GraphBuilder(name: "g")
    let size = Dim(symbol: "B")
    _ = b.input("x", TensorType(.f32, [size, 4]), role: .argument)
    _ = b.input("y", TensorType(.i32, [size]), role: .argument)
    #expect(try b.graph.bindings(["x": [2, 4], "y": [2]]) == ["B": 2])
    for wrong in [["x": [2, 4], "y": [3]], ["x": [2, 5], "y": [2]], ["x": [2], "y": [2]]] {
      #expect(throws: DiagnosticSet.self) { try b.graph.bindings(wrong) }
    }
  }

  @Test("inputs that do not fit are errors, never traps")
  func wrongInputs() throws {
    var b = GraphBuilder(name: "g")
    let x = b.input("x", TensorType(.f32, [Dim(symbol: "B"), 2]), role: .argument)
    b.output("y", b.exp(x))
    #expect(throws: DiagnosticSet.self) { try b.graph.evaluate([:]) }
    let integers = try #require(Tensor(zeros: [2, 2], dtype: .i32))
    #expect(throws: DiagnosticSet.self) { try b.graph.evaluate(["x": integers]) }
    let shape = try #require(Tensor(zeros: [2, 3], dtype: .f32))
    #expect(throws: DiagnosticSet.self) { try b.graph.evaluate(["x": shape]) }
  }
}
