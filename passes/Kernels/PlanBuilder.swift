import LTMIR
import LTMKernels
import LTMSupport

/// Turns a concrete graph (bound, cast, decomposed) into kernels and the memory they run in.
///
/// - Parameters:
///   - fuse: whether values share kernels. With one kernel for each value, the plan is what fusion is compared with.
///   - epilogue reductions: whether contractions may reduce what they compute: a choice of the target.
package func buildPlan(_ graph: Graph, fuse: Bool = true, epilogueReductions: Bool = true) throws(DiagnosticSet) -> Plan
{
  let graph = shareRectified(graph)
  // Reductions that shall be epilogue reductions are not cut; those that turn out to be none are, after all.
  var whole = fuse && epilogueReductions ? epilogueCandidates(graph) : []
  while true {
    let split = splitReductions(graph, except: whole)
    let grouping = try Grouping(LoweredGraph(split.graph), fuse: fuse, epilogueReductions: fuse && epilogueReductions)
    let missed = whole.filter { !grouping.epilogueReductions(split.moved[$0].index) }
    if missed.isEmpty {
      var builder = PlanBuilder(grouping)
      return try builder.build()
    }
    whole.subtract(missed)
  }
}

private struct PlanBuilder {
  private let grouping: Grouping
  private var order: LaunchOrder
  private var plan: Plan
  private var kernelNumbers: [String: Int] = [:]
  /// Where each stored value lies.
  private var homes: [Int: PlanBufferID] = [:]
  private var inputs: [String: PlanBufferID] = [:]
  /// Inputs that are the same at every run, unless the caller writes others: weights that no output updates.
  private let constants: Set<PlanBuffer.Place>
  private var fusion: FusionGraph { grouping.fusion }
  private var lowered: LoweredGraph { grouping.fusion.lowered }

  init(_ grouping: Grouping) {
    self.grouping = grouping
    order = LaunchOrder(grouping)
    let graph = grouping.fusion.lowered.graph
    plan = Plan(name: graph.name)
    let updated = Set(graph.outputs.compactMap(\.updates))
    let weights = graph.inputs.filter { [.parameter, .state].contains($0.role) && !updated.contains($0.name) }
    constants = Set(weights.map { .input($0.name) })
  }

  mutating func build() throws(DiagnosticSet) -> Plan {
    addInputs()
    let inPlace = order.placeUpdates()
    for node in lowered.nodes.indices where fusion.isCompute[node] { addHome(node, inPlace: inPlace) }
    for group in try order.sorted() { try launch(grouping.groups[group], inPlace: inPlace) }
    for (number, output) in lowered.graph.outputs.enumerated() where output.updates != nil {
      copyUpdate(number, inPlace: inPlace)
    }
    planMemory(&plan)
    plan.activationBytes = activationBytes()
    return plan
  }

  // MARK: Buffers

  private mutating func addInputs() {
    for input in lowered.graph.inputs {
      let id = addBuffer(input.value.index, name: input.name, .input(input.name))
      inputs[input.name] = id
      homes[input.value.index] = id
    }
  }

  private mutating func addHome(_ node: Int, inPlace: [Int: Int]) {
    let readers = fusion.readers[node].filter { grouping.groupOf[$0] != grouping.groupOf[node] }
    guard lowered.outputOf[node] != nil || !readers.isEmpty else { return }
    if let input = inPlace[node] {
      homes[node] = homes[input]
    } else if let number = lowered.outputOf[node], lowered.graph.outputs[number].updates == nil {
      let name = lowered.graph.outputs[number].name
      homes[node] = addBuffer(node, name: name, .output(name))
    } else {
      homes[node] = addBuffer(node, name: "v\(node)", .arena(0))
    }
  }

  private mutating func addBuffer(_ node: Int, name: String, _ place: PlanBuffer.Place) -> PlanBufferID {
    let dtype = lowered.nodes[node].type.dtype
    plan.buffers.append(PlanBuffer(name: name, dtype: dtype, shape: lowered.shapes[node], place: place))
    return PlanBufferID(plan.buffers.count - 1)
  }

  // MARK: Launches

  private mutating func launch(_ members: [Int], inPlace: [Int: Int]) throws(DiagnosticSet) {
    guard let emitted = try? order.emit(members, inPlace: inPlace) else {
      throw DiagnosticSet([
        .internalError(in: "kernel emission", "a group that was emitted before is refused now: \(kernelName(members))")
      ])
    }
    var arguments: [PlanBufferID] = []
    for argument in emitted.arguments {
      let node =
        switch argument {
        case .read(let node), .write(let node): node
        }
      guard let home = homes[node] else {
        throw DiagnosticSet([.internalError(in: "plan", "value \(node) is read and nowhere stored")])
      }
      arguments.append(home)
    }
    let results = members.filter { homes[$0] != nil }.map { ValueID($0) }
    var kernel = emitted.kernel
    for (number, argument) in arguments.enumerated() where constants.contains(plan[argument].place) {
      kernel.buffers[number].access = .constant
    }
    add(kernel, name: kernelName(members), arguments, results)
  }

  private mutating func add(_ kernel: Kernel, name: String, _ arguments: [PlanBufferID], _ results: [ValueID]) {
    let identity = kernel.identity
    let number = kernelNumbers[identity] ?? plan.kernels.count
    if number == plan.kernels.count {
      var kernel = kernel
      kernel.name = "k\(number)_\(name)"
      nameBuffers(&kernel, arguments)
      kernelNumbers[identity] = number
      plan.kernels.append(kernel)
    }
    plan.launches.append(Launch(kernel: number, arguments: arguments, results: results))
  }

  /// The names of the first launch's buffers, where they are identifiers and differ.
  private func nameBuffers(_ kernel: inout Kernel, _ arguments: [PlanBufferID]) {
    var taken: Set<String> = []
    for (index, argument) in arguments.enumerated() {
      let name = kernelIdentifier(plan[argument].name)
      kernel.buffers[index].name = taken.insert(name).inserted ? name : "\(name)_\(index)"
    }
  }

  /// What it is about: the ops that bind, and the last one.
  private func kernelName(_ members: [Int]) -> String {
    var names = members.filter { lowered.kinds[$0].bindsLocal }.prefix(2).map { lowered.nodes[$0].op.name }
    if let last = members.last, !lowered.kinds[last].bindsLocal {
      let op = lowered.nodes[last].op
      names.append(op == .stopGradient ? "copy" : op.name)
    }
    return names.joined(separator: "_")
  }

  /// An update that could not be written in place: its value waits in the arena until nothing reads the old one.
  private mutating func copyUpdate(_ number: Int, inPlace: [Int: Int]) {
    let output = lowered.graph.outputs[number]
    let node = lowered.outputNodes[number]
    guard inPlace[node] == nil, let name = output.updates, let target = inputs[name], let source = homes[node] else {
      return
    }
    add(copyKernel(plan[source].dtype, lowered.shapes[node]), name: "copy", [source, target], [])
  }

  // MARK: Activations

  /// Bytes of arena buffers with values that the loss depends on and that are read by what it does not: by the backward
  /// pass. Where no output is called `loss`, all arena buffers.
  private func activationBytes() -> Int {
    let arena = homes.filter { if case .arena = plan[$0.value].place { true } else { false } }
    guard let loss = lowered.graph.outputs.first(where: { $0.name == "loss" }) else {
      return arena.values.reduce(0) { $0 + plan[$1].byteCount }
    }
    var isForward = [Bool](repeating: false, count: lowered.nodes.count)
    isForward[loss.value.index] = true
    for index in lowered.nodes.indices.reversed() where isForward[index] {
      for operand in lowered.nodes[index].operands { isForward[operand.index] = true }
    }
    return arena.filter { node, _ in isForward[node] && fusion.readers[node].contains { !isForward[$0] } }
      .reduce(0) { $0 + plan[$1.value].byteCount }
  }
}

private func copyKernel(_ dtype: DType, _ shape: [Int]) -> Kernel {
  var kernel = Kernel(name: "copy")
  kernel.buffers = [
    KernelBuffer(name: "from", dtype: dtype, shape: shape, access: .read),
    KernelBuffer(name: "to", dtype: dtype, shape: shape, access: .write),
  ]
  let space = KernelSpace(domain: shape)
  kernel.axes = space.axes
  kernel.domainRank = shape.count
  let index = shape.indices.map { Affine(axis: AxisID($0)) }
  kernel.expressions = [.load(BufferID(0), index.map { .affine($0) }, guards: [], otherwise: 0)]
  kernel.body = [.store(KernelStore(BufferID(1), index, ScalarID(0)))]
  return kernel
}
