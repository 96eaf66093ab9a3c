import LTMIR

/// The element types of ONNX, by their numbers in a file.
enum ElementType: Int32, Sendable {
  case float = 1
  case uint8, int8, uint16, int16, int32, int64, string, bool, float16, double, uint32, uint64, complex64, complex128
  case bfloat16

  /// What ONNX calls it.
  var name: String { "\(self)" }

  /// The dtype that holds its values here; `nil` where none does. ONNX's `float` is the float whose precision a run decides;
  /// every other one is pinned.
  var carrier: DType? {
    switch self {
    case .float: .float
    case .double: .f64
    case .float16: .f16
    case .bfloat16: .bf16
    case .int32, .int16, .int8, .uint16: .i32
    case .int64, .uint32, .uint64: .i64
    case .uint8: .u8
    case .bool: .bool
    case .string, .complex64, .complex128: nil
    }
  }

  /// Bytes of one element in a file's raw data; `nil` for texts.
  var byteCount: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16, .float16, .bfloat16: 2
    case .float, .int32, .uint32: 4
    case .double, .int64, .uint64, .complex64: 8
    case .complex128: 16
    case .string: nil
    }
  }

  var isFloating: Bool { carrier?.isFloating ?? false }

  var isInteger: Bool {
    switch self {
    case .uint8, .int8, .uint16, .int16, .int32, .int64, .uint32, .uint64: true
    case .float, .string, .bool, .float16, .double, .complex64, .complex128, .bfloat16: false
    }
  }

  /// The least and the greatest integer; `nil` for what is no integer, or has more of them than a double tells apart.
  var range: ClosedRange<Double>? {
    switch self {
    case .uint8: 0...255
    case .int8: -128...127
    case .uint16: 0...65535
    case .int16: -32768...32767
    case .int32: -2_147_483_648...2_147_483_647
    case .uint32: 0...4_294_967_295
    case .float, .int64, .uint64, .string, .bool, .float16, .double, .complex64, .complex128, .bfloat16: nil
    }
  }

  /// The element type that a value of this dtype has where a file does not say it.
  init(_ dtype: DType) {
    switch dtype {
    case .float, .f32: self = .float
    case .f64: self = .double
    case .f16: self = .float16
    case .bf16: self = .bfloat16
    case .i32: self = .int32
    case .i64: self = .int64
    case .u8: self = .uint8
    case .bool: self = .bool
    }
  }
}
