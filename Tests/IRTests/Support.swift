import Foundation
import LTMIR
import LTMSupport
import Testing

/// A small generator with a seed, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// How a test fills an operand.
enum Fill: Sendable {
  case uniform(Double, Double)
  case integers(Int)
  case bools
  case values([Double])

  func numbers(_ count: Int, _ random: inout SplitMix) -> [Double] {
    switch self {
    case .uniform(let low, let high): (0..<count).map { _ in Double.random(in: low..<high, using: &random) }
    case .integers(let limit): (0..<count).map { _ in Double(Int.random(in: 0..<limit, using: &random)) }
    case .bools: (0..<count).map { _ in Bool.random(using: &random) ? 1 : 0 }
    case .values(let values): values
    }
  }

  var dtype: DType? {
    switch self {
    case .uniform, .values: nil
    case .integers: .i32
    case .bools: .bool
    }
  }
}

/// An op with operands to try it on.
struct OpCase: Sendable, CustomTestStringConvertible {
  let op: Op
  let operands: [(shape: [Int], fill: Fill)]
  let attributes: Attributes

  init(_ op: Op, _ operands: [([Int], Fill)], _ attributes: Attributes = [:]) {
    self.op = op
    self.operands = operands.map { (shape: $0.0, fill: $0.1) }
    self.attributes = attributes
  }

  var testDescription: String { "\(op.name)\(operands.map(\.shape))" }

  /// The inputs `x0`, `x1`, ... and the op applied to them; floats are of the dtype given.
  func builder(_ dtype: DType) throws -> (builder: GraphBuilder, inputs: [ValueID], value: ValueID) {
    var b = GraphBuilder(name: "case")
    let inputs = operands.enumerated().map { index, operand in
      let type = TensorType(operand.fill.dtype ?? dtype, operand.shape.map { Dim($0) })
      return b.input("x\(index)", type, role: .argument)
    }
    let value = try b.apply(op, inputs, attributes)
    return (b, inputs, value)
  }

  func tensors(_ dtype: DType, seed: UInt64 = 1) throws -> [String: Tensor] {
    var random = SplitMix(seed)
    var tensors: [String: Tensor] = [:]
    for (index, operand) in operands.enumerated() {
      let numbers = operand.fill.numbers(operand.shape.reduce(1, *), &random)
      tensors["x\(index)"] = Tensor(numbers, shape: operand.shape, dtype: operand.fill.dtype ?? dtype)
    }
    return tensors
  }
}

/// Whether two numbers agree, NaN with NaN.
func agree(_ a: Double, _ b: Double, tolerance: Double) -> Bool {
  if a == b || a.isNaN && b.isNaN { return true }
  return abs(a - b) <= tolerance * max(1, abs(a), abs(b))
}

func agree(_ a: Reference, _ b: Reference, tolerance: Double) -> Bool {
  a.shape == b.shape && zip(a.data, b.data).allSatisfy { agree($0, $1, tolerance: tolerance) }
}

/// Compares text with a committed file, or records it when LTM_BLESS is set, which fails the run.
func expectGolden(_ text: String, _ url: URL) throws {
  if ProcessInfo.processInfo.environment["LTM_BLESS"] == "1" {
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    if (try? String(contentsOf: url, encoding: .utf8)) != text {
      try text.write(to: url, atomically: true, encoding: .utf8)
      Issue.record("recorded \(url.lastPathComponent)")
    }
    return
  }
  let expected = try String(contentsOf: url, encoding: .utf8)
  #expect(text == expected, "\(url.lastPathComponent) differs; record it with LTM_BLESS=1 and read the difference")
}

/// The repository's root.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()
