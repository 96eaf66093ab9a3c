import LTMKernels
import LTMSupport

/// What a target made of an entry or a step: the choices that are its own.
public struct TargetChoices: Sendable {
  /// The target, and what all rows share.
  public let title: String
  /// The columns' names.
  public let columns: [String]
  /// A row for each launch, or, on a TPU, for each product: what else it computes is up to its compiler.
  public let rows: [[String]]

  /// A table for a terminal.
  public var text: String {
    let all = [columns] + rows
    let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    let lines = all.map { row in
      row.enumerated().map { column, cell in
        column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
      }.joined(separator: "  ")
    }
    return ([title] + lines).joined(separator: "\n") + "\n"
  }

  var json: JSON {
    .object([
      .init("title", .string(title)),
      .init(
        "rows", .array(rows.map { row in .object(zip(columns, row).map { .init($0, .string($1)) }) })),
    ])
  }
}

extension Compilation {
  /// The explanation, followed by what a target makes of the entry; of the whole training step for what the `train` block
  /// minimizes.
  public func explanation(on target: Target, architecture: String? = nil) throws(LTMError) -> String {
    try explanation() + "\n" + choices(of: target, architecture: architecture).text
  }

  /// The same as JSON.
  public func explanationJSON(on target: Target, architecture: String? = nil) throws(LTMError) -> String {
    let members = try report().json.members ?? []
    let own = JSON.Member("target", try choices(of: target, architecture: architecture).json)
    return JSON.object(members + [own]).text(indent: 2)
  }

  /// What a target makes of the entry; of the whole training step for what the `train` block minimizes.
  public func choices(of target: Target, architecture: String? = nil) throws(LTMError) -> TargetChoices {
    try target.backend.choices(of: withItsStep, architecture: architecture)
  }

  /// The whole training step, where the entry is what the `train` block minimizes.
  var withItsStep: Compilation {
    Compilation(
      model: model, policy: policy, entry: entry, isTrainingStep: entry == model.settings?.minimize?.value,
      dimensions: dimensions, tpuCores: tpuCores)
  }
}

/// The lines of the `.ltm` that a kernel computes.
func lines(of kernel: Kernel) -> String {
  var seen = Set<String>()
  return kernel.locations.map { "\($0.path):\($0.line)" }.filter { seen.insert($0).inserted }.joined(separator: " ")
}
