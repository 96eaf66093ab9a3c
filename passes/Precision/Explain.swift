import LTMIR
import LTMSupport

/// What precision did to an entry: for each op the dtype it runs in and the rule that chose it, each cast with its reason,
/// and what it all costs.
package struct ExplainReport: Sendable {
  /// One op, in program order.
  package struct Line: Sendable, Hashable {
    /// Where it was written.
    package let location: Location?
    /// The layer.
    package let scope: String
    /// The op; for an input its role and name.
    package let what: String
    /// The type of its result.
    package let type: TensorType
    /// The rule, or a cast's reason.
    package let rule: String
    /// For a cast, the dtype before it.
    package let castFrom: DType?
    /// How often it runs where it stands in a loop; `nil` elsewhere.
    package var rounds: Dim?
  }

  /// The entry's name.
  package let entry: String
  /// The policy that decided.
  package let policy: PrecisionPolicy
  /// Ops and casts.
  package let lines: [Line]
  /// Bytes by use, as a backend allocates them, with the names that a user reads.
  package let bytes: [(name: String, value: Int)]

  /// Explains an entry after casts.
  package init(_ cast: CastResult, policy: PrecisionPolicy, bytes: [(name: String, value: Int)] = []) {
    entry = cast.graph.name
    self.policy = policy
    self.bytes = bytes
    lines = Self.lines(cast, rounds: nil)
  }

  /// A line for each node, and once for each node of a body, whose inputs come in the dtypes `given`.
  private static func lines(_ cast: CastResult, rounds: Dim?, given: [DType] = []) -> [Line] {
    let comes = Dictionary(
      zip(cast.graph.inputs.map(\.value), given), uniquingKeysWith: { first, _ in first })
    let names = Dictionary(
      cast.graph.inputs.map { ($0.value, "\($0.role) \($0.name)") }, uniquingKeysWith: { first, _ in first })
    return cast.graph.nodes.enumerated().flatMap { index, node -> [Line] in
      // What comes into a body has its line outside.
      if rounds != nil, node.op == .input { return [] }
      // So has a cast that was moved out of it.
      if node.op == .cast, comes[node.operands[0]] == node.type.dtype { return [] }
      let from = node.op == .cast ? node.operands.first.map { cast.graph[$0].type.dtype } : nil
      let written = from == nil || node.reason != nil ? nil : "written as a cast"
      let line = Line(
        location: node.location, scope: node.scope, what: names[ValueID(index)] ?? node.op.name, type: node.type,
        rule: node.reason ?? written ?? rule(cast.rules[index], node), castFrom: from, rounds: rounds)
      let times = node.attributes.dim("length") ?? 1
      let dtypes = node.operands.map { cast.graph[$0].type.dtype }
      let all = rounds.flatMap { $0.multiplied(by: times) } ?? times
      return [line] + (cast.bodies[ValueID(index)] ?? []).flatMap { lines($0, rounds: all, given: dtypes) }
    }
  }

  /// Where there was nothing to decide, that is the rule.
  private static func rule(_ rule: String, _ node: Node) -> String {
    rule.isEmpty ? "\(node.type.dtype) is not a float to decide" : rule
  }

  /// How many casts there are.
  package var castCount: Int { lines.count { $0.castFrom != nil } }

  /// The totals with their names, in the order they are shown.
  package var totals: [(name: String, value: Int)] { [("casts", castCount)] + bytes }
}

extension ExplainReport {
  /// Lines for a terminal: place, layer, op, type, rule.
  package var text: String {
    let rows = lines.map { line in
      let what = line.castFrom.map { "cast \($0) to \(line.type.dtype)" } ?? line.what
      return [
        line.location?.description ?? "-", line.scope.isEmpty ? "-" : line.scope, what + line.times, "\(line.type)",
        line.rule,
      ]
    }
    let widths = (0..<4).map { column in rows.map { $0[column].count }.max() ?? 0 }
    let table = rows.map { row in
      let cells = row.prefix(4).enumerated().map { padded($1, widths[$0]) } + [row[4]]
      return trimmed(cells.joined(separator: "  "))
    }
    let sums = totals.map { "  \(padded($0.name, 18)) \($0.value)" }
    return (["\(entry)", "\(policy)", ""] + table + ["", "totals"] + sums).joined(separator: "\n") + "\n"
  }

  /// The same for programs.
  package var json: JSON {
    let ops = lines.map { line in
      JSON.object([
        .init("line", line.location.map { .string($0.description) } ?? .null), .init("scope", .string(line.scope)),
        .init("op", .string(line.what)), .init("dtype", .string(line.type.dtype.rawValue)),
        .init("type", .string(line.type.description)),
        .init("rounds", line.rounds.map { .string($0.description) } ?? .null),
        .init("cast_from", line.castFrom.map { .string($0.rawValue) } ?? .null), .init("rule", .string(line.rule)),
      ])
    }
    return .object([
      .init("entry", .string(entry)), .init("precision", .string(policy.precision.rawValue)),
      .init("level", .string(policy.level.description)), .init("ops", .array(ops)),
      .init("totals", .object(totals.map { .init($0.name, .int($0.value)) })),
    ])
  }
}

private func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}

private func trimmed(_ text: String) -> String {
  var text = text
  while text.last == " " { text.removeLast() }
  return text
}

extension ExplainReport.Line {
  /// ` x 128` in a loop of so many rounds.
  fileprivate var times: String { rounds.flatMap { $0 == 1 ? nil : " x \($0)" } ?? "" }
}
