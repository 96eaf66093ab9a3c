import Foundation
import LTMIR
import LTMKernels
import LTMLLVM
import TestSupport
import Testing

/// linear with relu into the arena, then a softmax of its rows, then the same linear kernel nowhere else: two launches.
private func plan(_ dtype: DType) -> Plan {
  let linear = linearKernel(m: 5, n: 12, k: 7, dtype: dtype, transposedRight: true)
  let softmax = softmaxKernel(rows: 5, columns: 12, dtype: dtype)
  var plan = Plan(name: "classify")
  plan.kernels = [linear, softmax]
  plan.buffers = [
    PlanBuffer(name: "x", dtype: dtype, shape: [5, 7], place: .input("x")),
    PlanBuffer(name: "w", dtype: dtype, shape: [12, 7], place: .input("fc.weight")),
    PlanBuffer(name: "b", dtype: dtype, shape: [12], place: .input("fc.bias")),
    PlanBuffer(name: "h", dtype: dtype, shape: [5, 12], place: .arena(64)),
    PlanBuffer(name: "y", dtype: dtype, shape: [5, 12], place: .output("result")),
  ]
  plan.steps = [
    .launch(Launch(kernel: 0, arguments: [0, 1, 2, 3].map { PlanBufferID($0) }, results: [])),
    .launch(Launch(kernel: 1, arguments: [3, 4].map { PlanBufferID($0) }, results: [])),
  ]
  plan.arenaBytes = 64 + 5 * 12 * dtype.byteCount
  return plan
}

/// Runs a program and returns what it printed.
func shell(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
  let ran = try Command(program, arguments)
  return (ran.status, ran.output + ran.errors)
}

@Suite struct AheadOfTimeTests {
  @Test(arguments: [DType.f32, .f64, .f16])
  func aCProgramCallsTheObject(_ dtype: DType) throws {
    let plan = plan(dtype)
    let code = try emitAheadOfTime(plan: plan, symbol: "classify")
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ltm-aot-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(code.object).write(to: folder.appendingPathComponent("classify.o"))
    try code.header.write(to: folder.appendingPathComponent("classify.h"), atomically: true, encoding: .utf8)
    let inputs = [5 * 7, 12 * 7, 12].enumerated().map { index, count in
      numbers(count, seed: UInt64(index + 1)).map(dtype.round)
    }
    let (type, print) = cTypes(dtype)
    let arrays = try zip(["x", "w", "b"], inputs).map { name, values in
      "static const \(type) \(name)[] = {\(try literals(values, dtype))};"
    }
    let source = """
      #include <stdio.h>
      #include "classify.h"
      \(arrays.joined(separator: "\n"))
      static \(type) y[60];
      int main(void) {
        if (classify(x, w, b, 0) != 1) return 2;
        if (classify(x, w, b, y) != 0) return 3;
        for (int i = 0; i < 60; i++) printf("\(print)\\n", y[i]);
        return 0;
      }
      """
    try source.write(to: folder.appendingPathComponent("main.c"), atomically: true, encoding: .utf8)
    let built = try shell(
      "/usr/bin/env",
      [
        "cc", "-Wall", "-Werror", "-o", folder.path + "/main", folder.path + "/main.c", folder.path + "/classify.o",
        "-lm",
      ])
    #expect(built.status == 0, "\(built.output)")
    let ran = try shell(folder.path + "/main", [])
    #expect(ran.status == 0)
    let results = ran.output.split(separator: "\n").compactMap { line in
      dtype == .f16 ? UInt16(line).map(float16Value) : Double(line)
    }
    let hidden = interpreted(plan.kernels[0], inputs + [[Double](repeating: 0, count: 60)])[3]
    let expected = interpreted(plan.kernels[1], [hidden, hidden])[1]
    // Rows of a softmax, whose largest is 1: f64's as near as C's decimals are exact.
    expectClose(results, expected, .absolute(dtype == .f16 ? 1e-3 : dtype == .f32 ? 1e-6 : 1e-14))
  }

  @Test("launches are data: many of them cost no code, and no time for it") func manyLaunches() throws {
    var plan = plan(.f32)
    let once = try emitAheadOfTime(plan: plan, symbol: "f").object.count
    // As instructions of one function these would take minutes.
    plan.steps = Array(repeating: plan.steps, count: 10_000).flatMap(\.self)
    let object = try emitAheadOfTime(plan: plan, symbol: "f").object
    // A function, two counts, and a place for each argument; each pointer has its relocation.
    #expect(object.count - once < 20_000 * 128)
  }

  @Test("a header is C whatever the model calls things") func wordsOfC() throws {
    var plan = plan(.f32)
    for (place, name) in ["register", "a.b", "a_b"].enumerated() { plan.buffers[place].place = .input(name) }
    plan.buffers[4].place = .output("int")
    let header = try emitAheadOfTime(plan: plan, symbol: "f").header
    for name in ["*register_ ", "*a_b ", "*a_b_ ", "*int_ "] { #expect(header.contains(name)) }
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("ltm-header-\(UUID().uuidString).h")
    defer { try? FileManager.default.removeItem(at: file) }
    try header.write(to: file, atomically: true, encoding: .utf8)
    let checked = try shell("/usr/bin/env", ["cc", "-fsyntax-only", "-Wall", "-Werror", file.path])
    #expect(checked.status == 0, "\(checked.output)")
  }

  private func cTypes(_ dtype: DType) -> (type: String, format: String) {
    switch dtype {
    case .f16: ("uint16_t", "%u")
    case .f64: ("double", "%.17g")
    default: ("float", "%.9g")
    }
  }

  private func literals(_ values: [Double], _ dtype: DType) throws -> String {
    values.map { dtype == .f16 ? "\(float16Bits($0))" : "\($0)" }.joined(separator: ", ")
  }
}
