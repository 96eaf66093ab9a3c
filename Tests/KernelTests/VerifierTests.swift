import LTMIR
import LTMKernels
import LTMSupport
import Testing

/// Kernels in text, each of which breaks one rule.
private let violations: [(rule: String, text: String)] = [
  ("kernel_c2", "kernel @k(%0 x: f32[4] read, %1 x: f32[4] write) {\n domain m: 4\n x[m] = 1 }"),
  ("kernel_c3", "kernel @k(%0 x: f32[4] read, %1 y: f32[4] write) {\n domain m: 4\n y[m] = add(x[m], 1:f64) }"),
  ("kernel_c3", "kernel @k(%0 x: f32[4] read, %1 y: i32[4] write) {\n domain m: 4\n y[m] = x[m] }"),
  (
    "kernel_c4",
    "kernel @k(%0 x: f16[4] read, %1 y: f16[] write) {\n domain []\n axis k: 4\n %s: f16 = reduce add k { x[k] }\n y[] = 1 }"
  ),
  ("kernel_c5", "kernel @k(%0 x: f32[4] read, %1 y: f32[4] write) {\n domain m: 4\n y[m] = x[m+1] }"),
  (
    "kernel_c5",
    "kernel @k(%0 x: f32[4] read, %1 y: f32[4] write) {\n domain m: 4\n y[m] = guarded(x[m+1], m < 4, else 0) }"
  ),
  ("kernel_c6", "kernel @k(%0 x: f32[4] read, %1 y: f32[4] write) {\n domain m: 4\n x[m] = 1 }"),
  ("kernel_c7", "kernel @k(%0 x: f32[4] read, %1 y: f32[4] write) {\n domain m: 4\n axis k: 4\n y[m] = x[k] }"),
  (
    "kernel_c8",
    "kernel @k(%0 x: f32[4, 2] read, %1 y: f32[4] write) {\n domain m: 4\n axis k: 2\n scratch %e[k]: f32 = x[m, k]\n y[m] = %e[] }"
  ),
  ("kernel_c9", "kernel @k(%0 x: f32[4] read_write) {\n domain m: 4\n x[m] = x[3-m] }"),
  ("kernel_c10", "kernel @k(%0 y: f32[4] write) {\n domain m: 4, n: 2\n y[m] = 1 }"),
  (
    "kernel_c11",
    "kernel @k(%0 x: f16[4] read, %1 y: f32[] write) {\n domain []\n axis k: 4\n %s: i32 = reduce add k { x[k] }\n y[] = 1 }"
  ),
  ("kernel_c10", folding("y[0, n] = epilogue add m { %s }", result: "f32[2, 8]", domain: "m: 4, n: 8, b: 2")),
  (
    "kernel_c14",
    "kernel @k(%0 q: f32[4, 2, 3] read, %1 y: f32[4, 2, 3] write) {\n domain g: 4, i: 2\n axis j: 2, d: 3, e: 3\n attention %s: f32 j, d, e {\n query q[g, i, d]\n key q[g, j, d]\n value q[0, j, e]\n score %s\n y[g, i, e] = output\n }\n}"
  ),
  ("kernel_c11", folding("y[n] = epilogue and m { %s }")),
  ("kernel_c11", folding("y[n] = epilogue add m { is_finite(%s) }", result: "bool[8]")),
  ("kernel_c12", folding("y[n] = epilogue add k { %s }")),
  ("kernel_c12", folding("y[n] = epilogue add m, m { %s }")),
  ("kernel_c12", folding("y[n] = epilogue add n { %s }")),
  ("kernel_c12", folding("%t: f32 = reduce add k { x[m, k] }\n y[n] = epilogue add m { %t }")),
  (
    "kernel_c12",
    "kernel @k(%0 x: f32[4, 8] read, %1 y: f32[8] write) {\n domain m: 4, n: 8\n y[n] = epilogue add m { x[m, n] } }"
  ),
  ("kernel_c3", line("y[m, k] = order ascending k { x[m, k] }", result: "f32[4, 8]")),
  ("kernel_c7", line("y[m, k] = prefix add m { x[m, k] }")),
  ("kernel_c10", line("y[m, 0] = prefix add k { x[m, k] }")),
  ("kernel_c11", line("y[m, k] = prefix add k { i32(x[m, k]) }", source: "f16", result: "i32[4, 8]")),
  ("kernel_c13", line("y[m, k] = prefix maximum k { x[m, k] }")),
  ("kernel_c13", line("y[m, j] = prefix add k to j { x[m, k] }", result: "f32[4, 3]")),
  ("kernel_c13", line("y[m, k] = order ascending j to k { x[m, j] }", result: "i32[4, 8]")),
  ("kernel_c13", line("%s: f32 = reduce add k { x[m, k] }\n y[m, k] = prefix add k { x[m, k] }")),
]

/// A kernel of one line, which writes `y`.
private func line(_ text: String, source: String = "f32", result: String = "f32[4, 8]") -> String {
  """
  kernel @k(%0 x: \(source)[4, 8] read, %1 y: \(result) write) {
   domain m: 4
   axis k: 8, j: 3
   \(text)
  }
  """
}

/// A contraction with a line after it, which writes `y`.
private func folding(_ line: String, result: String = "f32[8]", domain: String = "m: 4, n: 8") -> String {
  """
  kernel @k(%0 x: f32[4, 5] read, %1 w: f32[5, 8] read, %2 y: \(result) write) {
   domain \(domain)
   axis k: 5
   %s: f32 = contract k { x[m, k], w[k, n] }
   \(line)
  }
  """
}

@Suite struct VerifierTests {
  @Test("each rule finds its violation", arguments: violations.indices)
  func violation(_ index: Int) throws {
    let (rule, text) = violations[index]
    let kernel = try #require(try parseKernels(SourceFile(path: "k", text: text)).first)
    let found = kernel.verify()
    #expect(found.contains { $0.hasPrefix(rule + ":") }, "\(found)")
  }

  @Test("a reduction of what a contraction gives is legal") func epilogueReductions() throws {
    let text = folding("y[n] = epilogue add m { %s }")
    let kernel = try #require(try parseKernels(SourceFile(path: "k", text: text)).first)
    #expect(kernel.verify() == [])
    var memory = [(0..<20).map(Double.init), (0..<40).map(Double.init), [Double](repeating: .nan, count: 8)]
    kernel.interpret(&memory)
    let sums = (0..<8).map { n in
      (0..<4).reduce(0) { sum, m in sum + (0..<5).reduce(0) { $0 + (m * 5 + $1) * ($1 * 8 + n) } }
    }
    #expect(memory[2] == sums.map(Double.init))
  }

  @Test("ids out of range are found before they are used")
  func ids() {
    var kernel = Kernel(name: "k")
    kernel.expressions = [.round(ScalarID(3), .f16)]
    kernel.body = [.store(KernelStore(BufferID(0), [], ScalarID(0)))]
    #expect(kernel.verify().allSatisfy { $0.hasPrefix("kernel_c1:") } && !kernel.verify().isEmpty)
  }

  @Test("a plan that overlaps, reads too early or never writes is refused")
  func plans() throws {
    let text = "kernel @k(%0 x: f32[4] read, %1 y: f32[4] write) {\n domain m: 4\n y[m] = x[m] }"
    var plan = Plan(name: "p")
    plan.kernels = try parseKernels(SourceFile(path: "k", text: text))
    plan.buffers = [.arena(0), .arena(32), .output("y")].map {
      PlanBuffer(name: "b", dtype: .f32, shape: [4], place: $0)
    }
    plan.steps = [.launch(Launch(kernel: 0, arguments: [PlanBufferID(0), PlanBufferID(1)], results: []))]
    plan.arenaBytes = 64
    let rules = Set(plan.verify().map { $0.prefix(7) })
    #expect(rules == ["plan_c2", "plan_c4", "plan_c5"])
    plan.buffers[1].place = .arena(0)
    #expect(plan.verify().contains { $0.hasPrefix("plan_c3") })
    plan.steps = [.launch(Launch(kernel: 0, arguments: [PlanBufferID(0)], results: []))]
    #expect(plan.verify().allSatisfy { $0.hasPrefix("plan_c1") })
  }

  @Test("what a plan makes or updates is no constant")
  func constants() throws {
    let text = "kernel @k(%0 x: f32[4] constant, %1 y: f32[4] write) {\n domain m: 4\n y[m] = x[m] }"
    var plan = Plan(name: "p")
    plan.kernels = try parseKernels(SourceFile(path: "k", text: text))
    plan.buffers = [.input("x"), .output("y"), .output("z")].map {
      PlanBuffer(name: "b", dtype: .f32, shape: [4], place: $0)
    }
    func launch(_ from: Int, _ to: Int) -> PlanStep {
      .launch(Launch(kernel: 0, arguments: [PlanBufferID(from), PlanBufferID(to)], results: []))
    }
    plan.steps = [launch(0, 1), launch(0, 2)]
    #expect(plan.verify() == [])
    plan.steps = [launch(0, 1), launch(1, 2)]
    #expect(plan.verify().map { $0.prefix(7) } == ["plan_c6"])
    plan.buffers[1].place = .input("w")
    #expect(plan.verify().map { $0.prefix(7) } == ["plan_c6"])
  }
}
