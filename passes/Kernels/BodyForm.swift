import LTMIR
import LTMKernels
import LTMSupport

/// An op's body with what its operands are to it: what decides the body's plan, and nothing else that two ops differ in.
struct BodyForm: Hashable {
  private let body: Graph
  private let constants: Int
  private let carried: Int
  private let scanned: Int
  private let stacks: Bool
  /// For each parameter, whether what is passed may start anywhere.
  var unaligned: [Bool] = []
  /// The op's name, for reports.
  let name: String

  /// The body of a scan, or of an op that runs it once: the operands of that one may change from run to run.
  init(_ node: Node) throws(OpError) {
    // Where it stands does not change what it computes: equal layers share a plan.
    var body = try node.body(0, of: 1)
    for index in body.nodes.indices { body.nodes[index].scope = "" }
    self.body = body
    let form = node.op == .scan ? try LoopForm(node) : nil
    (constants, carried) = (form?.constants ?? 0, form?.carried ?? 0)
    scanned = form.map { node.operands.count - $0.scanned } ?? 0
    stacks = node.op == .scan
    name = node.op.name
  }

  /// Which operands are carried.
  var carriedOperands: Range<Int> { constants..<constants + carried }

  /// The body as a graph whose carried outputs replace what they follow.
  var updatingGraph: Graph {
    var graph = body
    for index in graph.inputs.indices { graph.inputs[index].name = "in.\(index)" }
    for index in graph.outputs.indices {
      graph.outputs[index].name = "out.\(index)"
      graph.outputs[index].updates = index < carried ? "in.\(constants + index)" : nil
    }
    return graph
  }

  /// Operands in their order, then the results that are not carried.
  var parameters: [PlanBody.Parameter] {
    let given = body.inputs.indices.map { index in
      PlanBody.Parameter(
        access: carriedOperands.contains(index) ? .readWrite : .read, isRow: index >= body.inputs.count - scanned)
    }
    let made = body.outputs.dropFirst(carried).map { _ in PlanBody.Parameter(access: .write, isRow: stacks) }
    return given + made
  }

  /// The places that parameters have in the plan of `updatingGraph`.
  private var places: [PlanBuffer.Place] {
    body.inputs.indices.map { .input("in.\($0)") }
      + body.outputs.indices.dropFirst(carried).map { .output("out.\($0)") }
  }

  /// What each iteration of a loop finds unchanged, and what may start anywhere.
  var given: GivenBuffers {
    let values = body.inputs.map(\.value) + body.outputs.dropFirst(carried).map(\.value)
    let loose = zip(places, zip(parameters, values)).enumerated().filter { number, parameter in
      let type = body[parameter.1.1].type
      let bytes = (type.staticShape.flatMap(elementCount) ?? 1) * type.dtype.byteCount
      return unaligned[number] || (parameter.1.0.isRow && bytes % Plan.alignment != 0)
    }
    return GivenBuffers(constants: Set(places.prefix(constants)), unaligned: Set(loose.map(\.element.0)))
  }

  /// Makes parameters of the buffers that are named as inputs and outputs of the body.
  func replacePlaces(in frame: inout PlanFrame) {
    let numbers = Dictionary(uniqueKeysWithValues: places.enumerated().map { ($1, $0) })
    for index in frame.buffers.indices {
      if let number = numbers[frame.buffers[index].place] { frame.buffers[index].place = .parameter(number) }
    }
  }
}
