import Foundation
import LTMIR
import LTMPrecision
import LTMSupport
import Testing

/// The folder that holds the tests' sources and, three levels up, the package.
private let here = URL(filePath: #filePath).deletingLastPathComponent()
let castGoldens = here.appending(path: "../../passes/Precision/Goldens").standardizedFileURL
let ownGoldens = here.appending(path: "Goldens")
let isBlessing = ProcessInfo.processInfo.environment["LTM_BLESS"] == "1"

/// Compares with a recorded text, or records it, which fails the run.
func expectGolden(_ actual: String, _ file: URL, _ location: SourceLocation = #_sourceLocation) throws {
  if isBlessing {
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try actual.write(to: file, atomically: true, encoding: .utf8)
    Issue.record("recorded \(file.lastPathComponent)", sourceLocation: location)
  } else {
    let expected = try String(contentsOf: file, encoding: .utf8)
    #expect(actual == expected, "\(file.lastPathComponent); LTM_BLESS=1 records it", sourceLocation: location)
  }
}

/// A policy as a line: `16 O2 loss-scale=128`.
func policy(_ line: String, onNonfinite: NonfinitePolicy? = nil) throws -> PrecisionPolicy {
  let words = line.split(separator: " ").map(String.init)
  let settings = try words.dropFirst(2).map { word in
    let sides = word.split(separator: "=", maxSplits: 1).map(String.init)
    return try OptLevelSetting(sides[0], sides[1])
  }
  let level = words.count > 1 ? try OptLevel(named: words[1]) : nil
  return try PrecisionPolicy(
    try Precision(parsing: words[0]), level: level, overrides: settings, onNonfinite: onNonfinite)
}

func tensor(_ values: [Double], _ shape: [Int], _ dtype: DType) throws -> Tensor {
  try #require(Tensor(values, shape: shape, dtype: dtype))
}

/// Numbers that depend on nothing but a seed.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func numbers(_ count: Int, in range: ClosedRange<Double> = -1...1) -> [Double] {
    (0..<count).map { _ in Double.random(in: range, using: &self) }
  }
}

/// Keeps a step's slots and runs it in the interpreter, each op rounded to its dtype.
struct StepMachine {
  let program: StepProgram
  private(set) var state: [String: Tensor] = [:]

  init(_ program: StepProgram, parameters: [String: [Double]], rate: Double = 0.1, total: Double = 100) throws {
    self.program = program
    for slot in program.slots {
      let shape = try #require(slot.type.staticShape)
      let count = shape.reduce(1, *)
      let values: [Double] =
        switch slot.initial {
        case .parameter(let name), .layerState(let name): try #require(parameters[name])
        case .copy(let master): try #require(parameters[String(master.dropFirst("master/".count))])
        case .initializer(.constant(let value)), .number(let value): Array(repeating: value, count: count)
        case .initializer(.uniform), .initializer(.normal): Array(repeating: 0, count: count)
        case .host: [slot.name == StepControl.learningRate.rawValue ? rate : total]
        }
      state[slot.name] = try tensor(values, shape, slot.type.dtype)
    }
  }

  /// One try; gives the outputs that update nothing.
  mutating func run(_ arguments: [String: Tensor]) throws -> [String: [Double]] {
    try run(replicas: [arguments])
  }

  /// One try on the arguments of each replica; all must agree on what comes out.
  mutating func run(replicas arguments: [[String: Tensor]]) throws -> [String: [Double]] {
    let inputs = arguments.map { state.merging($0) { $1 } }
    let all = try program.graph.evaluate(replicas: inputs, rounding: .everyOp)
    let outputs = all[0]
    for (index, other) in all.enumerated() {
      for (name, value) in other { #expect(value.matches(outputs[name]), "replica \(index): \(name)") }
    }
    var results: [String: [Double]] = [:]
    for output in program.graph.outputs {
      let value = try #require(outputs[output.name])
      if let name = output.updates {
        let old = try #require(state[name])
        state[name] = try tensor(value.data, old.shape, old.dtype)
      } else {
        results[output.name] = value.data
      }
    }
    return results
  }

  mutating func set(_ name: String, _ values: [Double]) throws {
    let old = try #require(state[name])
    state[name] = try tensor(values, old.shape, old.dtype)
  }

  func numbers(_ name: String) throws -> [Double] { try #require(state[name]).doubles }
  func number(_ control: StepControl) throws -> Double { try numbers(control.rawValue)[0] }
}

extension Reference {
  /// Whether all elements are equal, NaN to NaN.
  fileprivate func matches(_ other: Reference?) -> Bool {
    guard let other, shape == other.shape else { return false }
    return zip(data, other.data).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN }
  }
}
