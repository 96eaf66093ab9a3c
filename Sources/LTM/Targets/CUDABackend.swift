import LTMCUDA
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMPTX
import LTMSupport

/// Runs graphs as kernels on an NVIDIA GPU, through its driver.
struct CUDABackend: Backend {
  private let context: CUDAContext

  /// The GPU, the driver and the code made for it.
  var device: String? {
    let device = context.device
    return "\(device.name), compute capability \(device.capabilityText), code for \(context.architecture.rawValue), "
      + "CUDA \(versionText(context.driver.version))"
  }

  /// Throws for a number of GPUs that cannot be used.
  static func check(gpus: Int) throws(LTMError) {
    guard gpus == 1 else {
      throw LTMError(
        gpus < 1 ? "\(gpus) GPUs: 1 is needed" : "\(gpus) GPUs: training on several at once is not there yet",
        notes: ["CUDA_VISIBLE_DEVICES chooses which GPU is the one"])
    }
  }

  /// Opens the driver and takes the first GPU that there is code for.
  init(gpus: Int) throws(LTMError) {
    try Self.check(gpus: gpus)
    do throws(CUDAError) {
      context = try CUDAContext(CUDADriver.open())
    } catch {
      var error = error
      error.notes.append("'ltm compile --target cuda' works without a driver and without a GPU")
      throw LTMError(error.diagnostic)
    }
  }

  func compile(_ graph: Graph, in storage: SessionStorage) throws(LTMError) -> any Executable {
    let launches = try launchPlan(
      try reporting { try buildPlan(graph, epilogueReductions: false, takesAttention: false) }, context.architecture
    ).checked()
    let ptx = try reporting { try emitDevice(launches.plan.kernels, as: .ptx, launches.architecture) }
    return try CUDAExecutable(graph, launches, ptx, context, storage)
  }
}

/// A plan on a GPU; what it reads and writes stays there from one run to the next.
final class CUDAExecutable: Executable {
  private let program: CUDAProgram
  private let inputs: [String: SessionArray]
  private let updated: [SessionArray]
  let launches: LaunchPlan
  let memory: MemoryUse
  /// The GPU clears its memory itself.
  var startsAtZero: Bool { true }
  var queuesRuns: Bool { true }

  init(
    _ graph: Graph, _ launchPlan: LaunchPlan, _ ptx: String, _ context: CUDAContext, _ storage: SessionStorage
  ) throws(LTMError) {
    func spec(_ input: GraphInput) throws(LTMError) -> CUDAArray.Spec {
      let type = graph[input.value].type
      guard let shape = type.staticShape else {
        throw LTMError("'\(input.name)' is \(type), which is not bound to numbers")
      }
      return CUDAArray.Spec(name: input.name, dtype: type.dtype, shape: shape)
    }
    let inputs = try storage.bind(graph) { (missing) throws(LTMError) in
      let specs = try missing.map(spec)
      return try reporting {
        try CUDAArray.make(specs, on: context, for: "weights and states of @\(launchPlan.name)")
      }
    }
    let arguments = try graph.inputs.filter(graph.isOfCaller).map(spec)
    let shared = inputs.compactMapValues { $0.memory as? CUDAArray }
    program = try reporting {
      try CUDAProgram(context, launchPlan, ptx: ptx, arguments: arguments, shared: shared)
    }
    self.inputs = inputs
    updated = graph.outputs.compactMap { $0.updates.flatMap { inputs[$0] } }
    launches = launchPlan
    var use = MemoryUse()
    use.addInputs(of: graph)
    use.activations = launchPlan.plan.activationBytes
    use.arena = launchPlan.plan.arenaBytes
    memory = use
  }

  private func value(_ name: String, _ kind: String) throws(LTMError) -> CUDAProgram.Value {
    guard let value = program[name] else { throw LTMError("there is no \(kind) '\(name)'") }
    return value
  }

  func dtype(of input: String) -> DType? { program[input]?.dtype }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) {
    if let array = inputs[input] { return try array.write(tensor) }
    let value = try value(input, "input")
    try checkFit(tensor, input, value.dtype, value.shape)
    try reporting { try tensor.withUnsafeBytes { try program.write($0, to: value) } }
  }

  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    let value = try value(input, "input")
    try reporting { try program.fill(input, value, body) }
    inputs[input]?.noteWrite()
  }

  func run() throws(LTMError) {
    try reporting { try program.run() }
    for array in updated { array.noteWrite() }
  }

  func read(_ name: String) throws(LTMError) -> Tensor {
    let value = try value(name, "output")
    return try tensor(value, try reporting { try program.read(value) }, name)
  }

  func start(before: [String], after: [String]) throws(LTMError) -> PendingValues {
    var values: [CUDAProgram.Value] = []
    for name in before + after { values.append(try value(name, "output")) }
    let all = values
    let readings = try reporting {
      let first = try program.readLater(Array(all.prefix(before.count)))
      try run()
      return [first, try program.readLater(Array(all.dropFirst(before.count)))]
    }
    return { [self] () throws(LTMError) in
      let bytes = try reporting { try readings.flatMap { try $0.bytes() } }
      var tensors: [Tensor] = []
      for (place, name) in (before + after).enumerated() {
        tensors.append(try tensor(all[place], bytes[place], name))
      }
      return tensors
    }
  }

  /// The least seconds of each launch over some runs, and of a whole run, on the GPU's own clock.
  func times(runs: Int) throws(LTMError) -> (launches: [Double], whole: Double) {
    try reporting {
      var whole = Double.infinity
      for _ in 0..<runs { whole = min(whole, try program.seconds()) }
      return (try program.times(runs: runs), whole)
    }
  }

  private func tensor(_ value: CUDAProgram.Value, _ bytes: [UInt8], _ name: String) throws(LTMError) -> Tensor {
    try value.tensor(bytes, name)
  }
}

extension CUDAArray: ArrayMemory {
  package func write(_ tensor: Tensor) throws(LTMError) {
    try reporting { try tensor.withUnsafeBytes { try write($0) } }
  }

  package func read() throws(LTMError) -> Tensor {
    try value.tensor(try reporting { try bytes() }, name)
  }
}

extension CUDAArray.Value {
  fileprivate func tensor(_ bytes: [UInt8], _ name: String) throws(LTMError) -> Tensor {
    guard let tensor = Tensor(dtype: dtype, shape: shape, bytes: bytes) else {
      throw LTMError("'\(name)' with the shape \(shape) cannot be read")
    }
    return tensor
  }
}
