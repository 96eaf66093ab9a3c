import LTMIR
import LTMSupport

/// What contradicts what among the properties of an opt level: Apex's errors, and the holes that it leaves open.
struct Consistency {
  let precision: Precision
  let half: DType?
  let requested: OptLevel
  let level: OptLevel
  let overrides: [OptLevelSetting]
  private(set) var diagnostics = DiagnosticSet()

  init(precision: Precision, half: DType?, requested: OptLevel, level: OptLevel, overrides: [OptLevelSetting]) {
    self.precision = precision
    self.half = half
    self.requested = requested
    self.level = level
    self.overrides = overrides
  }

  mutating func check() {
    checkHalf()
    checkPerOpCasts()
    checkLossScale()
    checkHoles()
    for path in level.keepInFloat32 where !PathPattern.isValid(path) {
      error("'\(path)' in keep-f32 is no path of layers", "write \(PathPattern.form)")
    }
  }

  private mutating func error(_ message: String, _ notes: String...) {
    diagnostics.add(Diagnostic(.error, message, notes: notes))
  }

  private mutating func warn(_ message: String, _ notes: String...) {
    diagnostics.add(Diagnostic(.warning, message, notes: notes))
  }

  private func overrides(_ name: String) -> Bool { overrides.contains { $0.name == name } }

  private mutating func checkHalf() {
    guard half == nil, level.usesHalf else { return }
    if requested.usesHalf {
      error(
        "\(requested.name) runs in 16 bits, and precision \(precision) has none",
        "use --precision 16 or --precision bf16 with \(requested.name), or O0 with precision \(precision)")
    } else {
      let names = overrides.filter { $0.value == "half" || $0.name == "cast-ops" || $0.name == "op-class" }.map(\.name)
      error("\(names.joined(separator: " and ")) asks for 16 bits, and precision \(precision) has none")
    }
  }

  private mutating func checkPerOpCasts() {
    guard level.castOps else { return }
    if level.castModel != .asIs {
      if requested.castOps {
        error(
          "\(requested.name) casts op by op: the model itself cannot be cast to \(level.castModel.rawValue) as well",
          "leave cast-model out, or use O2 or O3 to cast the model")
      } else {
        error(
          "cast-ops belongs to O1: \(requested.name) casts the model to \(level.castModel.rawValue)",
          "use O1 for casts op by op")
      }
      return
    }
    if level.keepNormalizationInFloat32 != nil {
      error(
        "keep-norm-f32 has no meaning at \(requested.name): casts op by op already run normalisation in f32",
        "leave it out, or use O2")
    }
    if level.masterWeights != nil {
      error(
        "master-weights has no meaning at \(requested.name): its parameters are f32 already",
        "leave it out, or use O2")
    }
  }

  private mutating func checkLossScale() {
    switch level.lossScale {
    case .off: break
    case .static(let scale):
      if !(scale.isFinite && scale >= 0x1p-126 && scale <= 0x1p126) {
        error("a loss scale is a positive number that f32 can hold, not \(scale)")
      }
    case .dynamic(let numbers):
      do throws(Diagnostic) { try numbers.check() } catch { diagnostics.add(error) }
    }
  }

  private mutating func checkHoles() {
    if level.castModel == .half, level.masterWeights == true, level.keepNormalizationInFloat32 != true {
      warn(
        "\(level.name) with keep-norm-f32 off lets the parameters of normalisations go to \(half ?? .f16)",
        "sums are still accumulated in f32, but small changes of scale and bias are rounded away in the forward pass"
      )
    }
    if level.castModel == .half, level.masterWeights != true, overrides("master-weights") {
      warn(
        "without master weights an update smaller than half a unit in the last place of a \(half ?? .f16) weight is lost"
      )
    }
    if level.castModel != .half, level.masterWeights == true, !level.castOps {
      warn("master-weights has no effect at \(level.name): its parameters are \(precision.full) already")
    }
    if half == nil, level.lossScale != .off, overrides("loss-scale") {
      warn(
        "loss-scale=\(level.lossScale) has no use at precision \(precision): it keeps 16-bit gradients from becoming zero",
        "the gradients are scaled and unscaled all the same; leave it out, or use --precision 16")
    }
    if half == .f16, level.usesHalf, level.lossScale == .off, overrides("loss-scale") {
      warn("with the loss scale off, gradients below 3e-8 become zero in f16")
    }
  }
}
