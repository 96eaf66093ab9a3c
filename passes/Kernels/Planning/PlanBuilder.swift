import LTMIR
import LTMKernels
import LTMSupport

/// Makes the steps of grouped nodes, and places their values.
struct PlanBuilder {
  private let grouping: Grouping
  private var order: LaunchOrder
  private var frame = PlanFrame()
  /// Where each stored value lies.
  private var homes: [Int: PlanBufferID] = [:]
  private var inputs: [String: PlanBufferID] = [:]
  private let given: GivenBuffers
  /// The inputs whose old value is gone.
  private var replaced: Set<Int> = []
  /// What each group became.
  private(set) var names: [Int: String] = [:]
  private var fusion: FusionGraph { grouping.fusion }
  private var lowered: LoweredGraph { grouping.fusion.lowered }

  init(_ grouping: Grouping, _ given: GivenBuffers) {
    self.grouping = grouping
    self.given = given
    order = LaunchOrder(grouping)
  }

  mutating func build(_ planner: inout Planner) throws(DiagnosticSet) -> PlannedFrame {
    addInputs()
    let inPlace = order.placeUpdates()
    for node in lowered.nodes.indices where fusion.isCompute[node] { addHome(node, inPlace: inPlace) }
    for group in try order.sorted() {
      defer { names[group] = name(of: frame.steps.last, planner) }
      if case .collective(let form)? = grouping.groups[group].first.map({ lowered.kinds[$0] }) {
        try collective(grouping.groups[group][0], form, &planner.kernels)
      } else if grouping.isControl(group) {
        try loop(grouping.groups[group], &planner)
      } else {
        try launch(grouping.groups[group], inPlace: inPlace, &planner.kernels)
      }
      replaced.formUnion(grouping.groups[group].compactMap { inPlace[$0] })
    }
    for (number, output) in lowered.graph.outputs.enumerated() where output.updates != nil {
      copyUpdate(number, inPlace: inPlace, &planner.kernels)
    }
    placeCollectives(&frame)
    planMemory(&frame)
    return PlannedFrame(frame: frame, activationBytes: activationBytes())
  }

  private func name(of step: PlanStep?, _ planner: Planner) -> String? {
    switch step {
    case .launch(let launch): planner.kernels.all[launch.kernel].name
    case .loop(let loop): planner.bodies[loop.body].name
    case .start, .wait: "collective"
    case nil: nil
    }
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
    guard lowered.outputOf[node] != nil || !readers.isEmpty || lowered.kinds[node].isControl else { return }
    if let input = inPlace[node] {
      homes[node] = homes[input]
    } else if let operand = joinedInPlace(node) {
      homes[node] = homes[operand]
    } else if let number = lowered.outputOf[node], lowered.graph.outputs[number].updates == nil {
      let name = lowered.graph.outputs[number].name
      homes[node] = addBuffer(node, name: name, .output(name))
    } else {
      homes[node] = addBuffer(node, name: "v\(node)", .arena(0))
    }
  }

  private mutating func addBuffer(_ node: Int, name: String, _ place: PlanBuffer.Place) -> PlanBufferID {
    let dtype = lowered.nodes[node].type.dtype
    return add(PlanBuffer(name: name, dtype: dtype, shape: lowered.shapes[node], place: place))
  }

  private mutating func add(_ buffer: PlanBuffer) -> PlanBufferID {
    frame.buffers.append(buffer)
    return PlanBufferID(frame.buffers.count - 1)
  }

  // MARK: Launches

  private mutating func launch(
    _ members: [Int], inPlace: [Int: Int], _ kernels: inout KernelTable
  ) throws(DiagnosticSet) {
    guard let emitted = try? order.emit(members, inPlace: inPlace) else {
      throw DiagnosticSet([
        .internalError(in: "kernel emission", "a group that was emitted before is refused now: \(kernelName(members))")
      ])
    }
    copyBeforePartialWrite(members[0], &kernels)
    var arguments: [PlanBufferID] = []
    for argument in emitted.arguments {
      if case .read(let node) = argument { try requirePresent(node) }
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
    add(emitted.kernel, name: kernelName(members), arguments, results, &kernels)
  }

  /// The proof that nothing reads what an update in place has written over.
  private func requirePresent(_ node: Int) throws(DiagnosticSet) {
    guard replaced.contains(node) else { return }
    throw DiagnosticSet([.internalError(in: "plan", "the old value of \(node) is read after it was replaced")])
  }

  /// What is written in part is a copy of what it was made of, unless it lies there.
  private mutating func copyBeforePartialWrite(_ node: Int, _ kernels: inout KernelTable) {
    guard case .writeAt = lowered.kinds[node], let home = homes[node],
      let source = fusion.holder(of: lowered.nodes[node].operands[0].index).flatMap({ homes[$0] }), source != home
    else { return }
    copy(source, to: home, &kernels)
  }

  private mutating func add(
    _ kernel: Kernel, name: String, _ arguments: [PlanBufferID], _ results: [ValueID], _ kernels: inout KernelTable
  ) {
    var kernel = kernel
    for (number, argument) in arguments.enumerated() {
      let place = frame[argument].place
      if given.constants.contains(place) { kernel.buffers[number].access = .constant }
      kernel.buffers[number].isAligned = !given.unaligned.contains(place)
    }
    let number = kernels.number(of: kernel, name: name) { nameBuffers(&$0, arguments) }
    frame.steps.append(.launch(Launch(kernel: number, arguments: arguments, results: results)))
  }

  /// The names of the first launch's buffers, where they are identifiers and differ.
  private func nameBuffers(_ kernel: inout Kernel, _ arguments: [PlanBufferID]) {
    var taken: Set<String> = []
    for (index, argument) in arguments.enumerated() {
      let name = kernelIdentifier(frame[argument].name)
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
  private mutating func copyUpdate(_ number: Int, inPlace: [Int: Int], _ kernels: inout KernelTable) {
    let output = lowered.graph.outputs[number]
    let node = lowered.outputNodes[number]
    guard inPlace[node] == nil, let name = output.updates, let target = inputs[name], let source = homes[node] else {
      return
    }
    copy(source, to: target, &kernels)
  }

  private mutating func copy(_ source: PlanBufferID, to target: PlanBufferID, _ kernels: inout KernelTable) {
    add(copyKernel(frame[source].dtype, frame[target].shape), name: "copy", [source, target], [], &kernels)
  }

  // MARK: Collectives

  /// The operand of a collective in whose memory the result lies: one that nothing else reads.
  private func joinedInPlace(_ node: Int) -> Int? {
    guard case .collective(.join) = lowered.kinds[node], lowered.outputOf[node] == nil,
      let operand = fusion.holder(of: lowered.nodes[node].operands[0].index), !fusion.isInput(operand),
      lowered.outputOf[operand] == nil, homes[operand] != nil,
      fusion.readers[operand].allSatisfy({ $0 == node || grouping.groupOf[$0] == grouping.groupOf[operand] })
    else { return nil }
    return operand
  }

  /// A collective, begun and waited for at once; it is moved apart when all steps are there.
  private mutating func collective(
    _ node: Int, _ form: CollectiveForm, _ kernels: inout KernelTable
  ) throws(DiagnosticSet) {
    guard let home = homes[node],
      let source = fusion.holder(of: lowered.nodes[node].operands[0].index).flatMap({ homes[$0] })
    else {
      throw DiagnosticSet([.internalError(in: "plan", "what ranks make together of value \(node) is nowhere stored")])
    }
    var part = PlanCollective.Part(buffer: home, elements: 0..<lowered.counts[node], form: form)
    if case .join = form {
      if source != home { copy(source, to: home, &kernels) }
    } else {
      part = PlanCollective.Part(
        buffer: source, elements: 0..<lowered.counts[lowered.nodes[node].operands[0].index], form: form, result: home)
    }
    let collective = PlanCollective(number: node, parts: [part])
    frame.steps += [.start(collective), .wait(collective)]
  }

  // MARK: Loops

  /// The step of an op with a body, after the copies that its carried values start as.
  private mutating func loop(_ members: [Int], _ planner: inout Planner) throws(DiagnosticSet) {
    let node = lowered.nodes[members[0]]
    let operands = try node.operands.map { operand throws(DiagnosticSet) in
      if let holder = fusion.holder(of: operand.index) { try requirePresent(holder) }
      guard let home = fusion.holder(of: operand.index).flatMap({ homes[$0] }) else {
        throw DiagnosticSet([.internalError(in: "plan", "value \(operand) is read by a body and nowhere stored")])
      }
      return home
    }
    let results = resultBuffers(members, node.types)
    let carried = carriedOperands(node)
    for (operand, result) in zip(operands[carried], results) { copy(operand, to: result, &planner.kernels) }
    var step = PlanLoop(body: 0, count: count(of: node), arguments: operands)
    step.isReversed = node.attributes.bool("reversed") ?? false
    step.isCall = node.op != .scan
    step.arguments.replaceSubrange(carried, with: results.prefix(carried.count))
    let replaced = step.isCall ? replacedOperands(operands, results) : [:]
    step.arguments += results.indices.dropFirst(carried.count).filter { replaced[$0] == nil }.map { results[$0] }
    step.body = try planner.body(form(node, step.arguments, replaced))
    let bytes = planner.bodies[step.body].frame.arenaBytes
    if bytes > 0 {
      step.arena = add(PlanBuffer(name: "arena\(members[0])", dtype: .u8, shape: [bytes], place: .arena(0)))
    }
    frame.steps.append(.loop(step))
    copyRepeated(members, results, &planner.kernels)
  }

  private func form(
    _ node: Node, _ arguments: [PlanBufferID], _ replaced: [Int: Int]
  ) throws(DiagnosticSet) -> BodyForm {
    let constants = node.operands.indices.filter { given.constants.contains(frame[arguments[$0]].place) }
    do throws(OpError) {
      var form = try BodyForm(node, constants: Set(constants), replaced: replaced)
      form.unaligned = arguments.map { given.unaligned.contains(frame[$0].place) }
      return form
    } catch { throw DiagnosticSet([error.diagnostic(for: node)]) }
  }

  private func carriedOperands(_ node: Node) -> Range<Int> {
    guard node.op == .scan, let form = try? LoopForm(node) else { return 0..<0 }
    return form.constants..<form.scanned
  }

  private func count(of node: Node) -> Int {
    node.op == .scan ? node.attributes.dim("length")?.constant ?? 0 : 1
  }

  /// The results that lie where an operand does: they were placed so.
  private func replacedOperands(_ operands: [PlanBufferID], _ results: [PlanBufferID]) -> [Int: Int] {
    var replaced: [Int: Int] = [:]
    for (result, buffer) in results.enumerated() { replaced[result] = operands.firstIndex(of: buffer) }
    return replaced
  }

  /// A buffer for each result of an op: where some value has it, else one that nothing reads.
  private mutating func resultBuffers(_ members: [Int], _ types: [TensorType]) -> [PlanBufferID] {
    let known = Dictionary(members.map { (resultIndex($0), $0) }, uniquingKeysWith: { first, _ in first })
    return types.enumerated().map { index, type in
      known[index].flatMap { homes[$0] }
        ?? add(
          PlanBuffer(
            name: "v\(members[0])_\(index)", dtype: type.dtype, shape: type.staticShape ?? [], place: .arena(0)))
    }
  }

  private func resultIndex(_ node: Int) -> Int {
    if case .result(let index) = lowered.kinds[node] { index } else { 0 }
  }

  /// A result that several nodes stand for lies where the first of them does; the others are copies.
  private mutating func copyRepeated(_ members: [Int], _ results: [PlanBufferID], _ kernels: inout KernelTable) {
    for member in members {
      let result = results[resultIndex(member)]
      if let home = homes[member], home != result { copy(result, to: home, &kernels) }
    }
  }

  // MARK: Activations

  /// Bytes of arena buffers with values that the loss depends on and that are read by what it does not: by the backward
  /// pass. Where no output is called `loss`, all arena buffers.
  private func activationBytes() -> Int {
    let arena = homes.filter { if case .arena = frame[$0.value].place { true } else { false } }
    guard let loss = lowered.graph.outputs.first(where: { $0.name == "loss" }) else {
      return arena.values.reduce(0) { $0 + frame[$1].byteCount }
    }
    var isForward = [Bool](repeating: false, count: lowered.nodes.count)
    isForward[loss.value.index] = true
    for index in lowered.nodes.indices.reversed() where isForward[index] {
      for operand in lowered.nodes[index].operands { isForward[operand.index] = true }
    }
    // What a forward body keeps for the backward pass is no part of the loss itself.
    for index in lowered.nodes.indices {
      if case .result = lowered.kinds[index], isForward[lowered.nodes[index].operands[0].index] {
        isForward[index] = true
      }
    }
    return arena.filter { node, _ in isForward[node] && fusion.readers[node].contains { !isForward[$0] } }
      .reduce(0) { $0 + frame[$1.value].byteCount }
  }
}

/// What a frame gets from outside.
struct GivenBuffers {
  /// Inputs that are the same at every run of the frame, unless the caller writes others.
  let constants: Set<PlanBuffer.Place>
  /// Inputs and outputs that may start anywhere.
  let unaligned: Set<PlanBuffer.Place>
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
