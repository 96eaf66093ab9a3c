import Foundation
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// One entry of `Fixtures/torch.json`.
struct TorchCase: Sendable, CustomTestStringConvertible {
  let text: String
  let op: String
  let tensors: [String: Tensor]
  let result: Reference
  let gradients: [Reference?]
  let testDescription: String

  init?(_ json: JSON, index: Int) {
    guard let op = json["op"]?.stringValue, let attributes = json["attributes"]?.stringValue,
      let operands = json["operands"]?.elements, let result = json["result"], let type = typeText(result),
      let reference = tensorData(result)
    else { return nil }
    let names = operands.indices.map { "%x\($0)" }
    let inputs = operands.enumerated().map { "%x\($0): \(typeText($1) ?? "?") argument," }.joined(separator: "\n")
    let call = "\(op)(\(names.joined(separator: ", "))) \(attributes)"
    text = "graph @torch(\(inputs)) -> (y: %\(operands.count)) {\n%\(operands.count): \(type) = \(call)\n}"
    self.op = op
    self.result = reference
    gradients = json["gradients"]?.elements?.map { tensorData($0) } ?? []
    var tensors: [String: Tensor] = [:]
    for (index, operand) in operands.enumerated() {
      guard let value = tensorData(operand), let name = operand["dtype"]?.stringValue else { return nil }
      tensors["x\(index)"] = DType(rawValue: name).flatMap { Tensor(value.data, shape: value.shape, dtype: $0) }
    }
    self.tensors = tensors
    testDescription = "\(index) \(op)"
  }
}

private func typeText(_ json: JSON) -> String? {
  guard let dtype = json["dtype"]?.stringValue, let shape = json["shape"]?.elements else { return nil }
  return "\(dtype)[\(shape.compactMap(\.intValue).map(String.init).joined(separator: ", "))]"
}

private func tensorData(_ json: JSON) -> Reference? {
  guard let shape = json["shape"]?.elements?.compactMap(\.intValue), let data = json["data"]?.elements else {
    return nil
  }
  return Reference(shape: shape, data: data.compactMap { $0.doubleValue ?? $0.stringValue.flatMap(Double.init) })
}

let torchCases: [TorchCase] = ["torch", "convolution", "ops"].flatMap { name -> [TorchCase] in
  let url = root.appending(path: "Tests/IRTests/Fixtures/\(name).json")
  guard let text = try? String(contentsOf: url, encoding: .utf8), let json = try? JSON(parsing: text) else { return [] }
  return (json.elements ?? []).enumerated().compactMap { TorchCase($1, index: $0) }
}

@Suite("the reference against PyTorch in f64")
struct TorchTests {
  @Test func fixtureIsRead() { #expect(torchCases.count > 400) }

  @Test("values", arguments: torchCases)
  func values(torchCase: TorchCase) throws {
    let graph = try Graph.parse(torchCase.text)
    #expect(graph.verify(stage: [.afterCasts, .bound]) == [])
    let y = try #require(try graph.evaluate(torchCase.tensors)["y"])
    expectClose(y, torchCase.result, .relative(1e-12))
  }

  @Test("gradients", arguments: torchCases.filter { !$0.gradients.isEmpty })
  func gradients(torchCase: TorchCase) throws {
    var b = GraphBuilder(try Graph.parse(torchCase.text))
    let value = b.graph.outputs[0].value
    let seed = b.input("seed", b.type(value), role: .argument)
    let wanted = b.graph.inputs.map(\.value).filter { $0 != seed && b.type($0).dtype.isFloating }
    for (index, gradient) in try b.differentiate(value, withRespectTo: wanted, seed: seed).enumerated() {
      b.output("gradient\(index)", gradient)
    }
    var tensors = torchCase.tensors
    let weights = (0..<torchCase.result.data.count).map { cos(Double($0)) }
    tensors["seed"] = Tensor(weights, shape: torchCase.result.shape, dtype: .f64)
    let results = try b.graph.evaluate(tensors)
    for (index, expected) in torchCase.gradients.enumerated() {
      let found = try #require(results["gradient\(index)"])
      // A gradient of 0 may be the negative of one, as huber_loss's for its target is.
      if let expected { expectClose(found, expected, .relative(1e-11).ignoringSignsOfZero, "gradient \(index): ") }
    }
  }
}
