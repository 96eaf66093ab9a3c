import LTMIR
import LTMPrecision
import LTMSupport

/// Runs a step's graph again op by op, each as a program of its own, and looks at every value. Ops that are alike share
/// their program, so that a deep model takes no more of them than a flat one.
package struct Replay {
  private let graph: Graph
  private let backend: any Backend
  private let replicas: Int
  private var programs: [Graph: OpProgram] = [:]
  /// Each value on each replica, as long as an op has yet to read it.
  private var values: [ValueID: [Tensor]] = [:]
  /// What was seen.
  package private(set) var facts: [ValueID: ValueFacts] = [:]
  /// How many programs were made to be kept.
  package var programCount: Int { programs.count }

  /// A step's graph, before it is decomposed, and who runs its ops.
  package init(_ graph: Graph, _ backend: any Backend) {
    self.graph = graph
    self.backend = backend
    replicas = graph.replicas
  }

  /// Computes `roots` and what they are made of, in order, up to the first root that is not finite.
  ///
  /// - Parameters:
  ///   - input: an input's value, the rows of all replicas where it is an argument.
  ///   - progress: told after each op how many are done, and how many there are.
  package mutating func run(
    to roots: [ValueID], input: (GraphInput) throws(LTMError) -> Tensor,
    progress: (_ done: Int, _ total: Int) throws(LTMError) -> Void = { _, _ in }
  ) throws(LTMError) {
    let inputs = Dictionary(graph.inputs.map { ($0.value, $0) }, uniquingKeysWith: { first, _ in first })
    let order = graph.ancestors(of: roots)
    let lastReader = graph.lastReaders(among: order)
    for (done, value) in order.enumerated() {
      let made: [Tensor]
      if let given = inputs[value] {
        made = share(try input(given), of: given)
      } else {
        made = try compute(value)
      }
      facts[value] = made.reduce([]) { $0.union($1.facts) }
      values[value] = made
      for operand in graph[value].operands + [value] where lastReader[operand] ?? operand <= value {
        values[operand] = nil
      }
      if roots.contains(value), facts[value]?.isFinite == false { break }
      try progress(done + 1, order.count)
    }
    try progress(order.count, order.count)
  }

  /// An input as each replica has it.
  private func share(_ tensor: Tensor, of input: GraphInput) -> [Tensor] {
    guard replicas > 1, let local = graph[input.value].type.staticShape, tensor.shape != local else {
      return Array(repeating: tensor, count: replicas)
    }
    let size = tensor.bytes.count / replicas
    return (0..<replicas).compactMap { replica in
      Tensor(dtype: tensor.dtype, shape: local, bytes: Array(tensor.bytes[replica * size..<(replica + 1) * size]))
    }
  }

  private mutating func compute(_ value: ValueID) throws(LTMError) -> [Tensor] {
    let (op, operands) = graph.program(of: value)
    let given = (0..<replicas).map { replica in operands.compactMap { values[$0]?[replica] } }
    if op.replicas > 1 { return try together(op, given) }
    let program = try program(op)
    return try given.map { (tensors) throws(LTMError) in try program.run(tensors) }
  }

  private mutating func program(_ op: Graph) throws(LTMError) -> OpProgram {
    if let made = programs[op] { return made }
    let program = try OpProgram(op, backend)
    if program.isSmall { programs[op] = program }
    return program
  }

  /// What replicas tell each other, or draw by their place among them: no program of one of them can compute it.
  private func together(_ op: Graph, _ operands: [[Tensor]]) throws(LTMError) -> [Tensor] {
    let inputs = operands.map { tensors in
      Dictionary(zip(op.inputs.map(\.name), tensors), uniquingKeysWith: { first, _ in first })
    }
    return try reporting {
      try op.evaluate(replicas: inputs, rounding: .everyOp).compactMap { results in
        results[Graph.opResult].flatMap {
          Tensor($0.data, shape: $0.shape, dtype: op[op.outputs[0].value].type.dtype)
        }
      }
    }
  }
}

/// One op as a program.
private struct OpProgram {
  private let executable: any Executable
  private let inputs: [String]
  /// The operand that it gives back as it is: nothing was left of the op.
  private let identity: Int?
  /// Whether it holds so little memory that it may stay until an op like it comes.
  let isSmall: Bool

  init(_ graph: Graph, _ backend: any Backend) throws(LTMError) {
    let lowered = try Pipeline.lowering.run(graph, stage: [.bound, .afterCasts])
    executable = try backend.compile(lowered)
    inputs = graph.inputs.map(\.name)
    identity = lowered.inputs.firstIndex { input in lowered.outputs.contains { $0.value == input.value } }
    let elements = graph.nodes.reduce(0) { $0 + ($1.type.staticShape.flatMap(elementCount) ?? 0) }
    isSmall = elements <= 1 << 20
  }

  func run(_ operands: [Tensor]) throws(LTMError) -> Tensor {
    if let identity { return operands[identity] }
    for (name, tensor) in zip(inputs, operands) where executable.dtype(of: name) != nil {
      try executable.write(tensor, to: name)
    }
    try executable.run()
    return try executable.read(Graph.opResult)
  }
}

extension Graph {
  /// The name of the result of a `program(of:)`.
  fileprivate static let opResult = "value"

  /// A graph of one op alone, the same for all that are alike, and the values that its inputs are.
  fileprivate func program(of value: ValueID) -> (graph: Graph, operands: [ValueID]) {
    var node = self[value]
    var builder = GraphBuilder(name: "op")
    var inputs: [ValueID: ValueID] = [:]
    var operands: [ValueID] = []
    for operand in node.operands where inputs[operand] == nil {
      inputs[operand] = builder.input("x\(operands.count)", self[operand].type, role: .argument)
      operands.append(operand)
    }
    node.operands = node.operands.compactMap { inputs[$0] }
    (node.location, node.scope, node.reason) = (nil, "", nil)
    builder.output(Self.opResult, builder.append(node))
    return (builder.graph, operands)
  }

  /// Values and all that they are made of, in order.
  fileprivate func ancestors(of roots: [ValueID]) -> [ValueID] {
    var isNeeded = Array(repeating: false, count: nodes.count)
    for root in roots { isNeeded[root.index] = true }
    for index in nodes.indices.reversed() where isNeeded[index] {
      for operand in nodes[index].operands { isNeeded[operand.index] = true }
    }
    return values.filter { isNeeded[$0.index] }
  }

  /// For each value the last of some nodes that reads it.
  fileprivate func lastReaders(among order: [ValueID]) -> [ValueID: ValueID] {
    var last: [ValueID: ValueID] = [:]
    for value in order { for operand in self[value].operands { last[operand] = value } }
    return last
  }
}

extension Tensor {
  /// What its numbers are like; nothing for integers.
  var facts: ValueFacts {
    withUnsafeBytes { bytes in
      let mask = dtype.format.exponentMask
      if mask == 0 { return [] }
      return switch dtype.format.bits {
      case 16: facts(bytes, exponent: UInt16(mask))
      case 32: facts(bytes, exponent: UInt32(mask))
      default: facts(bytes, exponent: mask)
      }
    }
  }

  /// By the bits of a float: a magnitude past the largest exponent is a NaN, that exponent alone an infinity.
  private func facts<Bits: FixedWidthInteger & BitwiseCopyable>(
    _ bytes: UnsafeRawBufferPointer, exponent: Bits
  ) -> ValueFacts {
    let sign: Bits = 1 << (Bits.bitWidth - 1)
    var found: ValueFacts = []
    for offset in stride(from: 0, to: bytes.count, by: MemoryLayout<Bits>.size) {
      let bits = bytes.loadUnaligned(fromByteOffset: offset, as: Bits.self)
      let (magnitude, isNegative) = (bits & ~sign, bits & sign != 0)
      if magnitude > exponent {
        found.insert(.nan)
      } else if magnitude == exponent {
        found.insert(isNegative ? .negativeInfinity : .positiveInfinity)
      } else if magnitude == 0 {
        found.insert(.zero)
      } else if isNegative {
        found.insert(.negative)
      }
    }
    return found
  }
}
