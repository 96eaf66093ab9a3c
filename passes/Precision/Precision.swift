import LTMIR
import LTMSupport

/// The number format that a run is asked for: `--precision 16|bf16|32|64`.
public enum Precision: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// fp16 beside f32; on a TPU 16 means bf16.
  case sixteen = "16"
  /// bfloat16 beside f32.
  case bf16 = "bf16"
  /// Everything in f32.
  case thirtyTwo = "32"
  /// Everything in f64.
  case sixtyFour = "64"

  /// Reads the flag's value.
  public init(parsing text: String) throws(Diagnostic) {
    guard let precision = Precision(rawValue: text) else {
      let names = Self.allCases.map(\.rawValue)
      // `16-mixed` and `bf16-true` are Lightning's.
      let (format, isMixed) = (String(text.prefix { $0 != "-" }), text.hasSuffix("-mixed"))
      let likely = Self.foreign[format] ?? (names.contains(format) ? format : suggestion(for: text, among: names))
      throw Diagnostic(
        .error, "unknown precision '\(text)'" + (likely.map { "; did you mean '\($0)'?" } ?? ""),
        notes: ["the precisions are \(names.joined(separator: ", "))"]
          + (isMixed ? ["how it is mixed with f32 is the opt level: O1, the default, to O3"] : []))
    }
    self = precision
  }

  private static let foreign = [
    "fp16": "16", "f16": "16", "float16": "16", "half": "16", "bfloat16": "bf16", "b16": "bf16", "fp32": "32",
    "f32": "32", "float32": "32", "fp64": "64", "f64": "64", "float64": "64", "double": "64",
  ]

  /// The dtype of what is not half: parameters at O1, losses, masters.
  public var full: DType { self == .sixtyFour ? .f64 : .f32 }

  /// Whether the run has a 16-bit format beside the full one.
  public var hasHalf: Bool {
    switch self {
    case .sixteen, .bf16: true
    case .thirtyTwo, .sixtyFour: false
    }
  }

  /// The opt level when none is asked for: O1 where there is a half format, O0 where there is none.
  public var defaultLevel: OptLevel { hasHalf ? .O1 : .O0 }

  /// The flag's value.
  public var description: String { rawValue }
}
