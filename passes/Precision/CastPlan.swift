import LTMIR
import LTMSupport

/// For each node of a graph, the dtype it runs in and the rule that chose it. No op is named here: what an op wants is its
/// row's precision class.
struct CastPlan {
  let graph: Graph
  let policy: PrecisionPolicy
  /// The dtype that a node with an undecided float runs in; `nil` where there is none to choose.
  private(set) var run: [DType?]
  /// The words for it.
  private(set) var rules: [String]
  /// Literals, compile-time scalars and what is computed from them alone: they take their reader's dtype.
  private(set) var isWeak: [Bool]
  private(set) var diagnostics = DiagnosticSet()
  /// For each value the rule that keeps it in full precision for what it is for; `nil` where none does.
  private(set) var statistics: [String?]
  /// Scalars that a result is made of.
  private var isScalarResult: [Bool]
  /// For the body of an op, the dtypes that its inputs come in; its results are as they come.
  private let bodyInputs: [DType?]?
  /// The ops with bodies, decided.
  private(set) var decidedBodies: [ValueID: DecidedBodies] = [:]
  private let kept: [PathPattern]
  private let users: [[ValueID]]

  init(_ graph: Graph, _ policy: PrecisionPolicy, body inputs: [DType?]? = nil, stateOutputs: Set<Int> = []) {
    bodyInputs = inputs
    self.graph = graph
    self.policy = policy
    run = Array(repeating: nil, count: graph.nodes.count)
    rules = Array(repeating: "", count: graph.nodes.count)
    isWeak = Array(repeating: false, count: graph.nodes.count)
    statistics = Array(repeating: nil, count: graph.nodes.count)
    isScalarResult = isWeak
    kept = policy.level.keepInFloat32.map { PathPattern($0) }
    users = graph.users()
    findWeak()
    statistics =
      Statistics(graph, users: users, isWeak: isWeak, policy: policy, stateOutputs: stateOutputs) {
        readsStatistic($0, $1)
      }.rules
    if policy.level.outputs != .half, !isBody { findScalarResults() }
    planInputs()
    let painting = policy.half != nil && policy.level.castOps ? Painting(self) : nil
    for value in graph.values where graph[value].op != .input { decide(value, painting) }
    if policy.half != nil { moveCastsAboveViews() }
    if !isBody { warnOfUnmatchedPatterns() }
  }

  /// Whether a pass may choose anything about the node: it makes or reads an undecided float.
  func isUndecided(_ value: ValueID) -> Bool {
    let node = graph[value]
    return node.type.dtype == .float || node.operands.contains { graph[$0].type.dtype == .float }
  }

  /// The dtype that a value will have.
  func dtype(_ value: ValueID) -> DType {
    graph[value].type.dtype == .float ? run[value.index] ?? policy.full : graph[value].type.dtype
  }

  /// The class that applies to a node, overrides included.
  func precisionClass(_ node: Node) -> PrecisionClass {
    policy.level.opClasses[node.op] ?? node.op.definition.precision
  }

  /// Whether the node stands in a layer that stays f32.
  func isKept(_ node: Node) -> Bool { kept.contains { $0.matches(node.scope) } }

  /// The floating operands that have a dtype of their own.
  func strongOperands(_ node: Node) -> [ValueID] {
    node.operands.filter { graph[$0].type.dtype.isFloating && !isWeak[$0.index] }
  }

  /// The operands whose dtype the class looks at.
  func decisiveOperands(_ node: Node) -> [ValueID] {
    let strong = strongOperands(node)
    switch precisionClass(node) {
    case .follow, .never, .normalization: return Array(strong.prefix(1))
    case .half, .float32, .widest, .loss, .banned: return strong
    }
  }

  /// Whether the graph is the body of an op.
  var isBody: Bool { bodyInputs != nil }

  /// The dtype that a node needs an operand in; `nil` where any will do.
  func need(_ user: ValueID, operand index: Int) -> DType? {
    let node = graph[user]
    let operand = node.operands[index]
    if let bodies = decidedBodies[user] { return bodies.operands[index] }
    // The operand is all results of an op, of which the first may have another dtype.
    if node.op == .result { return nil }
    guard isUndecided(user), node.op != .cast, graph[operand].type.dtype.isFloating else { return nil }
    if graph[user].type.dtype.isFloating, graph[user].type.dtype != .float {
      return graph[operand].type.dtype == .float ? graph[user].type.dtype : nil
    }
    let dtype = run[user.index] ?? policy.full
    // Half in, f32 parameters and statistics: the row computes in f32 and rounds once.
    if index > 0, dtype.isHalf, precisionClass(node) == .normalization, self.dtype(operand) == policy.full {
      return nil
    }
    return dtype
  }
}

// MARK: - What is weak, and what comes in

extension CastPlan {
  private mutating func findWeak() {
    for (index, node) in graph.nodes.enumerated() where node.type.dtype == .float {
      switch precisionClass(node) {
      case .loss, .banned: continue
      case .half, .float32, .widest, .follow, .normalization, .never:
        let floats = node.operands.filter { graph[$0].type.dtype.isFloating }
        isWeak[index] =
          node.op != .input && !node.op.isControl && !node.op.readsKey && floats.allSatisfy { isWeak[$0.index] }
        if isWeak[index] { rules[index] = "a literal or compile-time scalar takes its reader's dtype" }
      }
    }
  }

  private mutating func planInputs() {
    for (index, input) in graph.inputs.enumerated() {
      let declared = graph[input.value].type.dtype
      guard declared == .float else {
        if declared.isFloating { rules[input.value.index] = "pinned to \(declared)" }
        continue
      }
      let given = bodyInputs.flatMap { $0.indices.contains(index) ? $0[index] : nil }
      let (dtype, rule) = given.map { ($0, "as it comes in") } ?? inputRule(input)
      run[input.value.index] = dtype
      rules[input.value.index] = rule
    }
  }

  private func inputRule(_ input: GraphInput) -> (DType, String) {
    let level = policy.level
    switch input.role {
    case .argument:
      guard let dtype = policy.dtype(level.inputs) else {
        return (policy.full, "\(level.name) leaves arguments as they are")
      }
      return (dtype, "\(level.name) casts arguments to \(dtype)")
    case .parameter:
      let dtype = policy.dtype(level.castModel) ?? policy.full
      guard dtype.isHalf else { return (dtype, "\(level.name) keeps parameters in \(dtype)") }
      if kept.contains(where: { $0.matches(input.name) }) { return (policy.full, "keep-f32") }
      if level.keepNormalizationInFloat32 == true, let rule = statistics[input.value.index] {
        return (policy.full, rule)
      }
      return (dtype, "\(level.name) casts parameters to \(dtype)")
    case .cache:
      let half = level.castOps || level.castModel == .half ? policy.half : nil
      if kept.contains(where: { $0.matches(input.name) }) { return (policy.full, "keep-f32") }
      return (half ?? policy.full, "\(level.name) computes in \(half ?? policy.full)")
    case .master, .state, .optimizerState, .control:
      return (policy.full, "state is \(policy.full)")
    }
  }

  /// Whether a node, or a body of it, reads the operand beside the first of a normalisation.
  private func readsStatistic(_ node: Node, _ operand: ValueID) -> Bool {
    guard node.op.hasBodies else {
      return precisionClass(node) == .normalization && node.operands.dropFirst().contains(operand)
    }
    return node.bodies.contains { body in
      let plan = CastPlan(body, policy, body: [])
      return zip(node.operands, body.inputs).contains { $0 == operand && plan.statistics[$1.value.index] != nil }
    }
  }

  /// A scalar result is a loss or a metric. In f16 a loss scale of 2^16 would be infinite where the gradient starts.
  private mutating func findScalarResults() {
    let results = Set(graph.outputs.filter { $0.updates == nil }.map(\.value))
    for value in graph.values.reversed() where graph[value].type.rank == 0 {
      isScalarResult[value.index] =
        results.contains(value) || users[value.index].contains { isScalarResult[$0.index] }
    }
  }

  private mutating func warnOfUnmatchedPatterns() {
    let scopes = graph.scopes.union(graph.inputs.map(\.name))
    for (pattern, text) in zip(kept, policy.level.keepInFloat32) where !scopes.contains(where: { pattern.matches($0) })
    {
      diagnostics.add(
        Diagnostic(
          .warning,
          "keep-f32: no layer of '\(graph.name)' matches '\(text)'"
            + (suggestion(for: text, among: scopes.filter { !$0.isEmpty }.sorted()).map { "; did you mean '\($0)'?" }
              ?? "")))
    }
  }
}

// MARK: - What each op runs in

extension CastPlan {
  private mutating func decide(_ value: ValueID, _ painting: Painting?) {
    let node = graph[value]
    if node.op.hasBodies { return decideBodies(value) }
    if node.op == .result, let index = node.attributes.int("index"), node.type.dtype == .float {
      let types = decidedBodies[node.operands[0]]?.node.types ?? []
      let own = graph[node.operands[0]].op.hasBodies ? policy.full : dtype(node.operands[0]).accumulator
      run[value.index] = types.indices.contains(index) ? types[index].dtype : own
      rules[value.index] = "a result of \(graph[node.operands[0]].op.name)"
      return
    }
    guard isUndecided(value), !isWeak[value.index] else {
      if node.type.dtype.isFloating, !isWeak[value.index] { rules[value.index] = "pinned to \(node.type.dtype)" }
      return
    }
    if node.type.dtype.isFloating, node.type.dtype != .float {
      (run[value.index], rules[value.index]) = (node.type.dtype, "pinned to \(node.type.dtype)")
      return
    }
    let (dtype, rule) = choose(value, node, painting)
    let wide = pinnedOperands(value).reduce(dtype, DType.widest)
    (run[value.index], rules[value.index]) =
      wide == dtype ? (dtype, rule) : (wide, "an operand is pinned, and \(dtype) would narrow it")
  }

  /// The dtypes of the operands that the file has pinned. A normalisation's parameters in full precision are read as they
  /// are, whatever it runs in.
  private func pinnedOperands(_ value: ValueID) -> [DType] {
    let node = graph[value]
    return node.operands.enumerated().compactMap { index, operand in
      let dtype = graph[operand].type.dtype
      guard dtype.isFloating, dtype != .float else { return nil }
      return index > 0 && dtype == policy.full && precisionClass(node) == .normalization ? nil : dtype
    }
  }

  /// The results of an op with a body that feed a state.
  private func stateResults(of value: ValueID) -> Set<Int> {
    let others = users[value.index].filter { graph[$0].op == .result && statistics[$0.index] != nil }
    let own = statistics[value.index] == nil ? [] : [0]
    return Set(own + others.compactMap { graph[$0].attributes.int("index") })
  }

  private mutating func decideBodies(_ value: ValueID) {
    let node = graph[value]
    guard node.bodies.contains(where: { $0.hasUndecided }) else { return }
    let given = node.operands.map { operand -> DType? in isWeak[operand.index] ? nil : dtype(operand) }
    do throws(DiagnosticSet) {
      let decided = try DecidedBodies(node, operands: given, stateOutputs: stateResults(of: value), policy)
      for warning in decided.diagnostics.all { diagnostics.add(warning) }
      run[value.index] = decided.node.type.dtype
      rules[value.index] = "what its body gives"
      decidedBodies[value] = decided
    } catch {
      for diagnostic in error.all { diagnostics.add(diagnostic) }
    }
  }

  private mutating func choose(_ value: ValueID, _ node: Node, _ painting: Painting?) -> (DType, String) {
    let dtypes = decisiveOperands(node).map { dtype($0) }
    let name = policy.level.name
    if dtypes.contains(.f64), policy.full != .f64 { return (.f64, "f64 is never narrowed") }
    guard let half = policy.half, policy.level.castOps || policy.level.castModel == .half else {
      return (policy.full, "\(name): everything is \(policy.full)")
    }
    if isKept(node) { return (policy.full, "keep-f32") }
    if let rule = statistics[value.index] { return (policy.full, rule) }
    let own = precisionClass(node)
    let overridden = policy.level.opClasses[node.op] != nil
    if isScalarResult[value.index], !overridden, own != .banned, own != .loss {
      return (policy.full, "a scalar result is \(policy.full)")
    }
    let origin = overridden ? "op-class \(own.rawValue)" : "\(name), class \(own.rawValue)"
    switch own {
    case .loss: return (policy.full, "a loss is \(policy.full) at every level")
    case .banned:
      rejectHalf(node, dtypes)
      return (policy.full, origin)
    case .half: return (half, origin)
    case .float32 where policy.level.castOps || overridden: return (policy.full, origin)
    case .normalization where policy.level.castOps: return (policy.full, origin)
    case .widest, .float32:
      if let painting, painting.isBetweenAllowed(value) { return (half, "\(origin), between two ops in \(half)") }
      return (dtypes.reduce(dtypes.first ?? policy.full, DType.widest), origin)
    case .follow, .normalization, .never:
      if let painting, painting.isBetweenAllowed(value) { return (half, "\(origin), between two ops in \(half)") }
      return (dtypes.first ?? policy.full, origin)
    }
  }

  private mutating func rejectHalf(_ node: Node, _ dtypes: [DType]) {
    guard let half = dtypes.first(where: \.isHalf) else { return }
    var diagnostic = Diagnostic(
      .error, "\(node.op.name) on \(half): its logarithm overflows where a probability rounds to 0 or 1",
      notes: [
        "use bce_with_logits on the values before the sigmoid, which is safe in 16 bits",
        "or write @f32 { ... } around the probabilities and the loss",
      ])
    diagnostic.location = node.location
    diagnostics.add(diagnostic)
  }

  /// A view of an f32 value that only half ops read is taken of the half value instead: the same numbers, a cast that
  /// other readers of the value can share, and half the bytes.
  private mutating func moveCastsAboveViews() {
    let results = Set(graph.outputs.map(\.value))
    for value in graph.values.reversed() where graph[value].type.dtype == .float && !results.contains(value) {
      let node = graph[value]
      guard isView(node), !isWeak[value.index], run[value.index] == policy.full, !isKept(node),
        !users[value.index].isEmpty, let half = commonNeed(value), half.isHalf
      else { continue }
      run[value.index] = half
      rules[value.index] = "a view that only \(half) ops read"
    }
  }

  private func isView(_ node: Node) -> Bool {
    if case .structural = node.op.definition.lowering, node.op != .cast, node.operands.count == 1 { return true }
    return false
  }

  /// The dtype that every reader needs the value in.
  private func commonNeed(_ value: ValueID) -> DType? {
    var common: DType?
    for user in users[value.index] {
      for (index, operand) in graph[user].operands.enumerated() where operand == value {
        guard let dtype = need(user, operand: index), common == nil || common == dtype else { return nil }
        common = dtype
      }
    }
    return common
  }
}
