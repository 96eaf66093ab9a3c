import LTMKernelPasses
import LTMSupport

extension Compilation {
  /// For every value that goes through memory from one kernel to another, why they are not one kernel: a table for a
  /// terminal.
  public func fusion(for target: Target = .cpu) throws(LTMError) -> String {
    let rows = try borders(target).map { border in
      [
        border.from, border.to, "\(border.op.name) \(border.type)",
        border.location.map { "\($0.path):\($0.line)" } ?? "-", border.words,
      ]
    }
    let head = "\(rows.count) values go through memory from one kernel to another"
    if rows.isEmpty { return head + "\n" }
    return head + "\n" + textTable([["from", "to", "value", "line", "why"]] + rows, leftAligned: [0, 1, 2, 3, 4]) + "\n"
  }

  /// The same as JSON.
  public func fusionJSON(for target: Target = .cpu) throws(LTMError) -> String {
    let rows = try borders(target).map { border -> JSON in
      .object([
        .init("frame", .string(border.frame)), .init("from", .string(border.from)), .init("to", .string(border.to)),
        .init("op", .string(border.op.name)), .init("type", .string(border.type.description)),
        .init("line", border.location.map { .string("\($0.path):\($0.line)") } ?? .null),
        .init("why", .string(border.words)),
      ])
    }
    return JSON.object([.init("borders", .array(rows))]).text(indent: 2)
  }

  private func borders(_ target: Target) throws(LTMError) -> [FusionBorder] {
    let graph = try withItsStep.lowered()
    return try reporting { try fusionBorders(graph, epilogueReductions: target != .cuda) }
  }
}

extension FusionBorder {
  fileprivate var words: String { obstacle?.words ?? "they could be one; other kernels took what is around them" }
}
