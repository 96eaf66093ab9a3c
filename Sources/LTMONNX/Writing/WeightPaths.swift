import LTMIR

/// Where each weight stands in the model, as a path of names: `encoder`, `layer`, `0`, `query`, `weight`.
struct WeightPaths {
  private(set) var paths: [SymbolID: [String]] = [:]
  /// The paths whose next name is the index of a list: equal parts, counted from 0.
  private(set) var lists: Set<[String]> = []

  /// How often each weight is read.
  private(set) var uses: [SymbolID: Int] = [:]
  /// The weights in the order in which they are read first.
  private(set) var order: [SymbolID] = []

  init(_ statements: [Builder.Statement], _ results: [Expression], _ symbols: [Builder.Symbol]) {
    for (expression, scope) in statements.map({ ($0.expression, $0.scope) }) + results.map({ ($0, "") }) {
      expression.forEachName { id in
        guard case .weight = symbols[id].kind else { return }
        uses[id, default: 0] += 1
        guard paths[id] == nil else { return }
        paths[id] = Self.dotted(symbols[id].name) ?? Self.read(symbols[id].name, in: scope) ?? []
        order.append(id)
      }
    }
    let flat = order.filter { paths[$0]?.isEmpty ?? true }
    for (id, name) in zip(flat, Names.short(flat.map { symbols[$0].name })) { paths[id] = [name] }
    makeUnique()
    findLists(symbols)
    mergeLoneIndices()
  }

  /// `encoder.0.weight` as its parts.
  private static func dotted(_ name: String) -> [String]? {
    let parts = name.split(separator: ".").map(String.init)
    guard parts.count > 1, parts.count <= 32, !name.contains("/"), !name.contains(":"), !name.contains(" ") else {
      return nil
    }
    return parts.allSatisfy { !Names.legal($0).isEmpty } ? parts : nil
  }

  /// What an exporter gave a number instead of a name is called after the node that reads it: `/encoder/layer.0/query/MatMul`.
  private static func read(_ name: String, in scope: String) -> [String]? {
    guard name.hasPrefix("onnx::") || name.hasPrefix("/") || name.hasPrefix("val_") else { return nil }
    let parts = parts(ofScope: scope)
    return parts.isEmpty ? nil : parts + [name.hasPrefix("/") ? "constant" : "weight"]
  }

  /// The names of a node's path, without its own.
  static func parts(ofScope scope: String) -> [String] {
    guard scope.hasPrefix("/") else { return [] }
    let parts = scope.split(separator: "/").dropLast().flatMap { $0.split(separator: ".").map(String.init) }
    return parts.count <= 32 ? parts : []
  }

  /// No path is another one, or the beginning of another one.
  private mutating func makeUnique() {
    var inner: Set<[String]> = []
    for path in paths.values { for length in 0..<path.count { inner.insert(Array(path.prefix(length))) } }
    var taken: Set<[String]> = []
    for id in order {
      guard var path = paths[id], let last = path.last else { continue }
      var number = 1
      while inner.contains(path) || !taken.insert(path).inserted {
        path[path.count - 1] = "\(last)_\(number)"
        number += 1
      }
      paths[id] = path
    }
  }

  // MARK: Lists

  private mutating func findLists(_ symbols: [Builder.Symbol]) {
    var members: [[String]: [Int: Set<String>]] = [:]
    for (id, path) in paths {
      for (place, part) in path.enumerated().dropLast() where place > 0 {
        guard let index = Int(part), "\(index)" == part else { continue }
        let rest = path[(place + 1)...].joined(separator: ".") + ": \(symbols[id].type)"
        members[Array(path.prefix(place)), default: [:]][index, default: []].insert(rest)
      }
    }
    for (prefix, parts) in members where parts.count > 1 {
      guard let first = parts[0], (1..<parts.count).allSatisfy({ parts[$0] == first }) else { continue }
      lists.insert(prefix)
    }
  }

  /// An index that counts no list becomes a part of the name before it: `encoder_0`.
  private mutating func mergeLoneIndices() {
    var renamed: Set<[String]> = []
    func merged(_ path: [String]) -> [String] {
      var result: [String] = []
      for (place, part) in path.enumerated() {
        let isIndex = Int(part) != nil
        if isIndex, !result.isEmpty, !lists.contains(Array(path.prefix(place))) {
          result[result.count - 1] += "_\(part)"
        } else {
          result.append(part)
        }
      }
      return result
    }
    for list in lists { renamed.insert(merged(list)) }
    paths = paths.mapValues(merged)
    lists = renamed
  }
}
