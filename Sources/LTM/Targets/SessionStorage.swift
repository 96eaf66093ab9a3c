import LTMIR
import LTMRuntime
import LTMSupport

/// The arrays that outlive executables: weights, masters, states of layers and optimizers, caches, a step's scalars. Executables
/// bind to them, so that all sizes of an entry, and evaluation beside training, read one copy.
///
/// Any thread may bind. Who runs an executable that only reads does so under ``sharing(_:)``, who writes under
/// ``exclusively(_:)``.
package final class SessionStorage: @unchecked Sendable {
  /// What arrays hold at first.
  package struct Contents: Sendable {
    /// By an array's name; `nil` for zeros.
    let tensor: @Sendable (_ name: String) throws(LTMError) -> Tensor?
    /// Told when an array holds it.
    var isHeld: @Sendable (_ name: String) -> Void = { _ in }

    /// Zeros.
    static let zeros = Contents { (_) throws(LTMError) in nil }
  }

  private struct Key: Hashable {
    let name: String
    let dtype: DType
  }

  /// An array that follows one of the base: a cast of it, or a copy that runs here change.
  private struct Follower {
    let array: SessionArray
    let source: SessionArray
    /// Of both, when they were last the same.
    var versions: (array: Int, source: Int)

    var isCurrent: Bool { versions.array == array.version && versions.source == source.version }

    mutating func update() throws(LTMError) {
      try array.write(converting: try source.read())
      versions = (array.version, source.version)
    }
  }

  /// Another session's storage that is read, with what it holds for each weight by its own name.
  private struct Base {
    let storage: SessionStorage
    let weights: [String: SessionArray]
    /// Whether what lies there under a weight's own name is another value than this one: not its average.
    let isAveraged: Bool
  }

  private let access = ReadWriteLock()
  private let base: Base?
  /// Guards all below. Arrays are made and filled under it, so that nobody binds to one that is empty still.
  private let lock = Lock()
  private var contents: Contents
  private var arrays: [Key: SessionArray] = [:]
  private var followers: [Key: Follower] = [:]

  /// Storage of its own.
  init(contents: Contents) { (base, self.contents) = (nil, contents) }

  /// Storage of its own, all zero.
  package convenience init() { self.init(contents: .zeros) }

  /// Storage of those who only read what another session changes. What they want in the dtype in which it lies there is
  /// the same array; what they want in another one, or write, is a copy here, which ``refresh()`` brings up to date.
  ///
  /// - Parameters:
  ///   - weights: what the other one holds for each weight, a master say.
  ///   - isAveraged: whether those are averages, and no casts of what lies there under the weights' own names.
  ///   - contents: of what it does not hold.
  init(
    reading storage: SessionStorage, weights: [String: SessionArray], isAveraged: Bool = false, contents: Contents
  ) {
    (base, self.contents) = (Base(storage: storage, weights: weights, isAveraged: isAveraged), contents)
  }

  // MARK: Access

  /// Runs `body` while no one writes.
  package func sharing<R>(_ body: () throws(LTMError) -> R) throws(LTMError) -> R { try access.withReadLock(body) }

  /// Runs `body` alone.
  package func exclusively<R>(_ body: () throws(LTMError) -> R) throws(LTMError) -> R {
    try access.withWriteLock(body)
  }

  // MARK: Binding

  /// The array of that name and dtype that lies here.
  package subscript(name: String, dtype: DType) -> SessionArray? {
    lock.withLock { arrays[Key(name: name, dtype: dtype)] }
  }

  /// The arrays of a graph's inputs by name, but for what a caller has to itself. `make` gives zeroed memory for those that are not there yet.
  package func bind(
    _ graph: Graph, make: ([GraphInput]) throws(LTMError) -> [any ArrayMemory]
  ) throws(LTMError) -> [String: SessionArray] {
    try lock.withLock { () throws(LTMError) in
      let written = Set(graph.outputs.compactMap(\.updates))
      var bound: [String: SessionArray] = [:]
      var missing: [GraphInput] = []
      for input in graph.inputs where !graph.isOfCaller(input) {
        let type = graph[input.value].type
        guard let array = held(input.name, type.dtype, isWritten: written.contains(input.name)) else {
          missing.append(input)
          continue
        }
        guard array.shape == type.staticShape else {
          throw LTMError(
            "'\(input.name)' is \(array.dtype)\(array.shape) in one graph and \(type) in another",
            notes: input.role == .cache ? ["a cache keeps the sizes of the first call: compile the entry anew"] : [])
        }
        bound[input.name] = array
      }
      if missing.isEmpty { return bound }
      for (input, memory) in zip(missing, try make(missing)) {
        let type = graph[input.value].type
        let array = SessionArray(input.name, input.role, type.dtype, type.staticShape ?? [], memory)
        try fill(array)
        arrays[Key(name: input.name, dtype: type.dtype)] = array
        bound[input.name] = array
      }
      return bound
    }
  }

  private func held(_ name: String, _ dtype: DType, isWritten: Bool) -> SessionArray? {
    if !isWritten, let base {
      let weight = base.weights[name]
      let own = base.isAveraged && weight != nil ? nil : base.storage[name, dtype]
      let there = own ?? weight.flatMap { $0.dtype == dtype ? $0 : nil }
      if let there { return there }
    }
    return arrays[Key(name: name, dtype: dtype)]
  }

  private func fill(_ array: SessionArray) throws(LTMError) {
    // A cache begins as zeros, which new memory is.
    if array.role == .cache { return }
    guard let source = base?.weights[array.name] ?? base?.storage[array.name, array.dtype] else {
      if let tensor = try contents.tensor(array.name) { try array.write(converting: tensor) }
      return contents.isHeld(array.name)
    }
    var follower = Follower(array: array, source: source, versions: (0, 0))
    try follower.update()
    followers[Key(name: array.name, dtype: array.dtype)] = follower
  }

  // MARK: Contents

  /// Copies anew what has changed in the base, or here, since it was copied.
  package func refresh() throws(LTMError) {
    try exclusively { () throws(LTMError) in
      try lock.withLock { () throws(LTMError) in
        let stale = followers.filter { !$1.isCurrent }.keys.sorted { $0.name < $1.name }
        for key in stale { try followers[key]?.update() }
      }
    }
  }

  /// Gives all arrays other contents, and those that are yet to be made. Throws before the first is written where one
  /// cannot take them.
  func replace(_ contents: Contents) throws(LTMError) {
    try exclusively { () throws(LTMError) in
      try lock.withLock { () throws(LTMError) in
        let all = arrays.values.filter { $0.role != .cache }.sorted { $0.name < $1.name }
        for array in all { if let tensor = try contents.tensor(array.name) { _ = try array.converted(tensor) } }
        for array in all { if let tensor = try contents.tensor(array.name) { try array.write(converting: tensor) } }
        for array in all { contents.isHeld(array.name) }
        self.contents = contents
      }
    }
  }

  /// Makes all caches zeros again.
  package func resetCaches() throws(LTMError) {
    try exclusively { () throws(LTMError) in
      try lock.withLock { () throws(LTMError) in
        for array in arrays.values where array.role == .cache {
          guard let zeros = Tensor(zeros: array.shape, dtype: array.dtype) else { continue }
          try array.write(zeros)
        }
      }
    }
  }

  /// Bytes of what lies here, by use; what lies in the base is counted there.
  package var memory: MemoryUse {
    lock.withLock {
      arrays.values.reduce(into: MemoryUse()) { $0.add($1.byteCount, of: $1.role) }
    }
  }
}

extension SessionArray {
  /// The tensor in the array's dtype, where that can hold it.
  fileprivate func converted(_ tensor: Tensor) throws(LTMError) -> Tensor {
    let fitting = try tensor.fitting(dtype, input: name)
    try checkFit(fitting, name, dtype, shape)
    return fitting
  }

  fileprivate func write(converting tensor: Tensor) throws(LTMError) { try write(try converted(tensor)) }
}

extension Tensor {
  /// The tensor in the dtype of an input that it is meant for.
  func fitting(_ other: DType, input: String) throws(LTMError) -> Tensor {
    guard dtype == other || dtype.isFloating == other.isFloating else {
      throw LTMError(
        "'\(input)' is \(other), and was given \(dtype)",
        notes: ["convert the array before it is saved, as with NumPy's .astype"])
    }
    return try converted(to: other, as: input)
  }
}

extension Graph {
  /// Whether an input belongs to one caller: an argument, or, of what only reads, the seed and the number of the call.
  func isOfCaller(_ input: GraphInput) -> Bool {
    input.role == .argument || (input.role == .control && !outputs.contains { $0.updates != nil })
  }
}
