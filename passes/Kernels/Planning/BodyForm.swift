import LTMIR
import LTMKernels
import LTMSupport

/// An op's body with what its operands are to it: what decides the body's plan, and nothing else that two ops differ in.
struct BodyForm: Hashable {
  private let body: Graph
  /// The operands that do not change from one run of the body to the next.
  private let constants: Set<Int>
  /// For each result that takes the place of an operand, that operand.
  private let replaced: [Int: Int]
  private let scanned: Int
  private let stacks: Bool
  /// For each parameter, whether what is passed may start anywhere.
  var unaligned: [Bool] = []
  /// The op's name, for reports.
  let name: String

  /// The body of a scan, whose carried values are replaced; or of an op that runs it once.
  ///
  /// - Parameters:
  ///   - constants: the operands of the latter that are the same at every run.
  ///   - replaced: the results of the latter that take the place of an operand.
  init(_ node: Node, constants: Set<Int>, replaced: [Int: Int]) throws(OpError) {
    body = try node.body(0, of: 1).anonymous
    let form = node.op == .scan ? try LoopForm(node) : nil
    self.constants = form.map { Set(0..<$0.constants) } ?? constants
    self.replaced =
      form.map { form in
        Dictionary(uniqueKeysWithValues: (0..<form.carried).map { ($0, form.constants + $0) })
      } ?? replaced
    scanned = form.map { node.operands.count - $0.scanned } ?? 0
    stacks = node.op == .scan
    name = node.op.name
  }

  /// The results that are parameters of their own.
  private var ownResults: [Int] { body.outputs.indices.filter { replaced[$0] == nil } }

  /// The body as a graph whose outputs update what they replace.
  var updatingGraph: Graph {
    var graph = body
    for (result, operand) in replaced { graph.outputs[result].updates = "in.\(operand)" }
    return graph
  }

  /// Operands in their order, then the results that take no operand's place.
  var parameters: [PlanBody.Parameter] {
    let written = Set(replaced.values)
    let given = body.inputs.indices.map { index in
      // A constant of a scan may be another thing when the scan runs again.
      let access: KernelBuffer.Access =
        written.contains(index) ? .readWrite : constants.contains(index) && !stacks ? .constant : .read
      return PlanBody.Parameter(access: access, isRow: index >= body.inputs.count - scanned)
    }
    return given + ownResults.map { _ in PlanBody.Parameter(access: .write, isRow: stacks) }
  }

  /// The places that parameters have in the plan of `updatingGraph`.
  private var places: [PlanBuffer.Place] {
    body.inputs.indices.map { .input("in.\($0)") } + ownResults.map { .output("out.\($0)") }
  }

  /// What each iteration of a loop finds unchanged, and what may start anywhere.
  var given: GivenBuffers {
    let values = body.inputs.map(\.value) + ownResults.map { body.outputs[$0].value }
    let loose = zip(places, zip(parameters, values)).enumerated().filter { number, parameter in
      let type = body[parameter.1.1].type
      let bytes = (type.staticShape.flatMap(elementCount) ?? 1) * type.dtype.byteCount
      return unaligned[number] || (parameter.1.0.isRow && bytes % Plan.alignment != 0)
    }
    return GivenBuffers(constants: Set(constants.map { places[$0] }), unaligned: Set(loose.map(\.element.0)))
  }

  /// Makes parameters of the buffers that are named as inputs and outputs of the body.
  func replacePlaces(in frame: inout PlanFrame) {
    let numbers = Dictionary(uniqueKeysWithValues: places.enumerated().map { ($1, $0) })
    for index in frame.buffers.indices {
      if let number = numbers[frame.buffers[index].place] { frame.buffers[index].place = .parameter(number) }
    }
  }
}

extension Graph {
  /// The same without the names that it has where it stands: they do not change what it computes, so that equal layers
  /// share a plan.
  fileprivate var anonymous: Graph {
    var graph = self
    graph.name = "body"
    for index in nodes.indices { (graph.nodes[index].scope, graph.nodes[index].reason) = ("", nil) }
    for index in inputs.indices { graph.inputs[index].name = "in.\(index)" }
    for index in outputs.indices { graph.outputs[index].name = "out.\(index)" }
    return graph
  }
}
