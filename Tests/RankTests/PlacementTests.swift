import LTMIR
import LTMKernelPasses
import LTMKernels
import TestSupport
import Testing

/// Where collectives stand among the steps of a plan.
@Suite("collectives in a plan")
struct PlacementTests {
  /// Two chained products, the sums of whose results all ranks make together.
  private func graph() -> Graph {
    var b = GraphBuilder(name: "sums")
    let x = b.input("x", TensorType(.f32, [64, 64]), role: .argument)
    var attributes: Attributes = [
      "dtype": .dtype(.f32), "lhs_batch": .ints([]), "lhs_contract": .ints([1]), "rhs_batch": .ints([]),
      "rhs_contract": .ints([0]),
    ]
    let sum: Attributes = ["replicas": .int(2), "operation": .word("mean")]
    let first = b.make(.contract, [x, x], attributes)
    let mean = b.make(.allReduce, [first], sum)
    attributes["lhs_contract"] = .ints([0])
    let second = b.make(.contract, [x, x], attributes)
    let other = b.make(.allReduce, [second], sum)
    b.output("a", b.make(.exp, [mean]))
    b.output("b", b.make(.exp, [other]))
    return b.graph
  }

  private func kinds(_ plan: Plan) -> [String] {
    plan.steps.map { step in
      switch step {
      case .launch: "launch"
      case .loop: "loop"
      case .start(let collective): "start \(collective.parts.count)"
      case .wait: "wait"
      }
    }
  }

  @Test func neighboursShareABucketInPlace() throws {
    let plan = try buildPlan(graph())
    #expect(plan.verify() == [])
    #expect(kinds(plan) == ["launch", "launch", "start 2", "wait", "launch", "launch"])
    let arena = plan.buffers.filter { if case .arena = $0.place { true } else { false } }
    #expect(arena.count == 2, "results lie where operands did")
  }

  @Test func whatIsTouchedMeanwhileIsFound() throws {
    var plan = try buildPlan(graph())
    let wait = try #require(plan.steps.firstIndex { if case .wait = $0 { true } else { false } })
    plan.steps.swapAt(wait, wait + 1)
    #expect(plan.verify().contains { $0.hasPrefix("plan_c8") && $0.contains("which ranks join") })
    var open = try buildPlan(graph())
    open.steps.remove(at: wait)
    #expect(open.verify().contains { $0.hasPrefix("plan_c8") && $0.contains("never waited for") })
  }
}
