import LTMIR

/// The layers that hold the weights, as their paths say: one declaration for each kind, and the way to each weight.
struct WeightTree {
  /// A layer, a list of equal ones, or a weight.
  final class Node {
    var children: [(key: String, node: Node)] = []
    var weight: SymbolID?
    /// The names of the children in the file.
    var names: [String: String] = [:]
    var block: Block?
    /// The prelude's layer that it is, with its arguments.
    var layer: String?

    func child(_ key: String) -> Node {
      if let found = children.first(where: { $0.key == key }) { return found.node }
      let node = Node()
      children.append((key, node))
      return node
    }
  }

  let root = Node()
  private let paths: WeightPaths

  init(_ paths: WeightPaths, blocks: [Block]) {
    self.paths = paths
    for id in paths.order {
      var node = root
      for part in paths.paths[id] ?? [] { node = node.child(part) }
      node.weight = id
    }
    for block in blocks {
      var node = root
      for part in block.list { node = node.child(part) }
      // Elements count from 0, in whatever order they are read.
      for (_, element) in node.children { element.block = block }
    }
    for list in paths.lists { self[list]?.children.sort { (Int($0.key) ?? 0) < (Int($1.key) ?? 0) } }
  }

  /// The node of a path.
  subscript(path: [String]) -> Node? {
    var node = root
    for part in path {
      guard let next = node.children.first(where: { $0.key == part })?.node else { return nil }
      node = next
    }
    return node
  }

  /// Chooses the names of members below the root; those of the root share theirs with the entry.
  func chooseNames(root names: inout Names) { choose(root, [], &names) }

  private func choose(_ node: Node, _ path: [String], _ names: inout Names) {
    let isList = paths.lists.contains(path)
    for (key, child) in node.children {
      if !isList { node.names[key] = names.identifier(key, fallback: "part") }
      var inner = Names(calling: child.block?.calls ?? [])
      choose(child, path + [key], &inner)
    }
  }

  /// How a weight is read from the node at `base`: `encoder.layer[0].query.weight`.
  func access(_ id: SymbolID, from base: [String] = []) -> String {
    text(of: paths.paths[id] ?? [], from: base)
  }

  /// The way to what a path leads to.
  func text(of path: [String], from base: [String] = []) -> String {
    var result = ""
    for place in base.count..<path.count {
      let before = Array(path.prefix(place))
      if paths.lists.contains(before) {
        result += "[\(path[place])]"
      } else {
        result += (result.isEmpty ? "" : ".") + (self[before]?.names[path[place]] ?? path[place])
      }
    }
    return result
  }

  /// The key of a weight in the safetensors file.
  func key(_ id: SymbolID) -> String {
    let path = paths.paths[id] ?? []
    return path.indices.map { place in
      let before = Array(path.prefix(place))
      return paths.lists.contains(before) ? path[place] : self[before]?.names[path[place]] ?? path[place]
    }.joined(separator: ".")
  }
}
