import LTMKernels
import LTMLLVM
import LTMPTX
import LTMPrecision
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
    let whole = Compilation(
      model: model, policy: policy, entry: entry, isTrainingStep: entry == model.settings?.minimize?.value,
      dimensions: dimensions, tpuCores: tpuCores)
    switch target {
    case .cpu: return TargetChoices(cpu: try whole.plan())
    case .cuda: return try whole.cudaChoices(architecture ?? Self.architectures[0])
    case .tpu: return TargetChoices(stableHLO: try whole.stableHLOText(), policy)
    case .interpreter:
      return TargetChoices(
        title: "target interpreter: ops one by one in f64, each result rounded to its dtype", columns: ["op"], rows: [])
    }
  }

  private func cudaChoices(_ architecture: String) throws(LTMError) -> TargetChoices {
    let launches = try launches(for: architecture)
    let ptx = try reporting { try emitDevice(launches.plan.kernels, as: .ptx, launches.architecture) }
    return TargetChoices(cuda: launches, PTXEntry.read(ptx))
  }
}

extension TargetChoices {
  fileprivate init(cpu plan: Plan) {
    let profile = TargetProfile.host
    self.init(
      title:
        "target cpu: \(profile.cpu), \(profile.vectorBytes * 8)-bit vectors; \(plan.launches.count) launches, arena "
        + "\(plan.arenaBytes) bytes",
      columns: ["kernel", "strategy", "tasks", "lines"],
      rows: plan.launches.map { launch in
        let kernel = plan.kernels[launch.kernel]
        let schedule = schedule(kernel, profile)
        return [kernel.name, schedule.name, "\(schedule.taskCount)", lines(of: kernel)]
      })
  }

  fileprivate init(cuda launches: LaunchPlan, _ entries: [String: PTXEntry]) {
    let plan = launches.plan
    self.init(
      title: "target cuda: code for \(launches.architecture.rawValue); \(plan.launches.count) launches, arena "
        + "\(plan.arenaBytes) bytes",
      columns: ["kernel", "grid", "block", "shared bytes", "instructions", "strategy", "lines"],
      rows: launches.launched.map { launch, entry in
        let (schedule, code) = (entry.schedule, entries[entry.symbol] ?? PTXEntry())
        return [
          entry.symbol, "\(schedule.grid)", "\(schedule.block)", "\(code.sharedBytes + schedule.sharedBytes)",
          code.instructions, schedule.summary, lines(of: plan.kernels[launch.kernel]),
        ]
      })
  }

  fileprivate init(stableHLO text: String, _ policy: PrecisionPolicy) {
    let narrowed = text.matches(of: /stablehlo\.reduce_precision/).count
    let half = policy.half.map { "16 bits are \($0)" } ?? "no 16 bits"
    let products = text.matches(
      of: /stablehlo\.(dot_general|convolution) .*?precision = \[(\w+), \w+\].* : \((.*)\) -> (\S+) loc\((.*)\)/)
    self.init(
      title: "target tpu: \(half); products have f32 sums; \(narrowed) casts narrow, each behind a reduce_precision",
      columns: ["product", "precision", "operands", "result", "lines"],
      rows: products.map { match in
        let place = String(match.5).firstMatch(of: /"([^"]+)":(\d+):(\d+)/).map { "\($0.1):\($0.2)" } ?? "-"
        return [String(match.1), String(match.2), String(match.3), String(match.4), place]
      })
  }
}

private func lines(of kernel: Kernel) -> String {
  var seen = Set<String>()
  return kernel.locations.map { "\($0.path):\($0.line)" }.filter { seen.insert($0).inserted }.joined(separator: " ")
}

/// What the PTX of a kernel says of it.
private struct PTXEntry {
  var sharedBytes = 0
  /// What moves and multiplies matrices.
  var instructions = "-"

  /// The entries of a module, by name.
  static func read(_ ptx: String) -> [String: PTXEntry] {
    var entries: [String: PTXEntry] = [:]
    for section in ptx.split(separator: ".entry ").dropFirst() {
      var entry = PTXEntry()
      for match in section.matches(of: /\.shared \.align \d+ \.b8 \S+?\[(\d+)\]/) {
        entry.sharedBytes += Int(match.1) ?? 0
      }
      var names: [String] = []
      for match in section.matches(of: /\n\s+((?:wgmma\.mma_async|mma\.sync|ldmatrix|cp\.async\.c[ag])[\w.]*)/) {
        // `mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32` is told by its shape and operands.
        let parts = match.1.split(separator: ".")
        let shape = parts.first { $0.hasPrefix("m") && $0.contains("n") && $0.contains("k") }
        let name =
          parts[0] == "ldmatrix"
          ? "ldmatrix"
          : parts[0] == "cp"
            ? "cp.async"
            : ([parts[0]] + [shape, parts.dropLast().last].compactMap { $0 }).joined(separator: ".")
        if !names.contains(name) { names.append(name) }
      }
      if !names.contains(where: { $0.contains("mma") }), let fma = section.firstMatch(of: /fma\.rn\.f(32|64)/) {
        names.append("fma.f\(fma.1)")
      }
      entry.instructions = names.isEmpty ? "-" : names.sorted().joined(separator: " ")
      entries[String(section.prefix { $0 != "(" })] = entry
    }
    return entries
  }
}
