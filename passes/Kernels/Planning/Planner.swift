import LTMIR
import LTMKernels
import LTMSupport

/// Turns a concrete graph (bound, cast, decomposed) into kernels and the memory they run in.
///
/// - Parameters:
///   - fuse: whether values share kernels. With one kernel for each value, the plan is what fusion is compared with.
///   - epilogueReductions: whether contractions may reduce what they compute: a choice of the target.
///   - keepsOrder: whether the order of a sum depends on its length alone, and not on how many there are.
///   - takesAttention: whether the target has a form for it; else it becomes products and a softmax.
package func buildPlan(
  _ graph: Graph, fuse: Bool = true, epilogueReductions: Bool = true, keepsOrder: Bool = false,
  takesAttention: Bool = true
) throws(DiagnosticSet) -> Plan {
  let graph = takesAttention ? graph : graph.decomposed(keepsWhole: false)
  var planner = Planner(fuse: fuse, epilogueReductions: fuse && epilogueReductions && !keepsOrder)
  planner.splits = !keepsOrder
  return try planner.plan(graph)
}

/// What the frames of one plan share: each kernel and each body is there once.
struct Planner {
  let fuse: Bool
  let epilogueReductions: Bool
  /// Whether long reductions that leave few results are cut in two.
  var splits = true
  var kernels = KernelTable()
  private(set) var bodies: [PlanBody] = []
  private var bodyNumbers: [BodyForm: Int] = [:]
  /// What goes through memory, where that is asked for.
  var borders: [FusionBorder]?

  init(fuse: Bool, epilogueReductions: Bool) {
    self.fuse = fuse
    self.epilogueReductions = epilogueReductions
  }

  /// The plan of a whole graph.
  mutating func plan(_ graph: Graph) throws(DiagnosticSet) -> Plan {
    let graph = fuse ? try outlineRepeats(graph, epilogueReductions: epilogueReductions) : graph
    let planned = try plan(graph, GivenBuffers(constants: graph.unchangingInputs, unaligned: []), name: graph.name)
    var plan = Plan(name: graph.name)
    (plan.kernels, plan.bodies) = (kernels.all, bodies)
    (plan.frame, plan.activationBytes) = (planned.frame, planned.activationBytes)
    return plan
  }

  /// The steps of a graph.
  mutating func plan(
    _ graph: Graph, _ given: GivenBuffers, name: String
  ) throws(DiagnosticSet) -> PlannedFrame {
    let graph = shareRectified(graph)
    // Reductions that shall be epilogue reductions are not cut; those that turn out to be none are, after all.
    var whole = epilogueReductions ? epilogueCandidates(graph) : []
    while true {
      let split = splits ? splitReductions(graph, except: whole) : (graph: graph, moved: graph.values)
      var grouping = try Grouping(LoweredGraph(split.graph), fuse: fuse, epilogueReductions: epilogueReductions)
      let missed = whole.filter { !grouping.epilogueReductions(split.moved[$0].index) }
      if missed.isEmpty {
        var builder = PlanBuilder(grouping, given)
        let planned = try builder.build(&self)
        if let others = borders { borders = others + grouping.borders(in: name, names: builder.names) }
        return planned
      }
      whole.subtract(missed)
    }
  }

  /// The number of a body, which is planned when it is first seen.
  mutating func body(_ form: BodyForm) throws(DiagnosticSet) -> Int {
    if let known = bodyNumbers[form] { return known }
    var frame = try plan(form.updatingGraph, form.given, name: form.name).frame
    form.replacePlaces(in: &frame)
    bodies.append(PlanBody(name: "b\(bodies.count)_\(form.name)", parameters: form.parameters, frame: frame))
    bodyNumbers[form] = bodies.count - 1
    return bodies.count - 1
  }
}

/// Steps and the memory that they need.
struct PlannedFrame {
  var frame: PlanFrame
  var activationBytes: Int
}

/// Distinct kernels with their numbers.
struct KernelTable {
  private(set) var all: [Kernel] = []
  private var numbers: [String: Int] = [:]

  /// The number of the kernel that computes the same, or of this one, which then gets a name and a number.
  mutating func number(of kernel: Kernel, name: String, _ prepare: (inout Kernel) -> Void) -> Int {
    let identity = kernel.identity
    if let known = numbers[identity] { return known }
    var kernel = kernel
    kernel.name = "k\(all.count)_\(name)"
    prepare(&kernel)
    numbers[identity] = all.count
    all.append(kernel)
    return all.count - 1
  }
}

extension Graph {
  /// Inputs that are the same at every run, unless the caller writes others: weights that no output updates.
  fileprivate var unchangingInputs: Set<PlanBuffer.Place> {
    let updated = Set(outputs.compactMap(\.updates))
    return Set(
      inputs.filter { [.parameter, .state].contains($0.role) && !updated.contains($0.name) }.map { .input($0.name) })
  }
}
