import LTMGraphPasses
import LTMIR
import LTMPrecision
import LTMSupport

// The words of precision, so that `import LTM` is all a user needs.

/// See `LTMPrecision.Precision`: `.sixteen`, `.bf16`, `.thirtyTwo`, `.sixtyFour`.
public typealias Precision = LTMPrecision.Precision
/// See `LTMPrecision.OptLevel`: `.O0` to `.O3`, or a value of your own.
public typealias OptLevel = LTMPrecision.OptLevel
/// See `LTMPrecision.OptLevelSetting`: one property of a level, overridden.
public typealias OptLevelSetting = LTMPrecision.OptLevelSetting
/// See `LTMPrecision.LossScaling`.
public typealias LossScaling = LTMPrecision.LossScaling
/// See `LTMPrecision.DynamicScaling`: the numbers of a dynamic loss scale.
public typealias DynamicScaling = LTMPrecision.DynamicScaling
/// See `LTMPrecision.NonfinitePolicy`.
public typealias NonfinitePolicy = LTMPrecision.NonfinitePolicy
/// See `LTMPrecision.PrecisionPolicy`: a precision and a level with every property decided.
public typealias PrecisionPolicy = LTMPrecision.PrecisionPolicy
/// See `LTMIR.Tensor`: an array in host memory.
public typealias Tensor = LTMIR.Tensor
/// See `LTMIR.Op`: an op of the graph, `.softmax` say.
public typealias Op = LTMIR.Op
/// See `LTMIR.PrecisionClass`: how an op chooses the dtype it runs in.
public typealias PrecisionClass = LTMIR.PrecisionClass
/// See `LTMIR.DType`.
public typealias DType = LTMIR.DType
/// The exit status of a mistake in ltm itself.
public let internalErrorStatus = LTMSupport.internalErrorStatus
/// See `LTMSupport.Diagnostic`: one message with its place and remedy.
public typealias Diagnostic = LTMSupport.Diagnostic
/// See `LTMSupport.Notes`: what is worth a word though nothing failed.
public typealias Notes = LTMSupport.Notes

extension PrecisionPolicy {
  /// Decides every property from words, as the command line gives them.
  public init(
    precision: String, level: String?, overrides: [(name: String, value: String)] = [], onNonfinite: String? = nil,
    sixteen: DType = .f16
  ) throws(LTMError) {
    self = try reporting {
      let settings = try overrides.map { try OptLevelSetting($0.name, $0.value) }
      guard let nonfinite = onNonfinite else {
        return try PrecisionPolicy(
          Precision(parsing: precision), level: level.map { try OptLevel(parsing: $0) }, overrides: settings,
          sixteen: sixteen)
      }
      guard let policy = NonfinitePolicy(rawValue: nonfinite) else {
        throw Diagnostic(.error, "--on-nonfinite is stop or skip, not '\(nonfinite)'")
      }
      return try PrecisionPolicy(
        Precision(parsing: precision), level: level.map { try OptLevel(parsing: $0) }, overrides: settings,
        onNonfinite: policy, sixteen: sixteen)
    }
  }
}
/// What training computes again in the backward pass.
public typealias Recomputation = LTMGraphPasses.Recomputation
