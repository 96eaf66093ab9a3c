import DeviceEmulator
import LTMIR
import LTMKernels
import LTMPTX
import TestSupport
import Testing

/// Contractions of every shape of tile, pipeline and operand, emulated, against the kernel interpreter.
@Suite("contractions") struct ContractionTests {
  /// How the operands come.
  enum Form: String, CaseIterable, Sendable {
    /// Both along the depth: copied as they are.
    case plain
    /// Rows of the result first in memory.
    case transposed
    /// Both operands with the depth first.
    case depthFirst
    /// A body over loads: through registers.
    case computed
    /// No extent that vectors divide.
    case odd
    /// Several products at once.
    case batched

    func kernel(_ dtype: DType, _ m: Int, _ n: Int, _ k: Int) -> String {
      let relu = "y[m, n] = maximum(add(%acc, b[n]), 0)"
      func text(_ x: String, _ w: String, _ lhs: String, _ rhs: String, _ y: String = "m, n") -> String {
        """
        kernel @product(%0 x: \(dtype)[\(x)] read, %1 w: \(dtype)[\(w)] read, %2 b: \(dtype)[\(n)] read, \
        %3 y: \(dtype)[\(self == .batched ? "3, " : "")\(m), \(n)] write) {
          domain \(self == .batched ? "z: 3, " : "")m: \(m), n: \(n)
          axis k: \(k)
          %acc: f32 = contract k { \(lhs), \(rhs) }
          \(self == .batched ? "y[z, m, n] = add(%acc, b[n])" : relu)
        }
        """
      }
      return switch self {
      case .plain, .odd: text("\(m), \(k)", "\(n), \(k)", "x[m, k]", "w[n, k]")
      case .transposed: text("\(k), \(m)", "\(n), \(k)", "x[k, m]", "w[n, k]")
      case .depthFirst: text("\(k), \(m)", "\(k), \(n)", "x[k, m]", "w[k, n]")
      case .computed:
        text(
          "\(m), \(k)", "\(n), \(k)", dtype.isHalf ? "round_\(dtype)(mul(x[m, k], 0.5))" : "mul(x[m, k], 0.5)",
          "w[n, k]")
      case .batched: text("3, \(m), \(k)", "3, \(n), \(k)", "x[z, m, k]", "w[z, n, k]")
      }
    }
  }

  struct Size: Sendable, CustomTestStringConvertible {
    var m: Int
    var n: Int
    var k: Int
    var testDescription: String { "\(m)x\(n)x\(k)" }
  }

  @Test(
    "agree in every form, in any order of threads", arguments: Form.allCases,
    [
      (DType.f16, DeviceArchitecture.sm70), (.f16, .sm80), (.bf16, .sm80), (.f16, .sm90a), (.bf16, .sm90a),
      (.f32, .sm80),
    ])
  func forms(_ form: Form, _ machine: (DType, DeviceArchitecture)) throws {
    let size = form == .odd ? Size(m: 37, n: 51, k: 45) : Size(m: 72, n: 104, k: 328)
    try expectAgreement(form.kernel(machine.0, size.m, size.n, size.k), machine.1)
  }

  @Test(
    "agree whatever the depth of the pipeline", arguments: [8, 32, 64, 72, 128, 200, 256],
    [DeviceArchitecture.sm70, .sm80, .sm90a])
  func depths(_ depth: Int, _ architecture: DeviceArchitecture) throws {
    try expectAgreement(Form.plain.kernel(.f16, 64, 64, depth), architecture)
  }

  /// Sizes that are worth the large tiles.
  static let large: [(dtype: DType, architecture: DeviceArchitecture, size: Size)] = [
    (.f16, .sm70, Size(m: 1024, n: 512, k: 40)), (.f16, .sm80, Size(m: 1024, n: 1024, k: 40)),
    (.f32, .sm80, Size(m: 1024, n: 1024, k: 20)), (.f16, .sm90a, Size(m: 1024, n: 1024, k: 72)),
    (.f16, .sm90a, Size(m: 1152, n: 2816, k: 72)),
  ]

  @Test("agree in large tiles", arguments: [Form.plain, .depthFirst], large.indices)
  func largeTiles(_ form: Form, _ index: Int) throws {
    let item = Self.large[index]
    let text = form.kernel(item.dtype, item.size.m, item.size.n, item.size.k)
    let schedule = deviceSchedule(try kernels(text)[0], item.architecture)
    #expect(schedule.summary.contains("tile=128x"), "\(schedule.summary)")
    try expectAgreement(text, item.architecture, exactly: false)
  }

  @Test("copy what is loaded as it is, and nothing else", arguments: Form.allCases)
  func copies(_ form: Form) throws {
    let count = [Form.plain: 2, .transposed: 2, .depthFirst: 2, .computed: 1, .odd: 0, .batched: 2]
    let size = form == .odd ? 51 : 64
    for architecture in [DeviceArchitecture.sm80, .sm90a] {
      let summary = deviceSchedule(try kernels(form.kernel(.f16, size, size, size))[0], architecture).summary
      let wanted = try #require(count[form])
      #expect(summary.contains("cp.async=\(wanted)") || wanted == 0 && !summary.contains("cp.async"), "\(summary)")
    }
  }

  /// The emulated results in both orders, which must be the same bits, and close to the interpreter's.
  private func expectAgreement(_ text: String, _ architecture: DeviceArchitecture, exactly: Bool = true) throws {
    let kernel = try kernels(text)[0]
    let arguments = randomArguments(kernel)
    let results = try emulate(kernel, architecture, arguments)
    #expect(results[0] == results[1], "the order of threads shows")
    let dtype = kernel.buffers[3].dtype
    let found =
      Tensor(dtype: dtype, shape: [results[0][3].count / dtype.byteCount], bytes: results[0][3])?.doubles ?? []
    let wanted = exactly ? interpreted(kernel, arguments) : multiplied(kernel, arguments)
    let unit = dtype == .bf16 ? 0x1p-8 : dtype == .f16 ? 0x1p-11 : 0x1p-20
    expectClose(found, wanted, .relative(unit * 1.01), "\(deviceSchedule(kernel, architecture).summary): ")
  }

  private func interpreted(_ kernel: Kernel, _ arguments: [Tensor]) -> [Double] {
    var memory = arguments.map(\.doubles)
    kernel.interpret(&memory, rounding: .none)
    return memory[3]
  }

  /// The same for large products, whose interpretation would take long.
  private func multiplied(_ kernel: Kernel, _ arguments: [Tensor]) -> [Double] {
    let (m, n, k) = (kernel.axes[0].extent, kernel.axes[1].extent, kernel.axes[2].extent)
    let isDepthFirst = kernel.buffers[0].shape[0] == k
    func matrix(_ number: Int, _ lines: Int) -> [Float] {
      let values = arguments[number].doubles.map { Float($0) }
      if isDepthFirst { return values }
      return (0..<k * lines).map { values[$0 % lines * k + $0 / lines] }
    }
    let (x, w, b) = (matrix(0, m), matrix(1, n), arguments[2].doubles)
    var y = (0..<m * n).map { Float(b[$0 % n]) }
    for depth in 0..<k {
      for row in 0..<m {
        let factor = x[depth * m + row]
        for column in 0..<n { y[row * n + column] += factor * w[depth * n + column] }
      }
    }
    return y.map { max(0, Double($0)) }
  }
}

/// Whole eighths between -1 and 1 for every buffer.
func randomArguments(_ kernel: Kernel) -> [Tensor] {
  var random = SeededGenerator(seed: 7)
  return kernel.buffers.compactMap { buffer in
    let count = buffer.shape.reduce(1, *)
    let values = (0..<count).map { _ in Double(Int.random(in: -8...8, using: &random)) / 8 }
    return Tensor(values, shape: buffer.shape, dtype: buffer.dtype)
  }
}

/// The bytes of a kernel's buffers after an emulated launch, in each order.
func emulate(_ kernel: Kernel, _ architecture: DeviceArchitecture, _ arguments: [Tensor]) throws -> [[[UInt8]]] {
  let module = try EmulatedModule([kernel], architecture)
  let schedule = deviceSchedule(kernel, architecture)
  return try EmulatedOrder.allCases.map { order in
    let memory = arguments.map { UnsafeMutableRawBufferPointer.allocate(byteCount: $0.bytes.count, alignment: 256) }
    defer { for buffer in memory { buffer.deallocate() } }
    for (buffer, tensor) in zip(memory, arguments) { buffer.copyBytes(from: tensor.bytes) }
    try module.launch(
      deviceSymbols([kernel])[0], grid: schedule.grid, block: schedule.block, sharedBytes: schedule.sharedBytes,
      memory.compactMap(\.baseAddress), order: order)
    return memory.map { Array($0) }
  }
}
