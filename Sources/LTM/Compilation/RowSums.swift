import LTMIR
import LTMSupport

extension Graph {
  /// A warning for a loss that adds up its rows: split over several cores, each adds up its own, and the mean over the cores
  /// is less than the sum by their number. `nil` where nothing is added up, or the number of rows is read to divide by it.
  func warningOfRowSums(cores: Int) -> Diagnostic? {
    guard cores > 1 else { return nil }
    let rows = Set(
      inputs.filter { $0.role == .argument }.compactMap { self[$0.value].type.shape.first }.flatMap(\.symbols))
    func isOfRows(_ dim: Dim) -> Bool { !rows.isDisjoint(with: dim.symbols) }
    guard !nodes.contains(where: { $0.op == .dimension && $0.attributes.dim("value").map(isOfRows) ?? false }) else {
      return nil
    }
    let sum = nodes.first { node in
      guard node.op == .sum, let operand = node.operands.first else { return false }
      let shape = self[operand].type.shape
      return (node.attributes.ints("axes") ?? []).contains { shape.indices.contains($0) && isOfRows(shape[$0]) }
    }
    guard let sum else { return nil }
    var warning = Diagnostic(
      .warning,
      "a sum over rows is 1/\(cores) of itself on \(cores) cores, where loss and gradients are means over the cores",
      notes: ["a mean over rows is the same on any number of cores"])
    warning.location = sum.location
    return warning
  }
}
