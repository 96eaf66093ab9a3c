/// The element types of tensors.
public enum DType: String, Sendable, CaseIterable, Hashable, CustomStringConvertible {
  /// A float whose precision the opt level has yet to decide. No graph past `insert-casts` holds one.
  case float
  case f16, bf16, f32, f64
  case i32, i64, u8
  case bool

  /// Bytes of one element in memory; a bool is one byte. `float` counts as f32.
  public var byteCount: Int {
    switch self {
    case .bool, .u8: 1
    case .f16, .bf16: 2
    case .float, .f32, .i32: 4
    case .f64, .i64: 8
    }
  }

  /// Whether values are floating point, `float` included.
  public var isFloating: Bool {
    switch self {
    case .float, .f16, .bf16, .f32, .f64: true
    case .i32, .i64, .u8, .bool: false
    }
  }

  /// Whether this is one of the 16-bit floats.
  public var isHalf: Bool { self == .f16 || self == .bf16 }

  /// The dtype that reductions and contractions over this one accumulate in, and that scalar arithmetic runs in.
  public var accumulator: DType {
    switch self {
    case .f16, .bf16, .f32, .float: .f32
    case .f64: .f64
    case .i32, .u8, .bool: .i32
    case .i64: .i64
    }
  }

  /// The widest of two floats: f16 with bf16 is f32.
  public static func widest(_ a: DType, _ b: DType) -> DType {
    if a == b { return a }
    if a == .f64 || b == .f64 { return .f64 }
    return .f32
  }

  /// The dtype's name in `.ltm` and in the IR.
  public var description: String { rawValue }
}
