import LTMIR
import LTMSupport

// The small parts of the text: types, literals, names, places.

/// `tensor<2x3xbf16>`
struct HLOType: Hashable, CustomStringConvertible {
  var dtype: DType
  var shape: [Int]

  init(_ dtype: DType, _ shape: [Int]) {
    self.dtype = dtype
    self.shape = shape
  }

  /// The type of a value of a bound graph.
  init(_ type: TensorType) {
    guard let shape = type.staticShape else { internalFailure("stablehlo", "\(type) is not bound") }
    self.init(type.dtype, shape)
  }

  func with(_ dtype: DType) -> HLOType { HLOType(dtype, shape) }
  /// The type of one element.
  var scalar: HLOType { HLOType(dtype, []) }

  var description: String { "tensor<\(shape.map { "\($0)x" }.joined())\(dtype.hloName)>" }
}

/// A value of the text.
struct HLOValue: Hashable {
  /// With its `%`.
  var name: String
  let type: HLOType
  var dtype: DType { type.dtype }
}

extension DType {
  /// The element type's name in MLIR.
  var hloName: String {
    switch self {
    case .float: internalFailure("stablehlo", "an undecided float is left")
    case .f16, .bf16, .f32, .f64, .i32, .i64: rawValue
    case .u8: "ui8"
    case .bool: "i1"
    }
  }

  /// The word that a comparison of such operands needs.
  var comparisonKind: String {
    switch self {
    case .float, .f16, .bf16, .f32, .f64: "FLOAT"
    case .i32, .i64: "SIGNED"
    case .u8, .bool: "UNSIGNED"
    }
  }

  /// Bits of the exponent and of the mantissa; `nil` for what is no float.
  var floatFormat: (exponent: Int, mantissa: Int)? {
    switch self {
    case .f16: (5, 10)
    case .bf16: (8, 7)
    case .f32, .float: (8, 23)
    case .f64: (11, 52)
    case .i32, .i64, .u8, .bool: nil
    }
  }

  /// A number as an element, rounded to this dtype.
  func literal(_ value: Double) -> String {
    let rounded = round(value)
    switch self {
    case .bool: return rounded != 0 ? "true" : "false"
    case .i32, .i64, .u8: return "\(Int64(rounded))"
    case .float, .f16, .bf16, .f32: return rounded.isFinite ? decimal(rounded) : bits(rounded)
    case .f64: return rounded.isFinite ? pointed("\(rounded)") : bits(rounded)
    }
  }

  /// The least and the greatest value of an integer.
  var integerLimits: ClosedRange<Int64> {
    switch self {
    case .u8: 0...255
    case .i32: Int64(Int32.min)...Int64(Int32.max)
    case .bool: 0...1
    case .i64, .float, .f16, .bf16, .f32, .f64: Int64.min...Int64.max
    }
  }

  /// Infinities and NaN are written as bits.
  private func bits(_ value: Double) -> String {
    switch self {
    case .f16: value.isNaN ? "0x7E00" : value > 0 ? "0x7C00" : "0xFC00"
    case .bf16: value.isNaN ? "0x7FC0" : value > 0 ? "0x7F80" : "0xFF80"
    case .f64: value.isNaN ? "0x7FF8000000000000" : value > 0 ? "0x7FF0000000000000" : "0xFFF0000000000000"
    case .float, .f32, .i32, .i64, .u8, .bool: value.isNaN ? "0x7FC00000" : value > 0 ? "0x7F800000" : "0xFF800000"
    }
  }
}

/// The shortest digits that a reader who goes through a double turns back into the same f32.
private func decimal(_ value: Double) -> String {
  let short = "\(Float(value))"
  return pointed(Double(short).map { Double(Float($0)) } == value ? short : "\(value)")
}

/// MLIR wants a point in every float: `1.0e-05`.
private func pointed(_ digits: String) -> String {
  guard !digits.contains("."), let exponent = digits.firstIndex(of: "e") else { return digits }
  return "\(digits[..<exponent]).0\(digits[exponent...])"
}

/// `[0, 2, 1]`
func list(_ numbers: [Int]) -> String { "[\(numbers.map(String.init).joined(separator: ", "))]" }

/// A name as an identifier of MLIR: what may not stand in one becomes `_`.
func plainIdentifier(_ name: String) -> String {
  let plain = String(
    String.UnicodeScalarView(
      name.unicodeScalars.map {
        $0.isASCII && ($0.properties.isAlphabetic || "0123456789_.".unicodeScalars.contains($0)) ? $0 : "_"
      }))
  guard let first = plain.unicodeScalars.first, first.properties.isAlphabetic || first == "_" else {
    return "_" + plain
  }
  return plain
}

/// A name as it may stand in a comment.
func commentText(_ name: String) -> String {
  String(String.UnicodeScalarView(name.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "_" : $0 }))
}

/// ` loc("fc1"("digits.ltm":7:12))`: the layer, then the place; empty where neither is known.
func place(of node: Node) -> String {
  let file = node.location.map { "\(quoted($0.path)):\(max(0, $0.line)):\(max(0, $0.column))" }
  guard !node.scope.isEmpty else { return file.map { " loc(\($0))" } ?? "" }
  return " loc(\(quoted(node.scope))\(file.map { "(\($0))" } ?? ""))"
}

private func quoted(_ text: String) -> String {
  var literal = "\""
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): literal += "\\" + String(UnicodeScalar(byte))
    case 0x20..<0x7F: literal += String(UnicodeScalar(byte))
    default: literal += "\\" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }
  }
  return literal + "\""
}
