import LTMIR

/// Calls of an op with weights that nothing else reads become calls of the prelude's layer: `query(x)` with
/// `let query = Linear(64, 64)`, where its weights are called as that layer calls them.
struct LayerCalls {
  let tree: WeightTree
  let paths: WeightPaths
  let symbols: [Builder.Symbol]
  /// How often each weight is read in the whole file.
  let uses: [SymbolID: Int]
  /// The path of the layer that the expressions stand in.
  let base: [String]

  /// The expression with such calls; their nodes of the tree are told which layer they are.
  func rewritten(_ expression: Expression) -> Expression {
    switch expression {
    case .name, .number, .single, .size, .word: return expression
    case .list(let items): return .list(items.map(rewritten))
    case .tuple(let items): return .tuple(items.map(rewritten))
    case .call(let name, let operands, let named):
      return layerCall(name, operands, named) ?? .call(name, operands.map(rewritten), named)
    case .method(let x, let name, let operands): return .method(rewritten(x), name, operands)
    case .member(let x, let name): return .member(rewritten(x), name)
    case .infix(let a, let op, let b): return .infix(rewritten(a), op, rewritten(b))
    case .prefix(let op, let x): return .prefix(op, rewritten(x))
    case .part(let x, let parts): return .part(rewritten(x), parts)
    }
  }

  private func layerCall(_ op: String, _ operands: [Expression], _ named: [Expression.Named]) -> Expression? {
    guard operands.count > 1 else { return nil }
    let weights = operands.dropFirst().compactMap { if case .name(let id) = $0 { id } else { nil } }
    let members = Self.members[op]?.prefix(weights.count)
    guard weights.count == operands.count - 1, let members, members.count == weights.count,
      let path = paths.paths[weights[0]].map({ Array($0.dropLast()) }), path.count > base.count,
      path.starts(with: base),
      let node = tree[path], node.children.count == weights.count, !paths.lists.contains(path), node.block == nil,
      zip(weights, members).allSatisfy({ id, member in
        paths.paths[id] == path + [member] && node.names[member] == member && uses[id] == 1
      }), let layer = layer(op, weights.map { symbols[$0].type }, named)
    else { return nil }
    node.layer = layer
    return .call(tree.text(of: path, from: base), [rewritten(operands[0])], [])
  }

  /// What each op's weights are called in the layer that is made of it.
  private static let members: [String: [String]] = [
    "linear": ["weight", "bias"], "layer_norm": ["weight", "bias"], "rms_norm": ["weight"],
    "conv1d": ["weight", "bias"], "conv2d": ["weight", "bias"],
    "batch_norm": ["weight", "bias", "running_mean", "running_var"],
  ]

  private func layer(_ op: String, _ types: [TensorType], _ named: [Expression.Named]) -> String? {
    guard let weight = types[0].staticShape, types.allSatisfy({ $0.dtype == .float }) else { return nil }
    let writer = ExpressionText(names: [:])
    let arguments = named.map { ", \($0.name): \(writer.flat($0.value))" }.joined()
    switch op {
    case "linear": return "\(types.count == 2 ? "Linear" : "Projection")(\(weight[1]), \(weight[0]))"
    case "layer_norm": return "LayerNorm(\(weight[0])\(arguments))"
    case "rms_norm": return "RMSNorm(\(weight[0])\(arguments))"
    case "batch_norm": return "BatchNorm(\(weight[0])\(arguments))"
    default:
      let groups = named.first { $0.name == "groups" }.map { Int(writer.flat($0.value)) ?? 1 } ?? 1
      let taps = weight[2...].map { "\($0)" }
      let isEven = Set(taps).count == 1
      let kernel = isEven ? taps[0] : "(\(taps.joined(separator: ", ")))"
      let bias = types.count == 2 ? "" : ", bias: false"
      let name = op == "conv1d" ? "Conv1d" : "Conv2d"
      return "\(name)(\(weight[1] * groups), \(weight[0]), \(kernel)\(arguments)\(bias))"
    }
  }
}
