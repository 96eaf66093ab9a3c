import LTMIR
import LTMSupport

/// What a run does when a loss or a gradient is not finite. Either way that step changes nothing.
public enum NonfinitePolicy: String, Sendable, Hashable, CaseIterable {
  /// The run ends and names the first op that made it.
  case stop
  /// The step is skipped and the run goes on.
  case skip
}

/// A precision and an opt level with every property decided: what the passes read.
public struct PrecisionPolicy: Sendable, Hashable {
  /// The precision asked for.
  public let precision: Precision
  /// The 16-bit format, where there is one.
  public let half: DType?
  /// The level before overrides.
  public let requested: OptLevel
  /// The level as it runs.
  public let level: OptLevel
  /// What to do when something is not finite.
  public let onNonfinite: NonfinitePolicy
  /// What a user should know; nothing in here stops a run.
  public let warnings: [Diagnostic]
  /// Why a property differs from the level's row, by property.
  private let provenance: [String: String]

  /// Decides every property, or says what contradicts what.
  ///
  /// - Parameters:
  ///   - level: the level; O1 where there is a half format, O0 elsewhere.
  ///   - overrides: properties to change, each on its own; the last of a kind wins.
  ///   - sixteen: what precision 16 means on the target: f16, or bf16 on a TPU.
  public init(
    _ precision: Precision, level: OptLevel? = nil, overrides: [OptLevelSetting] = [],
    onNonfinite: NonfinitePolicy? = nil, sixteen: DType = .f16
  ) throws(DiagnosticSet) {
    let requested = level ?? precision.defaultLevel
    var resolved = requested
    var provenance: [String: String] = [:]
    let half: DType? = precision == .bf16 ? .bf16 : precision == .sixteen ? sixteen : nil
    if half == .bf16, requested.lossScale != .off, OptLevel.standard.contains(requested) {
      resolved.lossScale = .off
      provenance["loss-scale"] = "bf16 has the range of f32"
    }
    for setting in overrides {
      resolved.set(setting)
      provenance[setting.name] = "override"
    }
    var findings = Consistency(
      precision: precision, half: half, requested: requested, level: resolved, overrides: overrides)
    findings.check()
    try findings.diagnostics.throwIfErrors()
    self.precision = precision
    self.half = half
    self.requested = requested
    self.level = resolved
    self.onNonfinite = onNonfinite ?? (resolved.lossScale == .off ? .stop : .skip)
    self.provenance = provenance
    warnings = findings.diagnostics.warnings
  }

  /// Everything undecided in one dtype: how optimizers and schedules are resolved.
  private init(uniform precision: Precision) {
    self.precision = precision
    half = nil
    requested = .O0
    level = .O0
    onNonfinite = .stop
    warnings = []
    provenance = [:]
  }

  /// Everything undecided in f32, or in f64.
  static func uniform(_ dtype: DType) -> PrecisionPolicy {
    PrecisionPolicy(uniform: dtype == .f64 ? .sixtyFour : .thirtyTwo)
  }

  /// Whether the loss scale was asked for, and does not merely follow from the level.
  package var isLossScaleGiven: Bool {
    provenance["loss-scale"] == "override" || !OptLevel.standard.contains(requested)
  }

  /// The dtype of what is not half: f32, or f64 with precision 64.
  public var full: DType { precision.full }

  /// The dtype a cast of the level means; `nil` for none.
  func dtype(_ cast: OptLevel.Cast) -> DType? {
    switch cast {
    case .asIs: nil
    case .f32: full
    case .half: half ?? full
    }
  }

  /// Whether a parameter of that dtype has an f32 copy that the optimizer updates.
  public func needsMaster(_ dtype: DType) -> Bool { dtype.isHalf && level.masterWeights != false }

  /// The dtype in which the optimizer keeps a parameter of that dtype, and its state.
  public func optimizerDType(_ dtype: DType) -> DType { needsMaster(dtype) ? .f32 : dtype }
}

extension PrecisionPolicy: CustomStringConvertible {
  /// Two lines, the level as it was asked for and as it runs, then one line for each property that was changed.
  public var description: String {
    let format = half.map { "\(precision) (\($0))" } ?? "\(precision)"
    var lines = ["asked: precision \(format), \(requested)", "runs:  precision \(format), \(level)"]
    for (before, after) in zip(requested.settings, level.settings) where before != after {
      lines.append(
        "       \(after.name)=\(after.value), not \(before.value): \(provenance[after.name] ?? "level")")
    }
    return lines.joined(separator: "\n")
  }
}
