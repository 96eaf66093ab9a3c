import LTMFrontEnd
import LTMIR
import LTMRuntime
import LTMSupport

/// How a weight is made of others.
indirect enum WeightRecipe: Hashable, Sendable {
  case stored(String)
  case transposed(WeightRecipe)
  /// One of so many equal parts along the first axis.
  case part(WeightRecipe, Int, of: Int)
  /// Along the first axis.
  case joined([WeightRecipe])

  /// Two transpositions are none, parts of what was joined are what they were, and all parts joined are the whole.
  var simplified: WeightRecipe {
    switch self {
    case .transposed(.transposed(let inner)): return inner
    case .part(.joined(let parts), let index, let count) where parts.count == count: return parts[index]
    case .joined(let parts):
      guard case .part(let whole, _, let count)? = parts.first, count == parts.count,
        parts == (0..<count).map({ .part(whole, $0, of: count) })
      else { return self }
      return whole
    case .stored, .transposed, .part: return self
    }
  }

  /// The tensor, of those that `read` gives.
  func tensor(_ read: (String) throws(FileError) -> Tensor, for name: String, in path: String) throws(FileError)
    -> Tensor
  {
    switch self {
    case .stored(let name): return try read(name)
    case .transposed(let inner):
      let tensor = try inner.tensor(read, for: name, in: path)
      return tensor.shape.count == 2 ? tensor.transposed : tensor
    case .part(let inner, let index, let count):
      let whole = try inner.tensor(read, for: name, in: path)
      guard let part = whole.part(index, of: count) else {
        throw FileError(
          path, "'\(name)' is one of \(count) equal parts of \(whole.dtype)\(whole.shape), which has none",
          remedy: "the model's 'weights' block says so")
      }
      return part
    case .joined(let parts):
      var tensors: [Tensor] = []
      for part in parts { tensors.append(try part.tensor(read, for: name, in: path)) }
      guard let whole = Tensor(joining: tensors) else {
        throw FileError(
          path,
          "'\(name)' is joined of \(tensors.map { "\($0.dtype)\($0.shape)" }.joined(separator: ", ")), which do not fit",
          remedy: "the model's 'weights' block says so")
      }
      return whole
    }
  }
}

extension Tensor {
  /// The matrix with its axes swapped.
  fileprivate var transposed: Tensor {
    let (rows, columns, size) = (shape[0], shape[1], dtype.byteCount)
    let result = withUnsafeBytes { source in
      [UInt8](unsafeUninitializedCapacity: source.count) { target, filled in
        for row in 0..<rows {
          for column in 0..<columns {
            for byte in 0..<size {
              target[(column * rows + row) * size + byte] = source[(row * columns + column) * size + byte]
            }
          }
        }
        filled = source.count
      }
    }
    return Tensor(dtype: dtype, shape: [columns, rows], bytes: result) ?? self
  }

  fileprivate func part(_ index: Int, of count: Int) -> Tensor? {
    guard let rows = shape.first, rows % count == 0, rows > 0 else { return nil }
    let size = bytes.count / count
    return Tensor(
      dtype: dtype, shape: [rows / count] + shape.dropFirst(), bytes: Array(bytes[index * size..<(index + 1) * size]))
  }

  fileprivate init?(joining tensors: [Tensor]) {
    guard let first = tensors.first, !first.shape.isEmpty,
      tensors.allSatisfy({ $0.dtype == first.dtype && $0.shape.dropFirst() == first.shape.dropFirst() })
    else { return nil }
    let rows = tensors.reduce(0) { $0 + ($1.shape.first ?? 0) }
    self.init(dtype: first.dtype, shape: [rows] + first.shape.dropFirst(), bytes: tensors.flatMap(\.bytes))
  }
}

/// Names with what they are made of, in order.
struct WeightMap {
  private(set) var weights: [(name: String, recipe: WeightRecipe)]

  /// Each under its own name.
  init(_ names: [String]) { weights = names.map { ($0, .stored($0)) } }

  /// The names of a file as the model's.
  mutating func apply(_ rules: [WeightRules.Rule]) throws(LTMError) {
    for rule in rules { try apply(rule.from, rule.to, rule.isTransposed, transposesFirst: true) }
  }

  /// The model's names as a file's.
  mutating func invert(_ rules: [WeightRules.Rule]) throws(LTMError) {
    for rule in rules.reversed() {
      if rule.to.allSatisfy({ $0.split(separator: ".").isEmpty }) {
        weights = weights.map { ("\(rule.from[0]).\($0.name)", $0.recipe) }
        continue
      }
      try apply(rule.to, rule.from, rule.isTransposed, transposesFirst: false)
    }
  }

  private mutating func apply(
    _ from: [String], _ to: [String], _ isTransposed: Bool, transposesFirst: Bool
  ) throws(LTMError) {
    // For each name on the left those on the right.
    var renames: [[WeightRename]] = []
    for left in from {
      var row: [WeightRename] = []
      for right in to { row.append(try WeightRename(parsing: "\(left) -> \(right)")) }
      renames.append(row)
    }
    func turned(_ recipe: WeightRecipe, _ now: Bool) -> WeightRecipe {
      isTransposed && now ? WeightRecipe.transposed(recipe).simplified : recipe
    }
    if from.count > 1 { return join(renames) { turned($0, transposesFirst == $1) } }
    weights = weights.flatMap { name, recipe -> [(name: String, recipe: WeightRecipe)] in
      guard let (_, names) = Self.renamed(name, renames) else { return [(name, recipe)] }
      if names.count == 1 { return [(names[0], turned(recipe, true))] }
      let whole = turned(recipe, transposesFirst)
      return names.enumerated().map {
        ($1, turned(WeightRecipe.part(whole, $0, of: names.count).simplified, !transposesFirst))
      }
    }
  }

  /// Joins what is there as a whole; of what is not, the parts keep their names, and are reported as what the model does not have.
  ///
  /// - Parameter turned: transposes a part, `true`, or what was joined, where that is when it is done.
  private mutating func join(_ renames: [[WeightRename]], _ turned: (WeightRecipe, Bool) -> WeightRecipe) {
    var parts: [String: [WeightRecipe?]] = [:]
    for (name, recipe) in weights {
      guard let (index, names) = Self.renamed(name, renames) else { continue }
      parts[names[0], default: Array(repeating: nil, count: renames.count)][index] = turned(recipe, true)
    }
    weights = weights.compactMap { name, recipe in
      guard let (index, names) = Self.renamed(name, renames), let all = parts[names[0]], !all.contains(nil) else {
        return (name, recipe)
      }
      let whole = WeightRecipe.joined(all.compactMap(\.self)).simplified
      return index == 0 ? (names[0], turned(whole, false)) : nil
    }
  }

  /// Which of the left sides a name fits, and what it becomes.
  private static func renamed(_ name: String, _ renames: [[WeightRename]]) -> (Int, [String])? {
    for (index, row) in renames.enumerated() {
      let names = row.compactMap { $0.renamed(name) }
      if names.count == row.count { return (index, names) }
    }
    return nil
  }
}

/// A file under other names.
struct MappedWeights: TensorArchive {
  let base: any TensorArchive
  private let recipes: [String: WeightRecipe]
  let names: [String]

  init(_ base: any TensorArchive, _ rules: [WeightRules.Rule]) throws(LTMError) {
    var map = WeightMap(base.names)
    try map.apply(rules)
    var recipes: [String: WeightRecipe] = [:]
    for (name, recipe) in map.weights {
      if let other = recipes.updateValue(recipe, forKey: name) {
        throw LTMError(
          "\(base.path): '\(other.source)' and '\(recipe.source)' both become '\(name)'",
          notes: ["a longer name in the model's 'weights' block tells them apart"])
      }
    }
    (self.base, self.recipes, names) = (base, recipes, map.weights.map(\.name))
  }

  var path: String { base.path }
  var warnings: [Diagnostic] { base.warnings }

  func tensor(_ name: String) throws(FileError) -> Tensor {
    guard let recipe = recipes[name] else { return try base.tensor(name) }
    return try recipe.tensor({ (name) throws(FileError) in try base.tensor(name) }, for: name, in: path)
  }

  func entry(_ name: String) throws(FileError) -> TensorEntry {
    let tensor = try tensor(name)
    return TensorEntry(name: name, dtype: tensor.dtype, shape: tensor.shape)
  }
}

extension WeightRecipe {
  /// The first tensor that it is made of.
  var source: String {
    switch self {
    case .stored(let name): name
    case .transposed(let inner), .part(let inner, _, of: _): inner.source
    case .joined(let parts): parts.first?.source ?? ""
    }
  }
}

extension Model {
  /// What the file's `weights` block says of this model.
  func weightRules() throws(LTMError) -> WeightRules { try reporting { try file.weightRules(for: name) } }

  /// A file with the names that the model gives its weights; what ltm saved has them already.
  func mapped(_ archive: any TensorArchive) throws(LTMError) -> any TensorArchive {
    let rules = try weightRules().rules
    let isOurs = (archive as? SafetensorsFile)?.metadata["ltm.model"] != nil
    return rules.isEmpty || isOurs ? archive : try MappedWeights(archive, rules)
  }

  /// Saves the weights under the names that the file's `weights` block maps to the model's: those of the library that they came from.
  ///
  /// Throws where the block does not invert: where what is written would not be read as what the model holds.
  public func save(underFileNamesTo path: String) throws(LTMError) {
    let rules = try weightRules().rules
    guard !rules.isEmpty else {
      throw LTMError("the file of '\(name)' has no 'weights' block, which says other names of its weights")
    }
    try reporting { try checkOutputs([FileUse("the weights", path)], inputs: sourceFiles) }
    var outward = WeightMap(weightNames)
    try outward.invert(rules)
    try checkInverse(outward, rules)
    var tensors: [(name: String, tensor: Tensor)] = []
    for (name, recipe) in outward.weights {
      let tensor = try reporting {
        try recipe.tensor(
          { (name) throws(FileError) in
            guard let tensor = weight(name) else { throw FileError(path, "the model has no weight '\(name)'") }
            return tensor
          }, for: name, in: path)
      }
      tensors.append((name, tensor))
    }
    try reporting { try writeSafetensors(path, tensors) }
  }

  /// Throws where the names that are written would not become the model's again.
  private func checkInverse(_ outward: WeightMap, _ rules: [WeightRules.Rule]) throws(LTMError) {
    var inward = WeightMap(outward.weights.map(\.name))
    try inward.apply(rules)
    let written = Dictionary(outward.weights.map { ($0.name, $0.recipe) }, uniquingKeysWith: { one, _ in one })
    let read = Dictionary(inward.weights.map { ($0.name, $0.recipe) }, uniquingKeysWith: { one, _ in one })
    for name in weightNames where read[name]?.substituting(written) != .stored(name) {
      throw LTMError(
        "the 'weights' block does not invert: '\(name)' would not be read as it is written",
        notes: ["two names of the file may become one, or a line may fit what another has made"])
    }
  }
}

extension WeightRecipe {
  /// The recipe with what it is made of made of others.
  fileprivate func substituting(_ others: [String: WeightRecipe]) -> WeightRecipe {
    switch self {
    case .stored(let name): others[name] ?? self
    case .transposed(let inner): WeightRecipe.transposed(inner.substituting(others)).simplified
    case .part(let inner, let index, let count):
      WeightRecipe.part(inner.substituting(others), index, of: count).simplified
    case .joined(let parts): WeightRecipe.joined(parts.map { $0.substituting(others) }).simplified
    }
  }
}
