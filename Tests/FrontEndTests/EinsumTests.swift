import LTMIR
import TestSupport
import Testing

/// `einsum` against sums over all values of its letters, one by one.
@Suite struct EinsumTests {
  private static let sizes: [Character: Int] = ["i": 2, "j": 3, "k": 4, "l": 2, "m": 5, "b": 2]

  @Test(arguments: [
    "ij,jk->ik", "ij,jk", "bij,bjk->bik", "ij->ji", "ij->", "ii->i", "ii", "i,j->ij", "ij,ij->ij", "ij,jk,kl->il",
    "ij,jk,kl,lm->mi", "ij,kj->k", "bij,jk,bk->bi", "iij,j->i", "i,i,i->i", "ijk->ki", "k,ijk,b->jb",
  ])
  func agrees(_ equation: String) throws {
    let sides = equation.split(separator: "-", maxSplits: 1).map { $0.filter { $0 != ">" } }
    let terms = sides[0].split(separator: ",").map(Array.init)
    let all = terms.flatMap { $0 }
    let result =
      equation.contains("->")
      ? Array(sides.count > 1 ? sides[1] : "") : Set(all).filter { c in all.count { $0 == c } == 1 }.sorted()
    let shapes = terms.map { $0.map { Self.sizes[$0] ?? 1 } }
    let parameters = shapes.enumerated().map { "x\($0): \($1)" }.joined(separator: ", ")
    let names = shapes.indices.map { "x\($0)" }.joined(separator: ", ")
    let text = """
      model M {
        func f(\(parameters)) -> \(result.map { Self.sizes[$0] ?? 1 }) { return einsum("\(equation)", \(names)) }
      }
      """
    var random = SeededGenerator(seed: 5)
    let data = shapes.map { shape in
      (0..<shape.reduce(1, *)).map { _ in Double(Int.random(in: -4...4, using: &random)) }
    }
    var inputs: [String: Tensor] = [:]
    for (index, shape) in shapes.enumerated() { inputs["x\(index)"] = Tensor(data[index], shape: shape, dtype: .f32) }
    let found = try #require(try graph(text).evaluate(inputs).values.first)
    #expect(found.data == brute(terms, result, data))
  }

  private func brute(_ terms: [[Character]], _ result: [Character], _ data: [[Double]]) -> [Double] {
    let letters = Set(terms.flatMap { $0 }).sorted()
    var sums = [Double](repeating: 0, count: result.reduce(1) { $0 * (Self.sizes[$1] ?? 1) })
    for number in 0..<letters.reduce(1, { $0 * (Self.sizes[$1] ?? 1) }) {
      var (rest, values): (Int, [Character: Int]) = (number, [:])
      for letter in letters {
        let size = Self.sizes[letter] ?? 1
        values[letter] = rest % size
        rest /= size
      }
      let offset = { (axes: [Character]) in axes.reduce(0) { $0 * (Self.sizes[$1] ?? 1) + (values[$1] ?? 0) } }
      sums[offset(result)] += zip(terms, data).reduce(1) { $0 * $1.1[offset($1.0)] }
    }
    return sums
  }

  @Test("axes that '...' stands for are aligned at their end, and a size of 1 spreads") func ellipsis() throws {
    let text = """
      model M {
        func f(a: [2, 1, 3, 4], b: [5, 4, 2]) -> [2, 5, 3, 2] { return einsum("...ij,...jk->...ik", a, b) }
        func g(a: [2, 1, 3, 4], b: [5, 4, 2]) -> [2, 5, 3, 2] { return matmul(a, b) }
      }
      """
    let a = try #require(Tensor((0..<24).map(Double.init), shape: [2, 1, 3, 4], dtype: .f32))
    let b = try #require(Tensor((0..<40).map { Double($0 % 7) }, shape: [5, 4, 2], dtype: .f32))
    let both = try ["f", "g"].map { try graph(text, entry: $0).evaluate(["a": a, "b": b]).values.first?.data }
    #expect(both[0] == both[1])
  }

  @Test("the cheapest order is found") func order() throws {
    // A vector first: matrices are never multiplied with each other.
    let graph = try graph(
      """
      model M {
        func f(a: [64, 64], b: [64, 64], v: [64]) -> [64] { return einsum("ij,jk,k->i", a, b, v) }
      }
      """)
    #expect(graph.nodes.filter { $0.op == .contract }.allSatisfy { $0.type.shape == [64] })
  }

  @Test(arguments: [
    (#"einsum("ij,jk", x)"#, "the equation has 2 operands, and 1 are given"),
    (#"einsum("ijk->i", x)"#, "'ijk' has 3 axes, and the operand 2"),
    (#"einsum("ij->iz", x)"#, "'z' of the result is no axis of an operand"),
    (#"einsum("ij->ii", x)"#, "an axis occurs twice in the result"),
    (#"einsum("i1->i", x)"#, "'i1' is no list of axes"), (#"einsum("ii->i", x)"#, "the axis 'i' is 2 and 3"),
    (#"einsum("ij->i->j", x)"#, "an equation has one '->'"), ("einsum(x, x)", "'einsum' takes an equation and tensors"),
    (#"einsum("ij->ij")"#, "'einsum' needs operands"),
  ])
  func mistakes(_ call: String, _ message: String) {
    let found = messages { _ = try graph("model M {\n  func f(x: [2, 3]) -> [2, 3] { return \(call) }\n}") }
    #expect(found.contains(message), "\(found)")
  }

  @Test("a slice with a step takes every so many places, of a symbolic axis too") func steps() throws {
    let text = """
      model M {
        func f(x: [7, N]) -> [3, S] { return x[1..<6:2, ..<:3] }
        func g(x: [7, N]) -> [2, N] { return x[-3..<:2] }
        func h(x: [7, N]) -> [] {
          let sizes = [1, 2, 3, 4, 5]
          return sum(x) * (sizes[1..<:2][1])
        }
      }
      """
    let x = try #require(Tensor((0..<35).map(Double.init), shape: [7, 5], dtype: .f32))
    func value(_ entry: String) throws -> [Double]? {
      try graph(text, entry: entry).evaluate(["x": x]).values.first?.data
    }
    #expect(try value("f") == [5, 8, 15, 18, 25, 28])
    #expect(try value("g") == [20, 21, 22, 23, 24, 30, 31, 32, 33, 34])
    #expect(try value("h") == [595 * 4])
    let wrong = messages { _ = try graph("model M {\n  func f(x: [7]) -> [7] { return x[..<:-1] }\n}") }
    #expect(wrong.contains("a step is an Int known at compile time, 1 or more"), "\(wrong)")
  }
}
