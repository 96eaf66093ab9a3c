import LTMIR

/// Equal parts of a graph that follow one another, each with weights of its own: they become a layer that is made several
/// times, and a loop.
struct Block {
  /// The list's path: `encoder.layer`.
  let list: [String]
  let count: Int
  /// The statements of the first part.
  let statements: [Builder.Statement]
  /// What the first part reads from outside; the one that is carried from part to part comes first.
  let inputs: [SymbolID]
  /// What it gives.
  let output: SymbolID
  /// What the last part gives.
  let result: SymbolID

  /// The functions that it calls, and those that may stand for what it says.
  var calls: Set<String> { statements.reduce(into: Expression.rewritten) { $0.formUnion($1.expression.calls) } }
}

/// What an entry does, in order.
enum Step {
  case statement(Builder.Statement)
  case block(Block)

  /// The names that it reads.
  func forEachName(_ body: (SymbolID) -> Void) {
    switch self {
    case .statement(let statement): statement.expression.forEachName(body)
    case .block(let block): block.inputs.forEach(body)
    }
  }
}

/// Finds such parts.
struct BlockFinder {
  let statements: [Builder.Statement]
  let results: [Expression]
  let symbols: [Builder.Symbol]
  let paths: WeightPaths

  /// The statements, with blocks in place of what they hold.
  func steps() -> [Step] {
    let keys = keys()
    var steps: [Step] = []
    var index = 0
    while index < statements.count {
      if let (block, end) = block(at: index, keys) {
        steps.append(.block(block))
        index = end
      } else {
        steps.append(.statement(statements[index]))
        index += 1
      }
    }
    return steps
  }

  private struct Key: Equatable {
    var list: [String]
    var index: Int
  }

  /// The list and the index that each statement belongs to: by the path of its node, or by the weights that it reads. What has neither
  /// goes on with what came before.
  private func keys() -> [Key?] {
    var last: Key?
    return statements.map { statement in
      var found = key(WeightPaths.parts(ofScope: statement.scope))
      let isPlaced = statement.scope.hasPrefix("/")
      if found == nil {
        statement.expression.forEachName { id in
          if let path = paths.paths[id], found == nil { found = key(path) }
        }
      }
      if found == nil, !isPlaced { found = last }
      last = found
      return found
    }
  }

  private func key(_ path: [String]) -> Key? {
    for place in path.indices.dropFirst() {
      let list = Array(path.prefix(place))
      if paths.lists.contains(list), let index = Int(path[place]) { return Key(list: list, index: index) }
    }
    return nil
  }

  private func block(at start: Int, _ keys: [Key?]) -> (Block, end: Int)? {
    guard let key = keys[start], key.index == 0 else { return nil }
    let length = keys[start...].prefix { $0 == key }.count
    var count = 0
    while start + (count + 1) * length <= statements.count,
      keys[start + count * length] == Key(list: key.list, index: count)
    {
      count += 1
    }
    guard count > 1, length > 1 else { return nil }
    let parts = (0..<count).map { part in
      Part(Array(statements[(start + part * length)..<(start + (part + 1) * length)]), symbols, paths, key.list, part)
    }
    guard parts.allSatisfy({ $0.form == parts[0].form }), listCount(key.list) == count else { return nil }
    let end = start + count * length
    return made(parts, key.list, end).map { ($0, end) }
  }

  /// How many elements the weights' list has.
  private func listCount(_ list: [String]) -> Int {
    Set(paths.paths.values.filter { $0.starts(with: list) && $0.count > list.count }.map { $0[list.count] }).count
  }

  private func made(_ parts: [Part], _ list: [String], _ end: Int) -> Block? {
    // What a part gives: the one value of it that is read behind it.
    var outputs: Set<Int> = []
    for (index, part) in parts.enumerated() {
      let later = parts[(index + 1)...].flatMap(\.inputs) + (read(from: end))
      for id in later { if let place = part.locals.firstIndex(of: id) { outputs.insert(place) } }
    }
    guard outputs.count == 1, let output = outputs.first else { return nil }
    var carried: [Int] = []
    for place in parts[0].inputs.indices {
      let ids = parts.map { $0.inputs[place] }
      if ids.allSatisfy({ $0 == ids[0] }) { continue }
      guard ids.indices.dropFirst().allSatisfy({ ids[$0] == parts[$0 - 1].locals[output] }) else { return nil }
      carried.append(place)
    }
    guard carried.count == 1, let first = carried.first else { return nil }
    let (given, gives) = (parts[0].inputs[first], parts[0].locals[output])
    guard symbols[given].type == symbols[gives].type, canBeWritten(parts[0]) else { return nil }
    let others = parts[0].inputs.indices.filter { $0 != first }.map { parts[0].inputs[$0] }
    return Block(
      list: list, count: parts.count, statements: parts[0].statements, inputs: [given] + others, output: gives,
      result: parts[parts.count - 1].locals[output])
  }

  private func read(from index: Int) -> [SymbolID] {
    var ids: [SymbolID] = []
    for expression in statements[index...].map(\.expression) + results { expression.forEachName { ids.append($0) } }
    return ids
  }

  /// Whether the dimensions of what comes from outside name all that are used: a function binds them there.
  private func canBeWritten(_ part: Part) -> Bool {
    let dims = part.inputs.flatMap { symbols[$0].type.shape }
    let plain = Set(dims.compactMap(\.symbol))
    let used = part.statements.flatMap { $0.names.flatMap { symbols[$0].type.shape } } + dims
    return dims.allSatisfy { $0.constant != nil || $0.symbol != nil }
      && used.allSatisfy { $0.symbols.isSubset(of: plain) }
  }

  /// One of the parts: what it reads and makes, and its form, in which names are numbers.
  private struct Part {
    let statements: [Builder.Statement]
    private(set) var inputs: [SymbolID] = []
    private(set) var locals: [SymbolID] = []
    private(set) var form = ""

    init(
      _ statements: [Builder.Statement], _ symbols: [Builder.Symbol], _ paths: WeightPaths, _ list: [String],
      _ index: Int
    ) {
      self.statements = statements
      locals = statements.flatMap(\.names)
      var texts: [SymbolID: String] = [:]
      for (number, id) in locals.enumerated() { texts[id] = "l\(number)" }
      let own = list + ["\(index)"]
      for statement in statements {
        statement.expression.forEachName { id in
          guard texts[id] == nil else { return }
          if let path = paths.paths[id], path.starts(with: own) {
            texts[id] = "w_\(path.dropFirst(own.count).joined(separator: "."))"
          } else {
            texts[id] = "i\(inputs.count): \(symbols[id].type)"
            inputs.append(id)
          }
        }
      }
      let writer = ExpressionText(names: texts)
      form = statements.map { writer.flat($0.expression) }.joined(separator: "\n")
    }
  }
}
