/// The page that documents every op, made from the table.
package func opReference() -> String {
  let rows = Op.allCases.map { op in
    let row = op.definition
    let name = row.isCallable ? "`\(op.name)`" : "`\(op.name)` (internal)"
    return
      "| \(name) | \(signatureText(row)) | \(row.precision.words) | \(row.gradient.words) | \(row.lowering.words) | \(row.summary) |"
  }
  return """
    # Ops

    Made from the op table (`Sources/LTMIR/Ops`) by its test: `make bless` after a change.
    An *internal* op has no name in `.ltm`: the compiler makes it. Elementwise ops need equal shapes; in `.ltm`, operands
    are broadcast first. Precision classes are explained in `docs/precision.md`. A *composite* is replaced by simpler ops
    once casts and gradients are placed; it computes in f32 (f64 for f64) and rounds where its result is stored.

    | op | operands and arguments | precision | gradient | kernel | what it gives |
    |---|---|---|---|---|---|
    \(rows.joined(separator: "\n"))

    """
}

private func signatureText(_ row: OpDefinition) -> String {
  (row.isCallable ? row.callSignature : row.signature).map { parameter in
    let kind =
      switch parameter.kind {
      case .tensor, .key: parameter.name
      case .optionalTensor: "\(parameter.name)?"
      case .tensors: "\(parameter.name)..."
      case .int: "\(parameter.name): Int"
      case .float: "\(parameter.name): Float"
      case .bool: "\(parameter.name): Bool"
      case .dtype: "\(parameter.name): dtype"
      case .axis: "\(parameter.name): axis"
      case .axes: "\(parameter.name): axes"
      case .dims: "\(parameter.name): dims"
      case .dim: "\(parameter.name): dim"
      case .ints: "\(parameter.name): Ints"
      case .sizes(let count): "\(parameter.name): Int\(count == 1 ? "" : " or \(count) Ints")"
      case .padding(let count):
        "\(parameter.name): Int\(count == 1 ? "" : " or \(count) Ints") or \"same\" or \"valid\""
      case .word(let words): "\(parameter.name): \(words.map { "\"\($0)\"" }.joined(separator: " or "))"
      }
    return parameter.defaultValue.map { "\(kind) = \(attributeText($0))" } ?? (parameter.isOptional ? kind + "?" : kind)
  }.joined(separator: ", ")
}

extension PrecisionClass {
  fileprivate var words: String {
    switch self {
    case .half: "half"
    case .float32: "f32"
    case .widest: "widest"
    case .follow: "follow"
    case .loss: "loss"
    case .normalization: "normalisation"
    case .banned: "banned on half"
    case .never: "never touched"
    }
  }
}

extension OpGradient {
  fileprivate var words: String {
    switch self {
    case .none: "no"
    case .rule: "yes"
    }
  }
}

extension OpLowering {
  fileprivate var words: String {
    switch self {
    case .decompose: "composite"
    case .whole: "its own, or composite"
    case .primitive: "elementwise"
    case .reduction: "reduction"
    case .control: "control"
    case .structural: "structural"
    }
  }
}
