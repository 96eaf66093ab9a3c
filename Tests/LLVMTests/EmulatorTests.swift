import Foundation
import LTMIR
import LTMKernels
import LTMLLVM
import TestSupport
import Testing

/// The tools that build and run AArch64 programs on another machine; Debian: `gcc-aarch64-linux-gnu`, `qemu-user`.
private let aarch64Tools = ["/usr/bin/aarch64-linux-gnu-gcc", "/usr/bin/qemu-aarch64"]
private let hasAArch64Tools = aarch64Tools.allSatisfy(FileManager.default.isExecutableFile)

/// A plan of one launch: what the kernel reads are its inputs, what it writes its outputs.
private func plan(of kernel: Kernel) -> Plan {
  var plan = Plan(name: "one")
  plan.kernels = [kernel]
  plan.buffers = kernel.buffers.map { buffer in
    PlanBuffer(
      name: buffer.name, dtype: buffer.dtype, shape: buffer.shape,
      place: !buffer.access.writes ? .input(buffer.name) : .output(buffer.name))
  }
  plan.steps = [
    .launch(Launch(kernel: 0, arguments: kernel.buffers.indices.map { PlanBufferID($0) }, results: []))
  ]
  return plan
}

/// A C program that reads each buffer from `in`, runs `one`, and writes each buffer to `out`.
private func program(_ kernel: Kernel) -> String {
  let order = kernel.buffers.indices.filter { !kernel.buffers[$0].access.writes }
  let outputs = kernel.buffers.indices.filter { kernel.buffers[$0].access.writes }
  let sizes = kernel.buffers.map { $0.shape.reduce($0.dtype.byteCount, *) }
  return """
    #include <stdio.h>
    #include <stdlib.h>
    #include "one.h"
    int main(int count, char **names) {
      static const long sizes[] = {\(sizes.map(String.init).joined(separator: ", "))};
      void *b[\(sizes.count)];
      FILE *in = fopen(names[1], "rb"), *out = fopen(names[2], "wb");
      for (int i = 0; i < \(sizes.count); i++) {
        b[i] = malloc(sizes[i] + 16);
        if (fread(b[i], 1, sizes[i], in) != sizes[i]) return 2;
      }
      if (one(\((order + outputs).map { "b[\($0)]" }.joined(separator: ", "))) != 0) return 3;
      for (int i = 0; i < \(sizes.count); i++) fwrite(b[i], 1, sizes[i], out);
      return fclose(out);
    }
    """
}

/// Machine code for AArch64, run under an emulator and compared with the reference interpreter.
@Suite(.enabled(if: hasAArch64Tools, "needs aarch64-linux-gnu-gcc and qemu-aarch64 (gcc-aarch64-linux-gnu, qemu-user)"))
struct EmulatorTests {
  private func expectInterpreted(_ kernel: Kernel, profile name: String, tolerance: Double) throws {
    let profile = try #require(TargetProfile.named(name))
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ltm-emulated-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = { folder.appendingPathComponent($0) }
    let code = try emitAheadOfTime(plan: plan(of: kernel), symbol: "one", profile: profile)
    try Data(code.object).write(to: file("one.o"))
    try code.header.write(to: file("one.h"), atomically: true, encoding: .utf8)
    try program(kernel).write(to: file("main.c"), atomically: true, encoding: .utf8)
    let values = zip(kernel.buffers, contents(kernel)).map { buffer, values in values.map(buffer.dtype.round) }
    let tensors = try zip(kernel.buffers, values).map { buffer, values in
      try #require(Tensor(values, shape: [values.count], dtype: buffer.dtype))
    }
    try Data(tensors.flatMap(\.bytes)).write(to: file("in"))
    let paths = ["main", "main.c", "one.o"].map { file($0).path }
    let built = try shell(aarch64Tools[0], ["-static", "-o"] + paths + ["-lm"])
    try #require(built.status == 0, "\(built.output)")
    let ran = try shell(
      "/usr/bin/env",
      ["timeout", "300", aarch64Tools[1], "-cpu", "max", paths[0], file("in").path, file("out").path])
    try #require(ran.status == 0, "\(ran.output)")
    let bytes = Array(try Data(contentsOf: file("out")))
    let expected = interpreted(kernel, values)
    var offset = 0
    for (index, tensor) in tensors.enumerated() {
      let part = Array(bytes[offset..<offset + tensor.bytes.count])
      offset += part.count
      let result = try #require(Tensor(dtype: tensor.dtype, shape: tensor.shape, bytes: part))
      expectClose(result.doubles, expected[index], .relative(tolerance), "\(kernel.name) for \(name): ")
    }
  }

  @Test(arguments: [DType.f32, .f16, .bf16, .f64], ["aarch64", "neoverse-v1"])
  func contractions(_ dtype: DType, _ profile: String) throws {
    let tolerance = [DType.f16: 2e-3, .bf16: 1.6e-2, .f64: 1e-12][dtype] ?? 1e-4
    for (left, right) in [(false, true), (true, false)] {
      for (m, n, k) in [(131, 203, 101), (3, 131, 77)] {
        let kernel = linearKernel(m: m, n: n, k: k, dtype: dtype, transposedLeft: left, transposedRight: right)
        try expectInterpreted(kernel, profile: profile, tolerance: tolerance)
      }
    }
    let epilogueReductions = reducingKernel(m: 131, n: 203, k: 100, dtype)
    try expectInterpreted(epilogueReductions, profile: profile, tolerance: tolerance)
  }

  @Test(arguments: [DType.f32, .f16, .bf16])
  func rowsAndFormulas(_ dtype: DType) throws {
    let tolerance = [DType.f16: 2e-3, .bf16: 1.6e-2][dtype] ?? 1e-5
    for kernel in [softmaxKernel(rows: 9, columns: 101, dtype: dtype), unaryKernel(.tanh, dtype, 333)] {
      try expectInterpreted(kernel, profile: "aarch64", tolerance: tolerance)
    }
  }
}
