import LTMIR

/// How a run uses its half format: a row of properties, as Apex named them.
///
/// Four rows come with the language; a level of your own is a plain value made from one of them:
///
///     var level = OptLevel.O2
///     level.keepInFloat32 = ["head"]
///     Trainer(precision: .sixteen, ampLevel: level)
public struct OptLevel: Sendable, Hashable {
  /// A cast of the whole model, of its inputs or of its outputs.
  public enum Cast: String, Sendable, Hashable, CaseIterable {
    /// None.
    case asIs = "as-is"
    /// To f32; to f64 in a run with precision 64.
    case f32
    /// To fp16 or bf16.
    case half
  }

  /// What it is called in reports.
  public var name: String
  /// What parameters, and the ops between them, are cast to.
  public var castModel: Cast
  /// Whether each op runs in the dtype of its class (autocast).
  public var castOps: Bool
  /// Whether parameters and statistics of normalisations stay f32; `nil` where the classes decide.
  public var keepNormalizationInFloat32: Bool?
  /// Whether the optimizer updates f32 copies of half parameters; `nil` where parameters are f32 anyway.
  public var masterWeights: Bool?
  /// The loss scale.
  public var lossScale: LossScaling
  /// What floating arguments are cast to.
  public var inputs: Cast
  /// What floating results are cast to.
  public var outputs: Cast
  /// Layers that stay f32, by path: `head`, `blocks.*.norm1`, `**.norm`. A `*` stands for one name, `**` for any number of
  /// them; a path stands for all below it.
  public var keepInFloat32: [String]
  /// Ops that another class than their own applies to.
  public var opClasses: [Op: PrecisionClass]

  /// A level of your own; what is left out is as in O0.
  public init(
    name: String, castModel: Cast = .f32, castOps: Bool = false, keepNormalizationInFloat32: Bool? = nil,
    masterWeights: Bool? = nil, lossScale: LossScaling = .off, inputs: Cast = .f32, outputs: Cast = .f32,
    keepInFloat32: [String] = [], opClasses: [Op: PrecisionClass] = [:]
  ) {
    self.name = name
    self.castModel = castModel
    self.castOps = castOps
    self.keepNormalizationInFloat32 = keepNormalizationInFloat32
    self.masterWeights = masterWeights
    self.lossScale = lossScale
    self.inputs = inputs
    self.outputs = outputs
    self.keepInFloat32 = keepInFloat32
    self.opClasses = opClasses
  }

  /// Everything in f32.
  public static let O0 = OptLevel(name: "O0", castModel: .f32, masterWeights: false)
  /// f32 parameters; each op in the dtype of its class.
  public static let O1 = OptLevel(
    name: "O1", castModel: .asIs, castOps: true, lossScale: .dynamic, inputs: .asIs, outputs: .asIs)
  /// A half model with f32 normalisation and f32 master weights.
  public static let O2 = OptLevel(
    name: "O2", castModel: .half, keepNormalizationInFloat32: true, masterWeights: true, lossScale: .dynamic,
    inputs: .half, outputs: .f32)
  /// Everything in half.
  public static let O3 = OptLevel(
    name: "O3", castModel: .half, keepNormalizationInFloat32: false, masterWeights: false, inputs: .half, outputs: .f32)

  /// The four rows.
  public static let standard: [OptLevel] = [.O0, .O1, .O2, .O3]

  /// Whether anything runs in half.
  public var usesHalf: Bool {
    castModel == .half || castOps || inputs == .half || outputs == .half || opClasses.values.contains(.half)
  }
}
