import LTMIR
import LTMSupport
import OpCases
import Testing

/// Indices outside of what they point into: known before a run, checked as they are given, or counted.
@Suite struct IndexTests {
  private static let table = TensorType(.f32, [4, 2])

  private func gather(_ make: (inout GraphBuilder) -> ValueID) -> Graph {
    var b = GraphBuilder(name: "g")
    let table = b.input("table", Self.table, role: .parameter)
    let indices = make(&b)
    b.output("result", b.make(.gather, [table, indices], ["axis": .int(0)]))
    return b.graph
  }

  private func iota(_ b: inout GraphBuilder, _ size: Dim) -> ValueID {
    b.make(.iota, [], ["shape": .dims([size]), "axis": .int(0), "dtype": .dtype(.i32)])
  }

  @Test("known indices: inside, at the end, below, in a view, of a symbolic size")
  func known() {
    func count(_ make: (inout GraphBuilder) -> ValueID) -> Int { gather(make).knownIndexProblems.count }
    #expect(count { iota(&$0, 4) } == 0)
    #expect(count { iota(&$0, 5) } == 1)
    #expect(count { b in b.sub(iota(&b, 4), b.constant(1, TensorType(.i32, [4]))) } == 1)
    #expect(count { b in b.slice(iota(&b, 8), axis: 0, from: 2, to: 4) } == 0)
    #expect(count { b in b.broadcast(b.slice(iota(&b, 8), axis: 0, from: 3, to: 5), to: [4096, 4096, 2]) } == 1)
    #expect(count { b in iota(&b, Dim(symbol: "T")) } == 0)
    #expect(count { b in b.input("i", TensorType(.i32, [3]), role: .argument) } == 0)
  }

  @Test func messageSaysHowManyOfWhich() {
    let problem = gather { iota(&$0, 8) }.knownIndexProblems.first?.message
    #expect(problem == "'gather' has 4 rows, and 4 of its 8 indices are outside: 4, ...")
  }

  @Test("labels and scatters are read as indices too")
  func siblings() throws {
    var b = GraphBuilder(name: "g")
    let logits = b.input("x", TensorType(.f32, [5, 3]), role: .argument)
    b.output("loss", try b.apply(.crossEntropy, [logits, iota(&b, 5)]))
    let updates = b.input("u", TensorType(.f32, [5, 3]), role: .argument)
    let table = b.input("t", TensorType(.f32, [4, 3]), role: .argument)
    b.output("sum", try b.apply(.scatterAdd, [table, iota(&b, 5), updates], ["axis": .int(0)]))
    #expect(b.graph.knownIndexProblems.count == 2)
  }

  @Test("what is proved to be inside is not counted")
  func bounds() {
    func isCounted(_ make: (inout GraphBuilder) -> ValueID) -> Bool { !gather(make).computedIndexReads.isEmpty }
    let type = TensorType(.i32, [3])
    func state(_ b: inout GraphBuilder) -> ValueID { b.input("i", type, role: .state) }
    #expect(isCounted { state(&$0) })
    #expect(isCounted { b in b.add(b.input("i", type, role: .argument), b.constant(1, type)) })
    #expect(!isCounted { b in b.reshape(b.input("i", type, role: .argument), to: [3, 1]) })
    #expect(!isCounted { iota(&$0, 4) })
    #expect(
      !isCounted { b in b.make(.maximum, [b.make(.minimum, [state(&b), b.constant(3, type)]), b.constant(0, type)]) })
    #expect(isCounted { b in b.make(.minimum, [state(&b), b.constant(3, type)]) })
    #expect(
      isCounted { b in b.make(.maximum, [b.make(.minimum, [state(&b), b.constant(4, type)]), b.constant(0, type)]) })
    #expect(!isCounted { b in b.cast(b.input("u", TensorType(.bool, [3]), role: .state), to: .i32) })
    #expect(isCounted { b in b.cast(b.input("u", TensorType(.u8, [3]), role: .state), to: .i32) })
    for (classes, counted) in [(4, false), (5, true)] {
      let isRight = isCounted { b in
        let scores = b.input("s", TensorType(.f32, [3, Dim(classes)]), role: .argument)
        return b.make(.argmax, [scores], ["axis": .int(1), "keep": .bool(false)])
      }
      #expect(isRight == counted)
    }
  }

  @Test("the count is of indices below and above", arguments: [DType.i32, .i64])
  func counts(dtype: DType) throws {
    let graph = gather { b in
      let given = b.input("i", TensorType(dtype, [2, 3]), role: .state)
      return b.add(given, b.constant(1, TensorType(dtype, [2, 3])))
    }
    let counting = graph.countingOutside
    #expect(counting.verify(stage: [.bound, .afterCasts]) == [] && counting.countingOutside == counting)
    let table = try #require(Tensor([0, 1, 2, 3, 4, 5, 6, 7], shape: [4, 2], dtype: .f32))
    let indices = try #require(Tensor([-2, -1, 0, 2, 3, 90], shape: [2, 3], dtype: dtype))
    let results = try counting.evaluate(["table": table, "i": indices])
    #expect(results[Graph.outsideCount(0)]?.data == [3])
    #expect(results["result"]?.data == [0, 1, 0, 1, 2, 3, 6, 7, 6, 7, 6, 7])
  }
}
