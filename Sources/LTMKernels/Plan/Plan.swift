import LTMIR
import LTMSupport

// A plan is a compiled entry without its machine code: buffers with places, and steps in order. The CPU's pool and a
// CUDA stream run the same plan. Nothing is allocated while it runs.

/// A buffer of a plan, or of a body: an index into the `buffers` of its frame.
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
    /// In a body: what the step that runs it passes for that parameter.
    case parameter(Int)
    /// In a flat plan: so many bytes into another buffer.
    case part(of: PlanBufferID, offset: Int)
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

/// A launch among all of a plan.
package struct PlannedLaunch: Hashable, Sendable {
  package let launch: Launch
  /// How often one run of the plan starts it.
  package let runs: Int
  /// Whether a loop starts it, and not only calls: what is constant to it may change from one loop to the next.
  package let isInLoop: Bool
  /// The index into `Plan.kernels`.
  package var kernel: Int { launch.kernel }
}

/// A body that runs several times, one iteration after the other.
package struct PlanLoop: Hashable, Sendable {
  /// The index into `Plan.bodies`.
  package var body: Int
  package var count: Int
  /// Whether the first iteration has the last rows.
  package var isReversed = false
  /// Whether it is a body that runs once: what is constant around it is constant in it.
  package var isCall = false
  /// What the body's parameters stand for, in their order. A parameter that is a row stands for row after row.
  package var arguments: [PlanBufferID]
  /// The body's arena, where it needs one.
  package var arena: PlanBufferID?
  package init(body: Int, count: Int, arguments: [PlanBufferID]) {
    self.body = body
    self.count = count
    self.arguments = arguments
  }

  /// The row that an iteration works on.
  package func row(_ iteration: Int) -> Int { isReversed ? count - 1 - iteration : iteration }
}

/// How ranks make something together.
package enum CollectiveForm: Hashable, Sendable {
  /// All of an array, in place.
  case join(CollectiveOperation)
  /// The sum or the mean of all, of which each gets its part.
  case scatter(CollectiveOperation)
  /// The parts of all, one after the other.
  case gather
}

/// What ranks make together of buffers of theirs.
package struct PlanCollective: Hashable, Sendable {
  /// A part of a buffer.
  package struct Part: Hashable, Sendable {
    package var buffer: PlanBufferID
    /// Elements in the order of memory.
    package var elements: Range<Int>
    package var form: CollectiveForm
    /// Where the result lies, unless it takes the place of what it is made of.
    package var result: PlanBufferID?
    package init(buffer: PlanBufferID, elements: Range<Int>, form: CollectiveForm, result: PlanBufferID? = nil) {
      (self.buffer, self.elements, self.form, self.result) = (buffer, elements, form, result)
    }
    /// Both.
    package var buffers: [PlanBufferID] { [buffer] + (result.map { [$0] } ?? []) }
  }
  /// Tells the collectives of a frame apart.
  package var number: Int
  package var parts: [Part]
  package init(number: Int, parts: [Part]) { (self.number, self.parts) = (number, parts) }
}

/// What a plan does next.
package enum PlanStep: Hashable, Sendable {
  case launch(Launch)
  case loop(PlanLoop)
  /// Begins a collective: until it is waited for, nothing touches its buffers.
  case start(PlanCollective)
  /// Waits for a collective that was begun.
  case wait(PlanCollective)

  /// The buffers that it reads or writes.
  package var buffers: [PlanBufferID] {
    switch self {
    case .launch(let launch): launch.arguments
    case .loop(let loop): loop.arguments + (loop.arena.map { [$0] } ?? [])
    case .start(let collective), .wait(let collective): collective.parts.flatMap(\.buffers)
    }
  }
}

/// Buffers, and the steps that use them.
package struct PlanFrame: Hashable, Sendable {
  package var buffers: [PlanBuffer] = []
  package var steps: [PlanStep] = []
  /// The size of the arena.
  package var arenaBytes = 0
  package init() {}
  package subscript(id: PlanBufferID) -> PlanBuffer { buffers[id.index] }
}

/// Steps that loops run.
package struct PlanBody: Hashable, Sendable {
  /// What a loop passes.
  package struct Parameter: Hashable, Sendable {
    package var access: KernelBuffer.Access
    /// Whether each iteration gets one row of the argument, instead of all of it.
    package var isRow: Bool
    package init(access: KernelBuffer.Access, isRow: Bool) {
      self.access = access
      self.isRow = isRow
    }
  }
  package var name: String
  package var parameters: [Parameter]
  package var frame: PlanFrame
  package init(name: String, parameters: [Parameter], frame: PlanFrame) {
    self.name = name
    self.parameters = parameters
    self.frame = frame
  }

  /// The buffer that a parameter is in the body; `nil` where no step uses it.
  package func buffer(of parameter: Int) -> PlanBuffer? { frame.buffers.first { $0.place == .parameter(parameter) } }
}

/// A compiled entry, short of machine code.
package struct Plan: Hashable, Sendable {
  package var name: String
  /// Each distinct kernel once: equal blocks of a model share theirs.
  package var kernels: [Kernel]
  /// Each distinct body once, after those that it runs itself.
  package var bodies: [PlanBody]
  /// What runs.
  package var frame: PlanFrame
  /// Bytes of arena buffers that hold values of the forward pass needed by the backward pass (all, when there is none), summed without reuse: "activations".
  package var activationBytes: Int

  package init(name: String) {
    self.name = name
    kernels = []
    bodies = []
    frame = PlanFrame()
    activationBytes = 0
  }

  package var buffers: [PlanBuffer] {
    get { frame.buffers }
    _modify { yield &frame.buffers }
  }
  package var steps: [PlanStep] {
    get { frame.steps }
    _modify { yield &frame.steps }
  }
  /// The size of the arena, those of bodies included.
  package var arenaBytes: Int {
    get { frame.arenaBytes }
    _modify { yield &frame.arenaBytes }
  }

  package subscript(id: PlanBufferID) -> PlanBuffer { buffers[id.index] }

  /// Every launch once, those of a body at each step that runs it, in order.
  package var launches: [PlannedLaunch] { launches(of: steps, runs: 1, isInLoop: false) }

  private func launches(of steps: [PlanStep], runs: Int, isInLoop: Bool) -> [PlannedLaunch] {
    steps.flatMap { step -> [PlannedLaunch] in
      switch step {
      case .launch(let launch): [PlannedLaunch(launch: launch, runs: runs, isInLoop: isInLoop)]
      case .loop(let loop):
        launches(of: bodies[loop.body].frame.steps, runs: runs * loop.count, isInLoop: isInLoop || !loop.isCall)
      case .start, .wait: []
      }
    }
  }

  /// The buffers that a step passes on, and what is done to them.
  package func accesses(of step: PlanStep) -> [(id: PlanBufferID, access: KernelBuffer.Access)] {
    switch step {
    case .launch(let launch): zip(launch.arguments, kernels[launch.kernel].buffers).map { ($0, $1.access) }
    case .loop(let loop): zip(loop.arguments, bodies[loop.body].parameters).map { ($0, $1.access) }
    case .start(let collective), .wait(let collective):
      collective.parts.flatMap { part -> [(id: PlanBufferID, access: KernelBuffer.Access)] in
        guard let result = part.result else { return [(part.buffer, .readWrite)] }
        // It is written once, from when it is begun.
        if case .wait = step { return [(part.buffer, .read), (result, .readWrite)] }
        return [(part.buffer, .read), (result, .write)]
      }
    }
  }
}
