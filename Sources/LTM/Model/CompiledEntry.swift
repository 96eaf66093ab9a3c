import LTMIR
import LTMRuntime
import LTMSupport
import Synchronization

/// An entry of a model, ready to be called from any thread. A new size of its symbolic dimensions compiles once more.
public final class CompiledEntry: Sendable {
  /// The entry's name.
  public let name: String
  /// The results' names, in order.
  public let results: [String]
  private let policy: PrecisionPolicy
  private let execution: Execution
  private let graph: Graph
  private let state: Mutex<State>

  /// What is compiled so far, by the sizes of its dimensions, and the weights that it holds.
  private struct State {
    var weights: [String: Tensor]
    var compiled: [[String: Int]: any Executable] = [:]
    var limits: [[String: Int]: [IndexLimit]] = [:]
    /// The reads of computed indices, and how many lay outside so far.
    var reads: [[String: Int]: [IndexRead]] = [:]
    var outside: [IndexRead: Int] = [:]
  }

  init(_ model: Model, _ entry: String, _ policy: PrecisionPolicy, _ execution: Execution) throws(LTMError) {
    name = entry
    self.policy = policy
    self.execution = execution
    graph = try reporting { try model.program.graph(entry: entry, training: false) }
    state = Mutex(State(weights: model.weights))
    results = graph.outputs.filter { $0.updates == nil }.map(\.name)
  }

  /// Runs the entry on arrays, by parameter; gives its results in order.
  ///
  /// Floating arrays are converted to the parameter's dtype. Throws when a name is missing, a shape disagrees, or an
  /// integer array holds what an index must not.
  public func callAsFunction(_ inputs: [String: Tensor]) throws(LTMError) -> [(name: String, tensor: Tensor)] {
    try checkNames(inputs)
    let graph = graph
    let sizes = try reporting { try graph.bindings(inputs.mapValues(\.shape)) }
    return try state.withLock { (state) throws(LTMError) in
      let executable: any Executable
      if let held = state.compiled[sizes] { executable = held } else { executable = try compile(sizes, &state) }
      state.compiled[sizes] = executable
      let limits: [IndexLimit]
      if let held = state.limits[sizes] {
        limits = held
      } else {
        limits = try reporting { try graph.bound(sizes).indexLimits }
      }
      state.limits[sizes] = limits
      for limit in limits {
        let problem = inputs[limit.input].flatMap { limit.problem(in: $0, from: name) }
        if let problem { throw LTMError(problem) }
      }
      for (name, tensor) in inputs { try executable.write(converting: tensor, to: name) }
      try executable.run()
      for (number, read) in (state.reads[sizes] ?? []).enumerated() {
        let count = try executable.read(Graph.outsideCount(number)).doubles.first ?? 0
        if count > 0 { state.outside[read.anywhere, default: 0] += Int(count) }
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
  func prepare(_ shapes: [String: [Int]]) throws(LTMError) {
    let sizes = try reporting { try graph.bindings(shapes) }
    try state.withLock { (state) throws(LTMError) in
      if state.compiled[sizes] == nil { state.compiled[sizes] = try compile(sizes, &state) }
    }
  }

  /// Whether the entry has a parameter of that name.
  func takes(_ parameter: String) -> Bool { graph.input(parameter)?.role == .argument }

  /// Takes other weights of the same model.
  func replaceWeights(by model: Model) throws(LTMError) {
    try state.withLock { (state) throws(LTMError) in
      state.weights = model.weights
      for executable in state.compiled.values { try executable.write(weights: model.weights, of: graph) }
    }
  }

  private func compile(_ sizes: [String: Int], _ state: inout State) throws(LTMError) -> any Executable {
    let cast = try Pipeline.inferenceCasts(sizes, policy).run(graph)
    let settled = try Pipeline.lowering.run(cast.countingOutside, stage: [.bound, .afterCasts])
    let executable = try execution.backend.compile(settled)
    try executable.write(weights: state.weights, of: settled)
    state.reads[sizes] = cast.computedIndexReads
    return executable
  }
}

extension Executable {
  /// Fills every input of a graph that is no argument.
  fileprivate func write(weights: [String: Tensor], of graph: Graph) throws(LTMError) {
    for input in graph.inputs where input.role != .argument {
      guard let tensor = weights[input.name] else { throw LTMError("there are no weights for '\(input.name)'") }
      try write(converting: tensor, to: input.name)
    }
  }

  /// Fills an input, converting floats to its dtype.
  func write(converting tensor: Tensor, to input: String) throws(LTMError) {
    guard let dtype = dtype(of: input) else { throw LTMError("there is no input '\(input)'") }
    guard tensor.dtype == dtype || tensor.dtype.isFloating == dtype.isFloating else {
      throw LTMError(
        "'\(input)' is \(dtype), and was given \(tensor.dtype)",
        notes: ["convert the array before it is saved, as with NumPy's .astype"])
    }
    try write(try tensor.converted(to: dtype, for: input), to: input)
  }
}

extension Tensor {
  /// The value of an input in its dtype; an error where a number is finite and would be no longer.
  func converted(to dtype: DType, for input: String) throws(LTMError) -> Tensor {
    let converted = converted(to: dtype)
    guard let index = firstOverflow(as: converted) else { return converted }
    throw LTMError(
      "'\(input)' holds \(doubles[index]) as element \(index), and \(dtype) ends at \(dtype.greatestFinite)",
      notes: ["scale the values, or use a wider precision"])
  }

  /// The first element that was finite and is no longer.
  private func firstOverflow(as converted: Tensor) -> Int? {
    guard converted.dtype != dtype, let first = firstNonFinite(converted) else { return nil }
    let (before, after) = (doubles, converted.doubles)
    return (first..<before.count).first { before[$0].isFinite && !after[$0].isFinite }
  }
}
