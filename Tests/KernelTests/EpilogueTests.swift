import LTMIR
import LTMKernelPasses
import LTMKernels
import TestSupport
import Testing

/// Which reductions of a contraction's result its kernel makes.
@Suite struct EpilogueTests {
  private static let shape = [600, 96]

  /// A product of `[.., m, k]` and `[.., k, n]`, in a graph of its own.
  private func plan(
    _ shape: [Int] = shape, depth: Int = 8, batch: Int? = nil, epilogueReductions: Bool = true,
    _ build: (inout GraphBuilder, ValueID) -> Void
  ) throws -> Plan {
    let outer = batch.map { [$0] } ?? []
    let sample = SampleGraph("epilogueReductions") { b in
      let (x, w) = (
        b.argument("x", .f32, outer + [shape[0], depth]), b.argument("w", .f32, outer + [depth, shape[1]])
      )
      let rank = outer.count
      build(&b, b.contract(x, w, batch: Array(0..<rank), [rank + 1], [rank]))
    }
    let plan = try buildPlan(sample.graph, epilogueReductions: epilogueReductions)
    #expect(plan.verify() == [], "\(plan)")
    let inputs = sample.inputs()
    let (found, wanted) = (try plan.evaluate(inputs, rounding: false), try sample.graph.evaluate(inputs))
    for (name, value) in wanted {
      expectClose(try #require(found[name]), value, .relative(1e-9), "\(name) of \(plan): ")
    }
    return plan
  }

  private func epilogueReductions(_ plan: Plan) -> Int {
    plan.kernels.flatMap(\.body).count { if case .epilogue = $0 { true } else { false } }
  }

  private func isFinite(_ b: inout GraphBuilder, _ value: ValueID) -> ValueID {
    let axes = Array(0..<b.type(value).rank)
    return b.make(.all, [b.make(.isFinite, [value])], ["axes": .ints(axes), "keep": .bool(false)])
  }

  @Test("sums of rows and whole reductions are epilogueReductions, and the matrix is stored where it is read")
  func folded() throws {
    let both = try plan { b, product in
      b.output("sum", b.sum(product, [0]))
      b.output("finite", isFinite(&b, product))
      b.output("product", product)
    }
    #expect(epilogueReductions(both) == 2 && both.launches.count == 1)
    let alone = try plan { b, product in b.output("sum", b.sum(b.mul(product, product), [0, 1])) }
    #expect(epilogueReductions(alone) == 1 && alone.launches.count == 1 && alone.arenaBytes == 0, "\(alone)")
  }

  @Test("another order of launches than the graph's is none of its reasons") func chain() throws {
    let steps = try plan { b, product in
      let sum = b.sum(product, [0])
      b.output("shifted", b.add(product, b.broadcast(sum, to: b.type(product).shape)))
    }
    #expect(epilogueReductions(steps) == 1 && steps.launches.count == 2, "\(steps)")
  }

  @Test("sums of columns, of one batch's rows, of small results, and a plan of a GPU have none") func others() throws {
    #expect(epilogueReductions(try plan { b, product in b.output("sum", b.sum(product, [1])) }) == 0)
    #expect(epilogueReductions(try plan(batch: 2) { b, product in b.output("sum", b.sum(product, [1])) }) == 0)
    #expect(epilogueReductions(try plan(batch: 2) { b, product in b.output("sum", b.sum(product, [0, 1])) }) == 0)
    #expect(epilogueReductions(try plan(batch: 2) { b, product in b.output("sum", b.sum(product, [0, 1, 2])) }) == 1)
    #expect(epilogueReductions(try plan([3, 96]) { b, product in b.output("sum", b.sum(product, [0])) }) == 0)
    #expect(epilogueReductions(try plan([600, 15]) { b, product in b.output("sum", b.sum(product, [0])) }) == 0)
    #expect(epilogueReductions(try plan(depth: 3) { b, product in b.output("sum", b.sum(product, [0])) }) == 0)
    #expect(
      epilogueReductions(
        try plan { b, _ in
          let ones = b.broadcast(b.constant(1, TensorType(.f32, [])), to: [600, 8])
          b.output("sum", b.sum(b.contract(ones, b.argument("v", .f32, [8, 96]), [1], [0]), [0]))
        }) == 0)
    #expect(
      epilogueReductions(try plan(epilogueReductions: false) { b, product in b.output("sum", b.sum(product, [0])) })
        == 0)
  }

  @Test("a reduction that could be a reduction and is none is cut, since one task would make all of it otherwise")
  func cut() throws {
    let late = try plan { b, product in
      let sum = b.sum(product, [0])
      b.output("finite", isFinite(&b, b.add(product, b.broadcast(sum, to: b.type(product).shape))))
    }
    let narrow = try plan([6000, 12]) { b, product in b.output("finite", isFinite(&b, product)) }
    for (plan, count) in [(late, 1), (narrow, 0)] {
      #expect(epilogueReductions(plan) == count)
      let parts = plan.kernels.filter { $0.locals.contains { $0.dtype == .bool } && $0.domainRank > 0 }
      #expect(parts.contains { $0.axes.prefix($0.domainRank).reduce(1) { $0 * $1.extent } > 1 }, "\(plan)")
    }
  }

  @Test("a reduction follows what joins the contraction later") func later() throws {
    let plan = try plan { b, product in
      let root = b.make(.tanh, [product])
      b.output("root", root)
      b.output("product", product)
      b.output("finite", isFinite(&b, root))
    }
    #expect(epilogueReductions(plan) == 1 && plan.launches.count == 1)
  }
}
