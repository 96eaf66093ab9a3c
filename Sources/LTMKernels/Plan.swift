import LTMIR
import LTMSupport

// A plan is a compiled entry without its machine code: buffers with places, and launches in order. The CPU's pool and a
// CUDA stream run the same plan. Nothing is allocated while it runs.

/// A buffer of a plan: an index into `Plan.buffers`.
package struct PlanBufferID: Hashable, Sendable {
  package let index: Int
  package init(_ index: Int) { self.index = index }
}

/// A part of memory.
package struct PlanBuffer: Hashable, Sendable {
  package enum Place: Hashable, Sendable {
    /// Owned by the caller: the graph input of that name; a plan writes to it only where an output `updates` it.
    case input(String)
    /// Owned by the caller: the graph output of that name.
    case output(String)
    /// In the arena, at this byte offset (a multiple of 64), alive only between its first writer and last reader.
    case arena(Int)
  }
  package var name: String
  package var dtype: DType
  package var shape: [Int]
  package var place: Place
  package init(name: String, dtype: DType, shape: [Int], place: Place) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.place = place
  }
  /// Bytes of the elements, unpadded.
  package var byteCount: Int { shape.reduce(1, *) * dtype.byteCount }
}

/// One kernel on its buffers.
package struct Launch: Hashable, Sendable {
  /// The index into `Plan.kernels`.
  package var kernel: Int
  /// In the order of the kernel's buffers.
  package var arguments: [PlanBufferID]
  /// Graph values that this launch computes and stores, with their nodes' places, for profiles and blame.
  package var results: [ValueID]
  package init(kernel: Int, arguments: [PlanBufferID], results: [ValueID]) {
    self.kernel = kernel
    self.arguments = arguments
    self.results = results
  }
}

/// A compiled entry, short of machine code.
package struct Plan: Hashable, Sendable {
  package var name: String
  /// Each distinct kernel once: equal blocks of a model share theirs.
  package var kernels: [Kernel]
  package var launches: [Launch]
  package var buffers: [PlanBuffer]
  /// The size of the arena.
  package var arenaBytes: Int
  /// Bytes of arena buffers that hold values of the forward pass needed by the backward pass (all, when there is none), summed without reuse: "activations".
  package var activationBytes: Int

  package init(name: String) {
    self.name = name
    kernels = []
    launches = []
    buffers = []
    arenaBytes = 0
    activationBytes = 0
  }

  package subscript(id: PlanBufferID) -> PlanBuffer { buffers[id.index] }
}
