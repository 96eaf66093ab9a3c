import LTMIR
import LTMSupport

/// A graph in which every dtype is decided, with the rule that decided each.
package struct CastResult: Sendable {
  /// The graph, without `float`.
  package var graph: Graph
  /// For each node of `graph`, why it runs in its dtype; empty where there was nothing to decide.
  package var rules: [String]
  /// For each op with bodies, the same of them.
  package var bodies: [ValueID: [CastResult]]
  /// What a user should know.
  package var warnings: [Diagnostic]
}

/// Decides every undecided float of a graph and puts casts where dtypes meet, each with its reason.
///
/// What has a dtype keeps it, so a second run changes nothing.
package func insertCasts(_ graph: Graph, _ policy: PrecisionPolicy) throws(DiagnosticSet) -> CastResult {
  try insertCasts(CastPlan(graph, policy))
}

/// The same for a body, whose undecided inputs come in these dtypes; its results are as they come.
func insertCasts(
  body: Graph, taking inputs: [DType?], stateOutputs: Set<Int>, _ policy: PrecisionPolicy
) throws(DiagnosticSet) -> CastResult {
  try insertCasts(CastPlan(body, policy, body: inputs, stateOutputs: stateOutputs))
}

private func insertCasts(_ plan: CastPlan) throws(DiagnosticSet) -> CastResult {
  try plan.diagnostics.throwIfErrors()
  var inserter = CastInserter(plan)
  let result = inserter.insert()
  return CastResult(
    graph: result, rules: inserter.rules, bodies: inserter.bodies, warnings: plan.diagnostics.warnings)
}

/// The pass for a policy.
package func insertCastsPass(_ policy: PrecisionPolicy) -> GraphPass {
  GraphPass("insert-casts", "decides every undecided float and puts casts where dtypes meet") {
    (graph) throws(DiagnosticSet) in try insertCasts(graph, policy).graph
  }
}

/// A value in a dtype.
private struct CastKey: Hashable {
  let value: ValueID
  let dtype: DType
}

/// Copies a graph with the dtypes of a plan. A cast is made once for each value and dtype, at its first reader.
private struct CastInserter {
  private let plan: CastPlan
  private var builder: GraphBuilder
  /// The new value of each old one; `nil` for what is weak and was not asked for yet.
  private var values: [ValueID?]
  private var casts: [CastKey: ValueID] = [:]
  private var copies: [CastKey: ValueID] = [:]
  private(set) var rules: [String] = []
  private(set) var bodies: [ValueID: [CastResult]] = [:]

  init(_ plan: CastPlan) {
    self.plan = plan
    builder = GraphBuilder(name: plan.graph.name)
    values = Array(repeating: nil, count: plan.graph.nodes.count)
  }

  mutating func insert() -> Graph {
    for value in plan.graph.values where !plan.isWeak[value.index] {
      let operands = plan.graph[value].operands.indices.map { operand(of: value, $0) }
      values[value.index] = append(value, operands, plan.run[value.index], plan.rules[value.index])
    }
    var graph = Graph(name: plan.graph.name)
    let outputs = plan.graph.outputs.map { output($0) }
    graph.nodes = builder.graph.nodes
    graph.inputs = plan.graph.inputs.map { input in
      GraphInput(name: input.name, role: input.role, value: resolve(input.value, nil))
    }
    graph.outputs = outputs
    return graph
  }

  /// Appends a node with the dtype that its plan gives it.
  private mutating func append(
    _ value: ValueID, _ operands: [ValueID], _ dtype: DType?, _ rule: String
  ) -> ValueID {
    let node = plan.graph[value]
    var copy = plan.decidedBodies[value]?.node ?? node
    copy.operands = operands
    if copy.op.hasBodies {
      rules.append(rule)
      let made = builder.append(copy)
      bodies[made] = plan.decidedBodies[value]?.results
      return made
    }
    if let dtype {
      for (name, value) in node.attributes.entries where value == .dtype(.float) {
        copy.attributes[name] = .dtype(dtype)
      }
    }
    if node.type.dtype == .float {
      copy.type = inferred(copy, dtype ?? plan.policy.full)
      if let further = node.op.definition.further {
        copy.furtherTypes = further.types(operands.map { builder.type($0) }, copy.type, copy.attributes)
      }
    }
    rules.append(rule)
    return builder.append(copy)
  }

  private func inferred(_ node: Node, _ dtype: DType) -> TensorType {
    if node.op.isTypedAtCreation { return node.type.with(dtype) }
    // What cannot be inferred is named by the verifier, which follows (`graph_c6`).
    let inferred = try? node.op.definition.infer(node.operands.map { builder.type($0) }, node.attributes)
    return inferred ?? node.type.with(dtype)
  }

  /// An operand of a node, cast where the node needs it in another dtype.
  private mutating func operand(of user: ValueID, _ index: Int) -> ValueID {
    let need = plan.need(user, operand: index)
    let node = plan.graph[user]
    return resolve(
      node.operands[index], need, "\(node.op.name) runs in \(need?.description ?? ""): \(plan.rules[user.index])",
      for: node)
  }

  /// The new value of an old one, in a dtype. A cast takes the place of its first reader.
  private mutating func resolve(
    _ value: ValueID, _ dtype: DType?, _ reason: String = "", for reader: Node? = nil
  ) -> ValueID {
    guard let strong = values[value.index] else { return copy(value, dtype ?? plan.policy.full) }
    guard let dtype, builder.type(strong).dtype != dtype else { return strong }
    let key = CastKey(value: value, dtype: dtype)
    if let made = casts[key] { return made }
    let place = reader ?? plan.graph[value]
    let cast = Node(
      .cast, [strong], ["dtype": .dtype(dtype)], type: builder.type(strong).with(dtype), location: place.location,
      scope: place.scope, reason: reason)
    rules.append("cast")
    let made = builder.append(cast)
    casts[key] = made
    return made
  }

  /// What is weak, made again in the dtype that its reader needs, with all that it is computed from.
  private mutating func copy(_ value: ValueID, _ dtype: DType) -> ValueID {
    var needed: Set<ValueID> = []
    var pending = [value]
    while let next = pending.popLast() {
      guard plan.isWeak[next.index], copies[CastKey(value: next, dtype: dtype)] == nil, needed.insert(next).inserted
      else {
        continue
      }
      pending += plan.graph[next].operands
    }
    for next in needed.sorted() {
      let node = plan.graph[next]
      let operands = node.operands.map { copies[CastKey(value: $0, dtype: dtype)] ?? resolve($0, nil) }
      copies[CastKey(value: next, dtype: dtype)] = append(next, operands, dtype, plan.rules[next.index])
    }
    return copies[CastKey(value: value, dtype: dtype)] ?? value
  }

  private mutating func output(_ output: GraphOutput) -> GraphOutput {
    let policy = plan.policy
    var result = output
    let isUndecided = plan.graph[output.value].type.dtype == .float
    if let updated = output.updates.flatMap({ plan.graph.input($0) }) {
      let dtype = plan.dtype(updated.value)
      result.value = resolve(output.value, isUndecided ? dtype : nil, "\(updated.name) is \(dtype)")
    } else {
      let dtype = plan.isBody ? nil : policy.dtype(policy.level.outputs)
      result.value = resolve(
        output.value, isUndecided ? dtype : nil, "\(policy.level.name) casts results to \(dtype?.description ?? "")")
    }
    return result
  }
}
