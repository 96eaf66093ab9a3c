import LTMIR
import LTMRuntime
import LTMSupport
import Synchronization

/// An entry of a model, ready to be called from any thread, from several at once too: each call has memory of its own, and the
/// weights are shared. A new size of its symbolic dimensions compiles once more.
public final class CompiledEntry: Sendable {
  /// The entry's name.
  public let name: String
  /// The results' names, in order.
  public let results: [String]
  private let policy: PrecisionPolicy
  private let execution: Execution
  private let graph: Graph
  private let state: Mutex<State>

  /// What is compiled so far, and the model whose weights it holds.
  private struct State {
    let model: Model
    var compiled: [[String: Int]: Size] = [:]
    /// How many computed indices lay outside so far, by the read.
    var outside: [IndexRead: Int] = [:]
  }

  /// The sizes of the symbolic dimensions, with what was compiled for them.
  private struct Size {
    let limits: [IndexLimit]
    /// The reads of computed indices.
    let reads: [IndexRead]
    let executables: ExecutablePool
  }

  init(_ model: Model, _ entry: String, _ policy: PrecisionPolicy, _ execution: Execution) throws(LTMError) {
    name = entry
    self.policy = policy
    self.execution = execution
    graph = try model.graph(entry, training: false)
    state = Mutex(State(model: model))
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
    let size = try size(of: inputs.mapValues(\.shape))
    for limit in size.limits {
      let problem = inputs[limit.input].flatMap { limit.problem(in: $0, from: name) }
      if let problem { throw LTMError(problem) }
    }
    return try size.executables.use { (executable) throws(LTMError) in
      for (name, tensor) in inputs { try executable.write(converting: tensor, to: name) }
      if draws { try executable.write(seed: seed ?? state.withLock { $0.model.seed }, attempt: attempt) }
      try executable.run()
      for (number, read) in size.reads.enumerated() {
        let count = Int(try executable.read(Graph.outsideCount(number)).doubles.first ?? 0)
        if count > 0 { state.withLock { $0.outside[read.anywhere, default: 0] += count } }
      }
      return try results.map { (name) throws(LTMError) in (name, try executable.read(name)) }
    }
  }

  /// What the calls so far have met: computed indices outside of what they point into.
  public var warnings: [Diagnostic] {
    let outside = state.withLock { $0.outside }
    return outside.map { $0.warning(outside: $1).showingItsLine() }.sorted { $0.message < $1.message }
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

  /// Compiles for arrays of these shapes, so that the first call does not.
  func prepare(_ shapes: [String: [Int]]) throws(LTMError) { try size(of: shapes).executables.prepare() }

  /// What belongs to arrays of these shapes; compiled by who uses it first.
  private func size(of shapes: [String: [Int]]) throws(LTMError) -> Size {
    let sizes = try reporting { try graph.bindings(shapes) }
    if let known = state.withLock({ $0.compiled[sizes] }) { return known }
    let limits = try reporting { try graph.bound(sizes).indexLimits }
    let cast = try Pipeline.inferenceCasts(sizes, policy).run(graph)
    let made = Size(
      limits: limits, reads: cast.computedIndexReads,
      executables: ExecutablePool { [unowned self] () throws(LTMError) in try compile(cast) })
    return state.withLock { state in
      if let known = state.compiled[sizes] { return known }
      state.compiled[sizes] = made
      return made
    }
  }

  /// Whether the entry draws random numbers.
  public var draws: Bool { graph.input(Graph.seed) != nil }

  /// Whether the entry has a parameter of that name.
  func takes(_ parameter: String) -> Bool { graph.input(parameter)?.role == .argument }

  /// Takes other weights of the same model, one at a time, once the calls that are under way have ended.
  func replaceWeights(_ weight: (String) throws(LTMError) -> Tensor?) throws(LTMError) {
    let compiled = state.withLock { Array($0.compiled.values) }
    for input in graph.inputs where input.role.isWeight {
      guard let tensor = try weight(input.name) else { continue }
      for size in compiled {
        try size.executables.useAll { (executables) throws(LTMError) in
          for executable in executables { try executable.write(converting: tensor, to: input.name) }
        }
      }
    }
  }

  /// Bytes of what is compiled, as allocated.
  var memoryBytes: Int {
    state.withLock { Array($0.compiled.values) }.reduce(0) { $0 + $1.executables.memoryBytes }
  }

  private func compile(_ cast: Graph) throws(LTMError) -> any Executable {
    let settled = try Pipeline.lowering.run(cast.countingOutside, stage: [.bound, .afterCasts])
    let executable = try execution.backend.compile(settled)
    try executable.write(weightsOf: state.withLock { $0.model }, in: settled)
    return executable
  }
}

extension Executable {
  /// Fills every input of a graph that is no argument.
  fileprivate func write(weightsOf model: Model, in graph: Graph) throws(LTMError) {
    for input in graph.inputs where input.role.isWeight {
      guard let tensor = model.weight(input.name) else { throw LTMError("there are no weights for '\(input.name)'") }
      try write(converting: tensor, to: input.name)
    }
  }

  /// Says what random numbers are drawn with.
  func write(seed: UInt64, attempt: Int) throws(LTMError) {
    guard let key = seedKey(seed), let number = Tensor([Double(attempt)], shape: [], dtype: .i32) else { return }
    try write(key, to: Graph.seed)
    try write(number, to: Graph.attempt)
  }

  /// Fills an input, converting to its dtype what that can hold.
  func write(converting tensor: Tensor, to input: String) throws(LTMError) {
    guard let dtype = dtype(of: input) else { throw LTMError("there is no input '\(input)'") }
    guard tensor.dtype == dtype || tensor.dtype.isFloating == dtype.isFloating else {
      throw LTMError(
        "'\(input)' is \(dtype), and was given \(tensor.dtype)",
        notes: ["convert the array before it is saved, as with NumPy's .astype"])
    }
    try write(try tensor.converted(to: dtype, as: input), to: input)
  }
}

extension GraphInput.Role {
  /// Whether a model has a value for it.
  var isWeight: Bool { self != .argument && self != .control }
}
