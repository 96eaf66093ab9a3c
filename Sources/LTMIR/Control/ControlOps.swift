// Control: ops with bodies. Their types come from their bodies (`resultTypes(of:)`), the interpreter runs the bodies
// (`ControlInterpreter.swift`), and their gradients are such ops again (`ControlGradient.swift`).

extension OpDefinition {
  static let result = control(
    "Another result of an op with several.", signature: [OpParameter("of", .tensor), OpParameter("index", .int)])

  static let call = control(
    "Runs its body once: the same body may be called by several nodes.", signature: [OpParameter("operands", .tensors)])

  static let checkpoint = control(
    "Runs its body once, and again in the backward pass: nothing in it is kept.",
    signature: [OpParameter("operands", .tensors)])

  static let scan = control(
    "Runs its body for each index of the operands' first axis. The body takes constants, carried values and one slice of each scanned operand; it gives the next carried values and one slice of each stacked result.",
    signature: [
      OpParameter("operands", .tensors), OpParameter("constants", .int), OpParameter("carried", .int),
      OpParameter("length", .dim), OpParameter("reversed", .bool, default: .bool(false), isOptional: true),
    ])

  static let `while` = control(
    "Runs its second body as long as the first gives true. Both take constants and carried values; no gradient.",
    signature: [OpParameter("operands", .tensors), OpParameter("constants", .int)])

  private static func control(_ summary: String, signature: [OpParameter]) -> OpDefinition {
    OpDefinition(
      summary, isCallable: false, signature: signature, precision: .follow,
      infer: { (_, _) throws(OpError) in throw OpError("the types of an op with bodies come from its bodies") },
      evaluate: { _, _, result in .filled(result.boundShape, .nan) }, gradient: .none, lowering: .control)
  }
}

extension Op {
  /// Whether the op runs bodies.
  package var hasBodies: Bool { self == .call || self == .checkpoint || self == .scan || self == .`while` }

  /// Whether the types of its results need more than its operands' types.
  package var isControl: Bool { hasBodies || self == .result }
}

/// The operands of a `scan` or a `while`, in order: constants, carried values, then what is scanned.
package struct LoopForm: Sendable {
  /// How many operands every iteration reads unchanged.
  package let constants: Int
  /// How many values each iteration hands to the next.
  package let carried: Int
  /// How often a scan runs; `nil` for a `while`.
  package let length: Dim?
  /// Whether the last index comes first. Stacked results stand at the index that they were made for.
  package let isReversed: Bool

  /// The form of a scan or a while with so many operands.
  package init(_ node: Node) throws(OpError) {
    let attributes = node.attributes
    constants = try attributes.required("constants", attributes.int("constants"))
    let carried = node.op == .scan ? attributes.int("carried") : node.operands.count - constants
    self.carried = try attributes.required("carried", carried)
    length = node.op == .scan ? try attributes.required("length", attributes.dim("length")) : nil
    isReversed = attributes.bool("reversed") ?? false
    guard constants >= 0, self.carried >= 0, constants + self.carried <= node.operands.count else {
      throw OpError("\(constants) constants and \(self.carried) carried values, of \(node.operands.count) operands")
    }
  }

  /// The position of the first scanned operand.
  package var scanned: Int { constants + carried }

  /// The index that an iteration of a scan works on.
  package func index(_ iteration: Int, of count: Int) -> Int { isReversed ? count - 1 - iteration : iteration }
}
