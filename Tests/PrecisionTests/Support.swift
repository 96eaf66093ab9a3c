import Foundation
import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

/// The folder that holds the tests' sources and, three levels up, the package.
private let here = URL(filePath: #filePath).deletingLastPathComponent()
let castGoldens = here.appending(path: "../../passes/Precision/Goldens").standardizedFileURL
let ownGoldens = here.appending(path: "Goldens")

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
        case .host: Array(repeating: slot.name == StepControl.learningRate.rawValue ? rate : total, count: count)
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
      for (name, value) in other {
        expectClose(try #require(outputs[name]), value, .exact, "replica \(index): \(name) ")
      }
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
