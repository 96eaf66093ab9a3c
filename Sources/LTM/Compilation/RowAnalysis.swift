import LTMGraphPasses
import LTMIR

/// What each value of a graph has to do with the rows of a batch.
struct RowAnalysis {
  /// What a value has to do with the rows.
  enum Role: Hashable {
    /// The same whatever the rows are.
    case fixed
    /// Consists, along an axis, of parts that depend on one row each, in order.
    case rows(axis: Int)
    /// A sum over the rows of what depends on one row each, or a mean over them.
    case sum, mean
    /// The number of rows, times a constant.
    case count
    /// Anything else.
    case other
  }

  private(set) var roles: [Role] = []
  private let graph: Graph
  /// The names of the dimension that counts the rows.
  private let names: Set<String>
  /// Those of all results of an op with a body.
  private var results: [ValueID: [Role]] = [:]

  init(_ graph: Graph) {
    self.graph = graph
    let arguments = graph.inputs.filter { $0.role == .argument }
    names = Set(arguments.compactMap { graph[$0.value].type.shape.first?.symbol })
    let places = Set(arguments.map(\.value.index))
    for index in graph.nodes.indices {
      append(role: role(of: graph.nodes[index], isArgument: places.contains(index)), of: index)
    }
    // Rows that are of one size in the file are no parts of anything.
    if arguments.contains(where: { graph[$0.value].type.shape.first?.symbol == nil }) {
      roles = roles.map { _ in .other }
    }
  }

  /// For a body, whose inputs have these roles.
  private init(body: Graph, _ names: Set<String>, inputs: [Role]) {
    (graph, self.names) = (body, names)
    let given = Dictionary(
      zip(body.inputs.map(\.value.index), inputs), uniquingKeysWith: { first, _ in first })
    for index in body.nodes.indices {
      append(role: given[index] ?? role(of: body.nodes[index], isArgument: false), of: index)
    }
  }

  /// Adds a node's role; of an op with a body, those of its further results too.
  private mutating func append(role: Role, of index: Int) {
    let node = graph.nodes[index]
    if node.op.hasBodies { results[ValueID(index)] = bodyRoles(node) }
    switch node.op.definition.lowering {
    case .decompose, .whole: results[ValueID(index)] = compositeRoles(node)
    case .primitive, .reduction, .control, .structural: break
    }
    roles.append(results[ValueID(index)]?.first ?? role)
  }

  // MARK: bodies

  private func bodyRoles(_ node: Node) -> [Role] {
    let operands = node.operands.map { roles[$0.index] }
    guard node.op != .`while`, let body = node.bodies.first else { return node.types.map { _ in .other } }
    guard node.op == .scan else { return outputRoles(body, operands) }
    guard let form = try? LoopForm(node) else { return node.types.map { _ in .other } }
    return scanRoles(form, body, operands, node.types)
  }

  /// Of a composite, by what it is made of.
  private func compositeRoles(_ node: Node) -> [Role] {
    var builder = GraphBuilder(name: "composite")
    var copy = node
    copy.operands = node.operands.enumerated().map { builder.input("x\($0)", type($1), role: .argument) }
    let value = builder.append(copy)
    builder.output("result.0", value)
    for (index, type) in node.furtherTypes.enumerated() {
      let further = Node(.result, [value], ["index": .int(index + 1)], type: type)
      builder.output("result.\(index + 1)", builder.append(further))
    }
    guard let simple = try? GraphPass.decompose.run(builder.graph),
      !simple.nodes.contains(where: { if case .decompose = $0.op.definition.lowering { true } else { false } })
    else { return node.types.map { _ in .other } }
    return outputRoles(simple, node.operands.map { roles[$0.index] })
  }

  private func outputRoles(_ body: Graph, _ inputs: [Role]) -> [Role] {
    let inner = RowAnalysis(body: body, names, inputs: inputs)
    return body.outputs.map { inner.roles[$0.value.index] }
  }

  /// What is carried is what every iteration finds and leaves, so roles are looked for that one more does not change.
  private func scanRoles(_ form: LoopForm, _ body: Graph, _ operands: [Role], _ types: [TensorType]) -> [Role] {
    let slices = operands[form.scanned...].map { role -> Role in
      guard case .rows(let axis) = role else { return role }
      return axis == 0 ? .other : .rows(axis: axis - 1)
    }
    var carried = Array(operands[form.constants..<form.scanned])
    var made: [Role] = []
    for _ in 0...2 * form.carried {
      made = outputRoles(body, operands.prefix(form.constants) + carried + slices)
      let next = zip(carried, made).map { $0 == $1 ? $0 : joined([$0, $1]) }
      if next == carried { break }
      carried = next
    }
    let stacked = zip(made, types).dropFirst(form.carried).map { role, type -> Role in
      switch role {
      case .rows(let axis): .rows(axis: axis + 1)
      case .fixed: filled(type)
      case .sum, .mean: role
      case .count, .other: .other
      }
    }
    return carried + stacked
  }

  private func countsRows(_ dim: Dim) -> Bool { !names.isDisjoint(with: dim.symbols) }

  private func type(_ value: ValueID) -> TensorType { graph[value].type }

  private func role(of node: Node, isArgument: Bool) -> Role {
    let operands = node.operands.map { roles[$0.index] }
    switch node.op {
    case .input: return inputRole(node, isArgument)
    case .result: return results[node.operands[0]]?[node.attributes.int("index") ?? 0] ?? .other
    case .constant: return filled(node.type)
    case .dimension: return node.attributes.dim("value").map(dimensionRole) ?? .other
    case .iota: return node.type.shape.contains(where: countsRows) ? iotaRole(node) : .fixed
    case .stopGradient: return operands[0]
    // To an integer it cuts off what a sum of parts keeps.
    case .cast: return node.type.dtype.isFloating || operands[0] != .mean && operands[0] != .sum ? operands[0] : .other
    case .broadcast: return broadcastRole(node, operands[0])
    case .reshape: return reshapeRole(node, operands[0])
    case .transpose: return moved(operands[0], by: node.attributes.ints("permutation") ?? [])
    // All of an axis, which `..<` says.
    case .slice where node.type == type(node.operands[0]): return operands[0]
    case .slice, .pad, .concat, .argsort, .cumsum: return alongAxis(node, operands)
    case .window: return windowRole(node, alongAxis(node, operands))
    case .argmax, .argmin: return reductionRole(node, operands[0], isSum: false)
    case .gather: return gatherRole(node, operands)
    case .contract: return contractionRole(node, operands)
    // Parts of the rows would be drawn the same numbers.
    case .randomBits: return node.type.shape.contains(where: countsRows) ? .other : .fixed
    default: return loweredRole(node, operands)
    }
  }

  /// By what an op becomes: one primitive an element, or a reduction; anything else is looked at no further.
  private func loweredRole(_ node: Node, _ operands: [Role]) -> Role {
    switch node.op.definition.lowering {
    case .primitive(.neg): operands[0] == .count ? .other : operands[0]
    case .primitive(.add), .primitive(.sub): sumRole(operands)
    case .primitive(.mul): productRole(operands[0], operands[1], isQuotient: false)
    case .primitive(.div): productRole(operands[0], operands[1], isQuotient: true)
    case .primitive: joined(operands)
    case .reduction(let combiner): reductionRole(node, operands[0], isSum: combiner == .add)
    case .decompose, .whole, .control, .structural: operands.allSatisfy { $0 == .fixed } ? filled(node.type) : .other
    }
  }

  // MARK: sources

  private func inputRole(_ node: Node, _ isArgument: Bool) -> Role {
    guard isArgument else { return node.type.shape.contains(where: countsRows) ? .other : .fixed }
    return node.type.shape.dropFirst().contains(where: countsRows) ? .other : .rows(axis: 0)
  }

  /// The same number everywhere.
  private func filled(_ type: TensorType) -> Role {
    let axes = type.shape.indices.filter { countsRows(type.shape[$0]) }
    return axes.isEmpty ? .fixed : axes.count == 1 ? .rows(axis: axes[0]) : .other
  }

  private func dimensionRole(_ dim: Dim) -> Role {
    if !countsRows(dim) { return .fixed }
    guard names.count == 1, let name = names.first, let factor = dim.dividedExactly(by: Dim(symbol: name)) else {
      return .other
    }
    return countsRows(factor) ? .other : .count
  }

  /// Counts along an axis that is not that of the rows.
  private func iotaRole(_ node: Node) -> Role {
    guard case .rows(let axis) = filled(node.type), node.attributes.int("axis") != axis else { return .other }
    return .rows(axis: axis)
  }

  // MARK: arithmetic

  /// Rows along one axis, beside what is the same for all of them; `.other` where they do not agree.
  private func joined(_ operands: [Role]) -> Role {
    var result = Role.fixed
    for operand in operands where operand != .fixed {
      guard case .rows = operand, result == .fixed || result == operand else { return .other }
      result = operand
    }
    return result
  }

  private func sumRole(_ operands: [Role]) -> Role {
    if operands == [.sum, .sum] { return .sum }
    return Set(operands).isSubset(of: [.mean, .fixed]) && operands.contains(.mean) ? .mean : joined(operands)
  }

  private func productRole(_ a: Role, _ b: Role, isQuotient: Bool) -> Role {
    switch (a, b) {
    case (.sum, .fixed), (.mean, .fixed), (.count, .fixed): a
    case (.fixed, .sum) where !isQuotient, (.fixed, .mean) where !isQuotient, (.fixed, .count) where !isQuotient: b
    case (.sum, .count) where isQuotient: .mean
    case (.mean, .count) where !isQuotient, (.count, .mean) where !isQuotient: .sum
    default: joined([a, b])
    }
  }

  // MARK: shapes

  private func broadcastRole(_ node: Node, _ operand: Role) -> Role {
    let axes = node.attributes.ints("axes") ?? []
    switch operand {
    case .fixed: return filled(node.type)
    case .rows(let axis):
      guard axes.indices.contains(axis) else { return .other }
      let others = node.type.shape.indices.filter { $0 != axes[axis] && countsRows(node.type.shape[$0]) }
      return others.isEmpty ? .rows(axis: axes[axis]) : .other
    case .sum, .mean, .count: return node.type.shape.contains(where: countsRows) ? .other : operand
    case .other: return .other
    }
  }

  /// Rows that lie first stay together: `[B, T, C]` as `[B * T, C]`.
  private func reshapeRole(_ node: Node, _ operand: Role) -> Role {
    guard case .rows(let axis) = operand else { return operand }
    guard let target = node.type.shape.firstIndex(where: countsRows) else { return .other }
    let before = type(node.operands[0]).shape
    let leads = before[..<axis].allSatisfy { $0 == 1 } && node.type.shape[..<target].allSatisfy { $0 == 1 }
    let stays = axis == target && before[...axis].elementsEqual(node.type.shape[...target])
    let isOnly = node.type.shape[(target + 1)...].allSatisfy { !countsRows($0) }
    return (leads || stays) && isOnly ? .rows(axis: target) : .other
  }

  private func moved(_ operand: Role, by permutation: [Int]) -> Role {
    guard case .rows(let axis) = operand else { return operand }
    return permutation.firstIndex(of: axis).map { .rows(axis: $0) } ?? .other
  }

  /// An op along one axis, which must not be that of the rows.
  private func alongAxis(_ node: Node, _ operands: [Role]) -> Role {
    let role = joined(operands)
    guard case .rows(let axis) = role else { return role }
    return node.attributes.int("axis") == axis ? .other : role
  }

  /// Windows make two axes of one.
  private func windowRole(_ node: Node, _ operand: Role) -> Role {
    guard case .rows(let axis) = operand, let own = node.attributes.int("axis") else { return operand }
    return .rows(axis: own < axis ? axis + 1 : axis)
  }

  private func reductionRole(_ node: Node, _ operand: Role, isSum: Bool) -> Role {
    let single = node.attributes.int("axis").map { [$0] }
    let axes = node.attributes.ints("axes") ?? single ?? []
    switch operand {
    case .fixed: return .fixed
    case .sum, .mean: return isSum ? operand : .other
    case .rows(let axis):
      if axes.contains(axis) { return isSum ? .sum : .other }
      let isKept = node.type.rank == type(node.operands[0]).rank
      return .rows(axis: isKept ? axis : axis - axes.count { $0 < axis })
    case .count, .other: return .other
    }
  }

  /// Rows that are not summed over: of one operand by what is the same for all, or of both in pairs.
  private func contractionRole(_ node: Node, _ operands: [Role]) -> Role {
    let ranks = (type(node.operands[0]).rank, type(node.operands[1]).rank)
    guard let axes = try? ContractionAxes(node.attributes, ranks: ranks) else { return .other }
    switch (operands[0], operands[1]) {
    case (.fixed, .fixed): return .fixed
    case (.rows(let axis), .fixed):
      return axes.lhsFree.firstIndex(of: axis).map { .rows(axis: axes.lhsBatch.count + $0) } ?? .other
    case (.fixed, .rows(let axis)):
      let first = axes.lhsBatch.count + axes.lhsFree.count
      return axes.rhsFree.firstIndex(of: axis).map { .rows(axis: first + $0) } ?? .other
    case (.rows(let left), .rows(let right)):
      let pair = axes.lhsBatch.firstIndex(of: left)
      return pair != nil && pair == axes.rhsBatch.firstIndex(of: right) ? .rows(axis: pair ?? 0) : .other
    default: return .other
    }
  }

  /// Rows of a table that is the same for all, or the same places of each row.
  private func gatherRole(_ node: Node, _ operands: [Role]) -> Role {
    let along = node.attributes.int("axis") ?? 0
    switch (operands[0], operands[1]) {
    case (.fixed, .fixed): return .fixed
    case (.fixed, .rows(let axis)): return .rows(axis: along + axis)
    case (.rows(let axis), .fixed) where axis != along:
      return .rows(axis: axis < along ? axis : axis - 1 + type(node.operands[1]).rank)
    default: return .other
    }
  }
}
