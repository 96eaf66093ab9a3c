import Foundation
import LTMIR
import LTMSupport

/// Goes through a graph in its order, one node at a time, with what names stand for.
struct GraphTranslator {
  let model: ONNXModel
  let path: String
  let builder = Builder()
  private(set) var symbols: DimNames
  private(set) var arguments: [(onnx: String, value: Value)] = []
  private(set) var results: [(onnx: String, type: TensorType, expression: Expression)] = []
  private let log = ProblemLog()

  /// What names stand for. A name without a value is one of what could not be imported, which has been said already.
  typealias Scope = [String: Value]

  /// How deep branches and functions may stand in one another.
  private static let depthLimit = 32

  /// Inputs that are known at import.
  private let known: [String: Tensor]

  init(model: ONNXModel, path: String, dims: [String: Int], known: [String: Tensor]) {
    self.model = model
    self.known = known
    self.path = path
    symbols = DimNames(given: dims)
  }

  mutating func translate() throws {
    let graph = model.graph
    var scope: Scope = [:]
    let held = Set(graph.initializers.map(\.name) + graph.unreadable.map(\.name))
    for input in graph.inputs where !held.contains(input.name) {
      do {
        if let tensor = known[input.name] {
          scope[input.name] = try constant(input, tensor)
          continue
        }
        let value = try argument(input)
        arguments.append((input.name, value))
        scope[input.name] = value
      } catch let problem as ImportProblem {
        log.add("the input '\(input.name.shownSafely)' is not imported: \(problem.reason)", path)
      }
    }
    try symbols.requireUse(path)
    if let unknown = known.keys.sorted().first(where: { scope[$0] == nil }) {
      throw Diagnostic("\(path): there is no input '\(unknown.shownSafely)'")
    }
    run(graph, in: &scope, depth: 0)
    for output in graph.outputs {
      if let value = scope[output.name] {
        do {
          results.append((output.name, value.type, try builder.expression(value)))
        } catch let problem as ImportProblem {
          log.add("the result '\(output.name.shownSafely)' is not imported: \(problem.reason)", path)
        }
      } else if log.isEmpty {
        log.add("the result '\(output.name.shownSafely)' is made by no node", path)
      }
    }
    if results.isEmpty, log.isEmpty { log.add("its graph gives nothing", path) }
    try log.set.throwIfErrors()
  }

  private mutating func argument(_ input: ONNXInput) throws -> Value {
    guard let element = input.element, let dtype = element.carrier else {
      throw ImportProblem("it is \(input.element.map { "a tensor of \($0.name)" } ?? input.kind)")
    }
    guard let dims = input.shape else { throw ImportProblem("the file does not say its rank") }
    var shape: [Dim] = []
    guard dims.count <= 32 else { throw ImportProblem("it has \(dims.count) dimensions, and 32 is the most") }
    for (axis, dim) in dims.enumerated() { shape.append(symbols.dim(dim, axis: axis)) }
    let type = TensorType(dtype, shape)
    try builder.requireElements(type)
    return builder.argument(input.name, type, element)
  }

  /// An input that is known at import.
  private func constant(_ input: ONNXInput, _ tensor: Tensor) throws -> Value {
    guard let element = input.element, let dtype = element.carrier else { throw ImportProblem("it is \(input.kind)") }
    guard tensor.dtype == dtype.stored || tensor.dtype.isFloating && dtype.isFloating else {
      throw ImportProblem("it is \(element.name), and what is given is \(tensor.dtype)")
    }
    let value = tensor.converted(to: dtype.stored)
    return Value(
      Constant(name: input.name, element: element, dtype: value.dtype, shape: value.shape, bytes: Data(value.bytes)))
  }

  /// Runs a graph's nodes; what they give joins the scope.
  private func run(_ graph: ONNXGraph, in scope: inout Scope, depth: Int) {
    for (name, value) in graph.initializers { scope[name] = Value(value) }
    for (name, reason) in graph.unreadable {
      log.add("the tensor '\(name.shownSafely)' is not imported: \(reason)", path)
    }
    var given: Set<String> = []
    for node in graph.nodes {
      for name in node.outputs where !name.isEmpty && !given.insert(name).inserted {
        log.add("two nodes give '\(name.shownSafely)'", path)
      }
      run(node, in: &scope, depth: depth)
    }
  }

  private func run(_ node: ONNXNode, in scope: inout Scope, depth: Int) {
    let lost = node.inputs.contains { !$0.isEmpty && scope[$0] == nil }
    // What needs a value that could not be imported is not to blame.
    if lost, !log.isEmpty { return }
    do {
      if lost, let name = node.inputs.first(where: { !$0.isEmpty && scope[$0] == nil }) {
        throw ImportProblem("nothing gives its operand '\(name.shownSafely)'")
      }
      builder.scope = node.name
      let values = try results(of: node, scope, depth)
      for (name, value) in zip(node.outputs, values) where !name.isEmpty {
        let bound = builder.bind(value, name, op: node.op)
        builder.rename(bound, name)
        scope[name] = bound
      }
    } catch is AlreadySaid {
      return
    } catch let problem as ImportProblem {
      log.add(
        "the node \(node.shownName.shownSafely) (\(node.shownOp.shownSafely)) is not imported: \(problem.reason)", path)
    } catch {
      log.add("the node \(node.shownName.shownSafely) (\(node.shownOp.shownSafely)) is not imported: \(error)", path)
    }
  }

  private func results(of node: ONNXNode, _ scope: Scope, _ depth: Int) throws -> [Value] {
    guard depth < Self.depthLimit else { throw ImportProblem("it stands more than \(Self.depthLimit) graphs deep") }
    let inputs = node.inputs.map { $0.isEmpty ? nil : scope[$0] }
    if let function = model.functions["\(node.domain).\(node.op)"] {
      return try expand(function, node, inputs, depth)
    }
    guard let row = OperatorTable.rows[node.shownOp] else {
      throw ImportProblem("the operator is not known")
    }
    let call = NodeCall(
      node: node, opset: model.opsets[node.domain] ?? model.opset, inputs: inputs, builder: builder,
      run: { graph, values in try body(graph, values, scope, depth) })
    return try row.translate(call)
  }

  private func body(_ graph: ONNXGraph, _ values: [Value], _ scope: Scope, _ depth: Int) throws -> [Value] {
    var inner = scope
    for (input, value) in zip(graph.inputs, values) { inner[input.name] = value }
    run(graph, in: &inner, depth: depth + 1)
    return try graph.outputs.map { output in
      guard let value = inner[output.name] else {
        if !log.isEmpty { throw AlreadySaid() }
        throw ImportProblem("its body does not give '\(output.name.shownSafely)'")
      }
      return value
    }
  }

  /// A call of an operator that the file defines, by its nodes.
  private func expand(
    _ function: ONNXFunction, _ node: ONNXNode, _ inputs: [Value?], _ depth: Int
  ) throws -> [Value] {
    var inner: Scope = [:]
    for (name, value) in zip(function.inputs, inputs) { inner[name] = value }
    let attributes = function.defaults.merging(node.attributes) { $1 }
    for body in function.nodes {
      var body = body
      body.attributes = body.attributes.compactMapValues { attribute in
        if case .reference(let name) = attribute { attributes[name] } else { attribute }
      }
      body.inputs = body.inputs.map { function.inputs.contains($0) && inner[$0] == nil ? "" : $0 }
      run(body, in: &inner, depth: depth + 1)
    }
    return try function.outputs.map { name in
      guard let value = inner[name] else {
        if !log.isEmpty { throw AlreadySaid() }
        throw ImportProblem("its definition does not give '\(name.shownSafely)'")
      }
      return value
    }
  }
}

/// What lacks a value because of a problem that has been said.
private struct AlreadySaid: Error {}

/// Everything that cannot be imported, said in one run.
final class ProblemLog {
  private(set) var set = DiagnosticSet()

  var isEmpty: Bool { !set.hasErrors }

  func add(_ message: String, _ path: String) { set.add(Diagnostic("\(path): \(message)")) }
}
