import LTMIR
import LTMSupport

/// Where a compiled entry runs.
public enum Target: String, Sendable, CaseIterable {
  /// This machine's processor, through kernels that LLVM compiles.
  case cpu
  /// The reference interpreter: slow, obvious, every op rounded to its dtype. The judge of the others.
  case interpreter
  /// A TPU, or any other device of a PJRT plugin.
  case tpu
  /// An NVIDIA GPU, through its driver, which is opened at run time.
  case cuda
}

/// A compiled graph with its memory. Not thread-safe: one caller at a time.
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
  /// Bytes by use, as allocated.
  var memory: MemoryUse { get }
  /// Whether inputs are zero until they are written.
  var startsAtZero: Bool { get }
}

extension Executable {
  package var startsAtZero: Bool { false }
}

/// An executable whose runs the host need not wait for: what is written for the next run waits its turn on the device.
package protocol QueuedExecutable: Executable {
  /// Starts a run; the result waits for it and gives the values named, in order: those `before` as the run found them.
  func start(before: [String], after: [String]) throws(LTMError) -> PendingValues
}

/// Values that a device has yet to compute; to be asked once.
package typealias PendingValues = () throws(LTMError) -> [Tensor]

/// Turns a graph whose dtypes and dimensions are settled into something that runs.
package protocol Backend: Sendable {
  func compile(_ graph: Graph) throws(LTMError) -> any Executable
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
  /// Values of the forward pass kept for the backward pass, casts of weights among them; 0 on the target `tpu`, whose
  /// compiler tells only the arena.
  public var activations = 0
  /// The planned arena: activations, gradients and temporaries, with reuse.
  public var arena = 0

  package init() {}

  /// Weights and activations: what 16 bits halve.
  public var weightsAndActivations: Int { weights + activations }

  /// Adds the storage of a graph's inputs, by role.
  mutating func addInputs(of graph: Graph) {
    for input in graph.inputs {
      let type = graph[input.value].type
      let bytes = (type.staticShape.flatMap(elementCount) ?? 0) * type.dtype.byteCount
      switch input.role {
      case .parameter: weights += bytes
      case .master: masters += bytes
      case .optimizerState: optimizerState += bytes
      case .state: layerState += bytes
      case .argument, .control: break
      }
    }
  }
}
