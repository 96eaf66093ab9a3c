import LTMIR

/// Writes the layers that hold the weights, each kind once.
struct LayerWriter {
  let tree: WeightTree
  let paths: WeightPaths
  let symbols: [Builder.Symbol]
  /// The declarations so far, those that others are made of first.
  private(set) var declarations: [(name: String, body: String)] = []
  private var taken: Set<String> = []

  init(tree: WeightTree, paths: WeightPaths, symbols: [Builder.Symbol], model: String) {
    (self.tree, self.paths, self.symbols, taken) = (tree, paths, symbols, [model])
  }

  /// The members of a node.
  mutating func members(_ node: WeightTree.Node, _ path: [String]) -> String {
    var lines: [String] = []
    for (key, child) in node.children {
      let name = node.names[key] ?? key
      if let id = child.weight {
        let type = symbols[id].type
        // What is trained is a float; the rest is a state, which is saved and never written.
        lines.append("\(type.dtype.isFloating ? "param" : "state") \(name): \(Self.text(type)) = zeros()")
      } else if let layer = child.layer {
        lines.append("let \(name) = \(layer)")
      } else if paths.lists.contains(path + [key]), let first = child.children.first {
        let layer = declare(first.node, path + [key, first.key])
        lines.append("let \(name) = [\(layer)() for _ in 0..<\(child.children.count)]")
      } else {
        lines.append("let \(name) = \(declare(child, path + [key]))()")
      }
    }
    return lines.joined(separator: "\n")
  }

  static func text(_ type: TensorType) -> String {
    "\(type.dtype == .float ? "" : type.dtype.rawValue)\(shapeText(type.shape))"
  }

  /// The layer of a node; an equal one that is there already serves.
  private mutating func declare(_ node: WeightTree.Node, _ path: [String]) -> String {
    // What is computed decides which parts are layers of the prelude.
    let code = node.block.map { call($0, node) }
    let body = members(node, path) + (code.map { "\n\n\($0)" } ?? "")
    if let known = declarations.first(where: { $0.body == body }) { return known.name }
    let isLeaf = node.children.allSatisfy { $0.node.weight != nil } && node.children.count <= 3 && node.block == nil
    let words =
      isLeaf
      ? node.children.map(\.key).joined(separator: " and ")
      : path.filter { Int($0) == nil }.suffix(3).joined(separator: " ")
    var name = Names.type(words)
    var number = 2
    while !taken.insert(name).inserted {
      name = "\(Names.type(words))\(number)"
      number += 1
    }
    declarations.append((name, body))
    return name
  }

  /// What an element of a list computes.
  private func call(_ block: Block, _ node: WeightTree.Node) -> String {
    let base = block.list + ["0"]
    let plain = Inliner(symbols: symbols).inlined(block.statements, [.name(block.output)])
    let calls = LayerCalls(tree: tree, paths: paths, symbols: symbols, uses: paths.uses, base: base)
    let result = calls.rewritten(plain.results[0])
    let statements = plain.statements.map { statement in
      Builder.Statement(
        names: statement.names, expression: calls.rewritten(statement.expression), scope: statement.scope)
    }
    var names = Names(calling: block.calls)
    node.names.values.forEach { names.reserve($0) }
    var texts: [SymbolID: String] = [:]
    for (index, id) in block.inputs.enumerated() {
      let path = paths.paths[id].map { Names.legal($0.joined(separator: "_")) }
      let wish = index == 0 ? "x" : path ?? Names.local(symbols[id].name, op: symbols[id].op)
      texts[id] = names.fresh(wish.isEmpty ? "input" : wish, startsAt: 1)
    }
    for id in paths.order where texts[id] == nil && (paths.paths[id] ?? []).starts(with: base) {
      texts[id] = tree.access(id, from: base)
    }
    for id in statements.flatMap(\.names) {
      texts[id] = names.fresh(Names.local(symbols[id].name, op: symbols[id].op), startsAt: 1)
    }
    let parameters = block.inputs.map { "\(texts[$0] ?? "_"): \(Self.text(symbols[$0].type))" }
    let writer = ExpressionText(names: texts)
    let lines = statements.map { writer.line($0) } + ["return \(writer.text(result, indent: 11))"]
    return
      "func call(\(parameters.joined(separator: ", "))) -> \(Self.text(symbols[block.output].type)) {\n\(lines.joined(separator: "\n"))\n}"
  }
}

extension ExpressionText {
  /// `let (a, b) = expression`
  func line(_ statement: Builder.Statement) -> String {
    let texts = statement.names.map { names[$0] ?? "_" }
    let pattern = texts.count == 1 ? texts[0] : "(\(texts.joined(separator: ", ")))"
    return "let \(pattern) = \(text(statement.expression, indent: pattern.count + 10))"
  }
}
