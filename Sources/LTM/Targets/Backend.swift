import LTMIR
import LTMSupport

/// Where a compiled entry runs.
public enum Target: String, Sendable, CaseIterable {
  /// This machine's processor, through kernels that LLVM compiles.
  case cpu
  /// The reference interpreter: slow, obvious, every op rounded to its dtype. The oracle of the others.
  case interpreter
  /// A TPU, or any other device of a PJRT plugin.
  case tpu
  /// An NVIDIA GPU, through its driver, which is opened at run time.
  case cuda
}

/// A compiled graph, bound to the arrays of a session, with memory of its own for arguments, results and what is between. Not
/// thread-safe: one caller at a time.
package protocol Executable: AnyObject {
  /// Fills the storage of an input. Dtype and shape must be the input's.
  func write(_ tensor: Tensor, to input: String) throws(LTMError)
  /// The dtype of an input; `nil` where there is none of that name.
  func dtype(of input: String) -> DType?
  /// Lets `body` write the bytes of an input in place.
  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError)
  /// Runs every launch once; outputs that update an input replace its contents.
  func run() throws(LTMError)
  /// The value of an output, or of an input's storage as updated.
  func read(_ name: String) throws(LTMError) -> Tensor
  /// Whether the host need not wait for a run: what is written for the next one waits its turn on the device.
  var queuesRuns: Bool { get }
  /// Starts a run; the result waits for it and gives the values named, in order: those `before` as the run found them.
  func start(before: [String], after: [String]) throws(LTMError) -> PendingValues
  /// Another one, for a caller at the same time: with memory of its own for arguments, results and what is between, and
  /// the same weights, which may be written while none of them runs. `nil` where there can be only one.
  func sibling() throws(LTMError) -> (any Executable)?
  /// Lets `body` read the bytes of an output or of an input's storage, where they lie if the host can.
  func withBytes(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws(LTMError)
  /// Bytes by use, as allocated.
  var memory: MemoryUse { get }
  /// Whether inputs are zero until they are written.
  var startsAtZero: Bool { get }
}

extension Executable {
  package var startsAtZero: Bool { false }
  package var queuesRuns: Bool { false }
  package func sibling() throws(LTMError) -> (any Executable)? { nil }

  package func withBytes(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws(LTMError) {
    let tensor = try read(name)
    try reporting { try tensor.withUnsafeBytes(body) }
  }

  /// A run whose values are there when it returns.
  package func start(before: [String], after: [String]) throws(LTMError) -> PendingValues {
    let found = try before.map { (name) throws(LTMError) in try read(name) }
    try run()
    let made = try after.map { (name) throws(LTMError) in try read(name) }
    return { found + made }
  }
}

/// Values that a device has yet to compute; to be asked once.
package typealias PendingValues = () throws(LTMError) -> [Tensor]

/// Turns a graph whose dtypes and dimensions are settled into something that runs.
package protocol Backend: Sendable {
  /// What the graph reads beside its arguments are arrays of `storage`, which others may bind to as well.
  func compile(_ graph: Graph, in storage: SessionStorage) throws(LTMError) -> any Executable
  /// The same with the promise that in f32 a row's results are the same bits however many rows are computed together;
  /// `nil` where the target does not promise it.
  var ordered: (any Backend)? { get }
}

extension Backend {
  package var ordered: (any Backend)? { nil }
}

extension Backend {
  /// Compiles with storage of its own, all zero.
  package func compile(_ graph: Graph) throws(LTMError) -> any Executable {
    try compile(graph, in: SessionStorage())
  }
}

/// Bytes that a compiled entry holds, by use.
public struct MemoryUse: Sendable, Hashable {
  /// Weights as the forward pass reads them.
  public var weights = 0
  /// The f32 copies that the optimizer updates.
  public var masters = 0
  /// The optimizer's state.
  public var optimizerState = 0
  /// Running statistics and other state of layers.
  public var layerState = 0
  /// What a session keeps from call to call, and does not save: the keys and values of attention.
  public var caches = 0
  /// Values of the forward pass kept for the backward pass, casts of weights among them; 0 on the target `tpu`, whose
  /// compiler tells only the arena.
  public var activations = 0
  /// The planned arena: activations, gradients and temporaries, with reuse.
  public var arena = 0
  /// What kernels share beside the arena: operands as they are packed for products, prepacked weights among them. Known
  /// once machine code is made; 0 on targets whose compiler plans it.
  public var workspaces = 0
  /// What is given at each call, and what it gives back.
  public var arguments = 0

  package init() {}

  /// All of it. Activations lie in the arena.
  public var total: Int { ofSession + ofRun }

  /// What a session holds once, whatever binds to it.
  public var ofSession: Int { weights + masters + optimizerState + layerState + caches }

  /// What each executable has to itself.
  public var ofRun: Int { arena + workspaces + arguments }

  /// Weights and activations: what 16 bits halve.
  public var weightsAndActivations: Int { weights + activations }

  /// Adds the storage of a graph's inputs, by role.
  mutating func addInputs(of graph: Graph) {
    for input in graph.inputs {
      let type = graph[input.value].type
      add((type.staticShape.flatMap(elementCount) ?? 0) * type.dtype.byteCount, of: input.role)
    }
  }

  /// Adds an array of a session.
  mutating func add(_ bytes: Int, of role: GraphInput.Role) {
    switch role {
    case .parameter: weights += bytes
    case .master: masters += bytes
    case .optimizerState: optimizerState += bytes
    case .state: layerState += bytes
    case .cache: caches += bytes
    case .argument, .control: break
    }
  }
}
