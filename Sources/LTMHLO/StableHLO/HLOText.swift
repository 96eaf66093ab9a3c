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
    if self == .float { internalFailure("stablehlo", "an undecided float is left") }
    return switch format.numbers {
    case .float, .signed: rawValue
    case .unsigned: "ui\(format.bits)"
    case .truth: "i1"
    }
  }

  /// The word that a comparison of such operands needs.
  var comparisonKind: String {
    switch format.numbers {
    case .float: "FLOAT"
    case .signed: "SIGNED"
    case .unsigned, .truth: "UNSIGNED"
    }
  }

  /// Bits of the exponent and of the mantissa; `nil` for what is no float.
  var floatFormat: (exponent: Int, mantissa: Int)? { format.float }

  /// A number as an element, rounded to this dtype.
  func literal(_ value: Double) -> String {
    let rounded = round(value)
    switch format.numbers {
    case .truth: return rounded != 0 ? "true" : "false"
    case .signed, .unsigned: return "\(Int64(rounded))"
    case .float:
      if !rounded.isFinite { return bits(rounded) }
      return self == .f64 ? pointed("\(rounded)") : decimal(rounded)
    }
  }

  /// The least and the greatest value of an integer.
  var integerLimits: ClosedRange<Int64> { format.integers }

  /// Infinities and NaN are written as bits.
  private func bits(_ value: Double) -> String {
    let digits = String(format.bits(ofNonFinite: value), radix: 16, uppercase: true)
    return "0x" + String(repeating: "0", count: format.bits / 4 - digits.count) + digits
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
