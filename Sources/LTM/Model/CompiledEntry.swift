import LTMIR
import LTMRuntime
import LTMSupport
import Synchronization

/// An entry of a model, ready to be called from any thread, from several at once too: each call has memory of its own, and the
/// weights are there once, for all calls and sizes. A new size of its symbolic dimensions compiles once more; so many sizes are
/// kept, the least recently used go.
public final class CompiledEntry: Sendable {
  /// How many sizes are kept where nothing else is said.
  public static let defaultSizeLimit = 16

  /// The entry's name.
  public let name: String
  /// The results' names, in order.
  public let results: [String]
  /// How many sizes are kept.
  public let sizeLimit: Int
  private let policy: PrecisionPolicy
  private let execution: Execution
  private let graph: Graph
  private let modelSeed: UInt64
  /// What arguments are filled up to.
  private let buckets: BucketedSizes?
  /// Weights and states, for every size.
  private let storage: SessionStorage
  private let state = Mutex(State())

  /// What is compiled so far.
  fileprivate struct State {
    var compiled: [[String: Int]: Size] = [:]
    /// Counts uses of sizes.
    var uses = 0
    /// How many computed indices lay outside so far, by the read.
    var outside: [IndexRead: Int] = [:]
  }

  /// The sizes of the symbolic dimensions, with what was compiled for them.
  fileprivate struct Size {
    let limits: [IndexLimit]
    /// The reads of computed indices.
    let reads: [IndexRead]
    let executables: ExecutablePool
    /// `State.uses` at the last use.
    var lastUse = 0
  }

  /// - Parameters:
  ///   - storage: where weights and states lie; where it is left out, the entry has its own, with the model's.
  ///   - graph: what is run of the entry; all of it, where it is left out.
  init(
    _ model: Model, _ entry: String, _ policy: PrecisionPolicy, _ execution: Execution,
    sizeLimit: Int = defaultSizeLimit, buckets: Buckets? = nil, in storage: SessionStorage? = nil,
    graph partial: Graph? = nil
  ) throws(LTMError) {
    guard sizeLimit > 0 else { throw LTMError("\(sizeLimit) sizes are to be kept: at least 1 is needed") }
    name = entry
    self.sizeLimit = sizeLimit
    self.policy = policy
    self.execution = execution
    graph = if let partial { partial } else { try model.graph(entry, training: false) }
    modelSeed = model.seed
    self.buckets = try buckets.map { [graph] (buckets) throws(LTMError) in
      try BucketedSizes(graph, buckets, entry: entry)
    }
    self.storage = storage ?? SessionStorage(contents: WeightSource(model).contents)
    results = graph.outputs.filter { $0.updates == nil }.map(\.name)
  }

  /// Runs the entry on arrays, by parameter; gives its results in order.
  ///
  /// Floating arrays are converted to the parameter's dtype. Throws when a name is missing, a shape disagrees, or an
  /// integer array holds what an index must not.
  ///
  /// - Parameters:
  ///   - seed: of the random numbers that the entry draws; the model's, when left out.
  ///   - attempt: which of a sequence of calls it is: each draws numbers of its own.
  public func callAsFunction(
    _ inputs: [String: Tensor], seed: UInt64? = nil, attempt: Int = 0
  ) throws(LTMError) -> [(name: String, tensor: Tensor)] {
    try checkNames(inputs)
    let exact = try buckets.map { (_) throws(LTMError) in
      try reporting { try graph.bindings(inputs.mapValues(\.shape)) }
    }
    let inputs = try buckets?.filled(inputs, exact ?? [:]) ?? inputs
    let size = try size(of: inputs.mapValues(\.shape))
    for limit in size.limits {
      let problem = inputs[limit.input].flatMap { limit.problem(in: $0, from: name) }
      if let problem { throw LTMError(problem) }
    }
    return try use(size) { (executable) throws(LTMError) in
      for (name, tensor) in inputs { try executable.write(converting: tensor, to: name) }
      if draws { try executable.write(seed: seed ?? modelSeed, attempt: attempt) }
      try executable.run()
      for (number, read) in size.reads.enumerated() {
        let count = Int(try executable.read(Graph.outsideCount(number)).doubles.first ?? 0)
        if count > 0 { state.withLock { $0.outside[read.anywhere, default: 0] += count } }
      }
      return try results.map { (name) throws(LTMError) in
        let whole = try executable.read(name)
        return (name, try buckets?.cut(name, whole, exact ?? [:]) ?? whole)
      }
    }
  }

  /// What the calls so far have met: computed indices outside of what they point into.
  public var warnings: [Diagnostic] {
    let outside = state.withLock { $0.outside }
    return outside.map { $0.warning(outside: $1).showingItsLine() }.sorted { $0.message < $1.message }
  }

  /// Lets `body` have an executable of that size to itself: alone where it writes a state, else beside others.
  private func use<R>(_ size: Size, _ body: (any Executable) throws(LTMError) -> R) throws(LTMError) -> R {
    let writesState = graph.outputs.contains { $0.updates != nil }
    if writesState { return try storage.exclusively { () throws(LTMError) in try size.executables.use(body) } }
    return try storage.sharing { () throws(LTMError) in try size.executables.use(body) }
  }

  private func checkNames(_ inputs: [String: Tensor]) throws(LTMError) {
    let arguments = graph.inputs.filter { $0.role == .argument }
    for argument in arguments where inputs[argument.name] == nil {
      throw LTMError(
        "no value for '\(argument.name)', which is \(graph[argument.value].type.sourceText)",
        notes: ["given: \(listed(inputs.keys)); 'ltm run' takes it as --input \(argument.name)=FILE"])
    }
    for name in inputs.keys.sorted() where !arguments.contains(where: { $0.name == name }) {
      throw LTMError("'\(self.name)' has no parameter '\(name)'", notes: ["it has \(listed(arguments.map(\.name)))"])
    }
  }

  /// What a parameter takes of texts: its dtype, how many tokens where it says so, and what they may be.
  func textParameter(_ name: String) throws(LTMError) -> (dtype: DType, length: Int?, limits: [IndexLimit]) {
    guard takes(name), let type = graph.input(name).map({ graph[$0.value].type }) else {
      throw LTMError("'\(self.name)' has no parameter '\(name)'")
    }
    guard type.shape.count == 2 else {
      throw LTMError(
        "'\(name)' of '\(self.name)' is \(type.sourceText), and texts are rows of tokens",
        notes: ["a parameter i32[B, T] takes the tokens, a bool[B, T] says where they are"])
    }
    return (type.dtype, type.shape[1].constant, graph.indexLimits.filter { $0.input == name })
  }

  /// How many sizes are compiled.
  package var sizeCount: Int { state.withLock { $0.compiled.count } }

  /// Compiles for arrays of these shapes, so that the first call does not.
  func prepare(_ shapes: [String: [Int]]) throws(LTMError) { try size(of: shapes).executables.prepare() }

  /// What belongs to arrays of these shapes; compiled by who uses it first.
  private func size(of shapes: [String: [Int]]) throws(LTMError) -> Size {
    let sizes = try reporting { try graph.bindings(shapes) }
    if let known = state.withLock({ $0.used(sizes) }) { return known }
    let limits = try reporting { try graph.bound(sizes).indexLimits }
    let cast = try Pipeline.inferenceCasts(sizes, policy).run(graph)
    let (backend, storage) = (execution.backend, storage)
    let made = Size(
      limits: limits, reads: cast.computedIndexReads,
      executables: ExecutablePool { () throws(LTMError) in
        let settled = try Pipeline.lowering.run(cast.countingOutside, stage: [.bound, .afterCasts])
        return try backend.compile(settled, in: storage)
      })
    return state.withLock { $0.add(made, for: sizes, limit: sizeLimit) }
  }

  /// Whether the entry draws random numbers.
  public var draws: Bool { graph.input(Graph.seed) != nil }

  /// Whether the entry has a parameter of that name.
  func takes(_ parameter: String) -> Bool { graph.input(parameter)?.role == .argument }

  /// Takes the weights and states of another model of the same kind, trained further say, once the calls that are under way
  /// have ended. Throws before the first is replaced where one does not fit.
  public func replaceWeights(with model: Model) throws(LTMError) {
    for input in graph.inputs where input.role == .parameter || input.role == .state {
      let (type, given) = (graph[input.value].type, model.spec(input.name)?.shape)
      guard given == nil || given != type.staticShape else { continue }
      throw LTMError(
        "'\(input.name)' of '\(name)' is \(type.sourceText), and \(model.name) has "
          + (given.map { "one of the shape \($0)" } ?? "none of that name"),
        notes: ["another model's weights fit where names and shapes are the same"])
    }
    try storage.replace(WeightSource(model).contents)
  }

  /// Bytes of what is compiled, as allocated: without weights and states, which lie in the storage.
  var memoryBytes: Int {
    state.withLock { Array($0.compiled.values) }.reduce(0) { $0 + $1.executables.memoryBytes }
  }
}

extension CompiledEntry.State {
  /// What is compiled for these sizes, which are used now.
  fileprivate mutating func used(_ sizes: [String: Int]) -> CompiledEntry.Size? {
    uses += 1
    compiled[sizes]?.lastUse = uses
    return compiled[sizes]
  }

  /// Keeps what was made for these sizes, or gives what another caller has made meanwhile. Of too many the least recently used
  /// goes; who is at it still holds it.
  fileprivate mutating func add(_ made: CompiledEntry.Size, for sizes: [String: Int], limit: Int) -> CompiledEntry.Size
  {
    if let known = used(sizes) { return known }
    while compiled.count >= limit, let oldest = compiled.min(by: { $0.value.lastUse < $1.value.lastUse }) {
      compiled[oldest.key] = nil
    }
    compiled[sizes] = made
    return used(sizes) ?? made
  }
}

extension Executable {
  /// Says what random numbers are drawn with.
  func write(seed: UInt64, attempt: Int) throws(LTMError) {
    guard let key = seedKey(seed), let number = Tensor([Double(attempt)], shape: [], dtype: .i32) else { return }
    try write(key, to: Graph.seed)
    try write(number, to: Graph.attempt)
  }

  /// Fills an input, converting to its dtype what that can hold.
  func write(converting tensor: Tensor, to input: String) throws(LTMError) {
    guard let dtype = dtype(of: input) else { throw LTMError("there is no input '\(input)'") }
    try write(try tensor.fitting(dtype, input: input), to: input)
  }
}
