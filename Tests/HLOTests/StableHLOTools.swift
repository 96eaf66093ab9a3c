import Foundation
import LTMIR
import LTMSupport
import OpCases
import TestSupport

/// StableHLO's own parser and interpreter.
enum StableHLOTools {
  private static let python = InstalledTools.folder.appending(path: "bin/python")

  /// Why the reference interpreter cannot be asked; `nil` where it can.
  static let missing: String? =
    FileManager.default.isExecutableFile(atPath: python.path)
    ? nil : "no StableHLO interpreter in .build/tools; scripts/tools.sh installs it"

  /// Parses and verifies modules and, where asked to, evaluates them, each in a process of its own.
  static func evaluate(_ jobs: [Job]) throws -> [String: Outcome] {
    let process = Process()
    process.executableURL = python
    process.arguments = [root.appending(path: "Tests/HLOTests/evaluate.py").path]
    let (input, output) = (Pipe(), Pipe())
    (process.standardInput, process.standardOutput) = (input, output)
    let asked = try JSONEncoder().encode(["cases": jobs])
    try process.run()
    DispatchQueue.global().async {
      try? input.fileHandleForWriting.write(contentsOf: asked)
      try? input.fileHandleForWriting.close()
    }
    let answer = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    let outcomes = try JSONDecoder().decode([Outcome].self, from: answer)
    return Dictionary(outcomes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }
}

/// A module for the tools.
struct Job: Codable, Sendable {
  var name: String
  var module: String
  var run = true
  var replicas = 1
  var inputs: [Array] = []

  /// A tensor on its way.
  struct Array: Codable, Sendable {
    var dtype: String
    var shape: [Int]
    var data: Data

    init(_ tensor: Tensor) {
      (dtype, shape, data) = (tensor.dtype.rawValue, tensor.shape, Data(tensor.bytes))
    }

    var tensor: Tensor? { DType(rawValue: dtype).flatMap { Tensor(dtype: $0, shape: shape, bytes: [UInt8](data)) } }
  }
}

/// What the tools said.
struct Outcome: Codable, Sendable {
  var name: String
  var error: String?
  var outputs: [Job.Array]?
}

extension DType {
  /// How far two right computations may lie apart: one rounding for half, a few for what comes from polynomials.
  var tolerance: Double {
    switch self {
    case .f16: 0x1p-9
    case .bf16: 0x1p-6
    case .f32, .float: 2e-6
    case .f64: 1e-12
    case .i32, .i64, .u8, .bool: 0
    }
  }
}
