/// Finds the tensors of a pickle under the names that a state dict gives them.
struct TorchTree {
  typealias Found = (name: String, tensor: TorchTensor)
  private let pickle: Pickle
  private let path: String
  private var visits = 0
  /// A file may share one dictionary among many: what it spans is bounded, not only what it holds.
  private static let visitLimit = 1_000_000
  private static let depthLimit = 64
  /// What training scripts call the weights among all that a checkpoint holds, the likeliest first.
  private static let usual = [
    "state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights",
  ]

  init(_ pickle: Pickle, _ path: String) { (self.pickle, self.path) = (pickle, path) }

  /// The tensors below `key`; without one, those of the file's own state dict, or of the one that is called as usual.
  mutating func tensors(_ key: String?) throws(FileError) -> [Found] {
    let found = if let key { try below(key) } else { try usualTensors() }
    guard !found.isEmpty else {
      throw FileError(path, "holds no tensor\(key.map { " below '\(shown($0))'" } ?? "")", remedy: offered())
    }
    let isParallel = found.allSatisfy { $0.name.hasPrefix("module.") }
    return isParallel ? found.map { (String($0.name.dropFirst(7)), $0.tensor) } : found
  }

  private mutating func usualTensors() throws(FileError) -> [Found] {
    let entries = pickle.entries(pickle.root) ?? []
    let hasOwn = entries.contains { TorchTensor($0.value, in: pickle) != nil }
    if !hasOwn {
      for name in Self.usual {
        guard let entry = entries.first(where: { $0.key == name }) else { continue }
        let found = try collected(entry.value)
        if !found.isEmpty { return found }
      }
    }
    return try collected(pickle.root)
  }

  private mutating func below(_ key: String) throws(FileError) -> [Found] {
    guard let entry = pickle.entries(pickle.root)?.first(where: { $0.key == key }) else {
      throw FileError(path, "holds nothing that is called '\(shown(key))'", remedy: offered())
    }
    return try collected(entry.value)
  }

  private func offered() -> String? {
    let keys = (pickle.entries(pickle.root) ?? []).map { shown($0.key) }
    return keys.isEmpty ? nil : "it holds \(keys.prefix(20).joined(separator: ", "))\(keys.count > 20 ? ", ..." : "")"
  }

  private mutating func collected(_ value: Pickle.Value) throws(FileError) -> [Found] {
    var found: [Found] = []
    try collect(value, "", 0, &found)
    return found
  }

  private mutating func collect(
    _ value: Pickle.Value, _ name: String, _ depth: Int, _ found: inout [Found]
  ) throws(FileError) {
    visits += 1
    guard visits < Self.visitLimit, depth < Self.depthLimit else {
      throw FileError(
        path, "nests its tensors too deeply, or shares them without end", remedy: "save a plain state dict")
    }
    if let tensor = TorchTensor(value, in: pickle) {
      found.append((name.isEmpty ? "tensor" : name, tensor))
      return
    }
    for (key, inner) in children(of: value) {
      let path = key.isEmpty ? name : name.isEmpty ? key : "\(name).\(key)"
      try collect(inner, path, depth + 1, &found)
    }
  }

  /// What stands within a value, by name: a module's own three dictionaries have none.
  private func children(of value: Pickle.Value) -> [(key: String, value: Pickle.Value)] {
    if let entries = pickle.entries(value) { return entries }
    if let cell = pickle.cell(value, .call) {
      let state = pickle.entries(cell.state) ?? []
      let own = state.filter { ["_parameters", "_buffers", "_modules"].contains($0.key) }
      return own.isEmpty ? state : own.map { ("", $0.value) }
    }
    guard case .cell(let index) = value, [.list, .tuple].contains(pickle.cells[index].kind) else { return [] }
    return pickle.cells[index].items.enumerated().map { ("\($0)", $1) }
  }
}
