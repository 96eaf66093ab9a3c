import Foundation
import LTMGraphPasses
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// One entry of `Fixtures/attention.json`: an attention of PyTorch's, run and differentiated in f64.
struct AttentionCase: Sendable, CustomTestStringConvertible {
  let shapes: [[Int]]
  let options: [String: JSON]
  let mask: (shape: [Int], data: [Double])?
  let bias: [Int]?
  let output: [Double]
  let gradients: [[Double]]

  init?(_ json: JSON) {
    func ints(_ value: JSON?) -> [Int]? { value?.elements?.compactMap(\.intValue) }
    func numbers(_ value: JSON?) -> [Double]? { value?.elements?.compactMap(\.doubleValue) }
    guard let q = ints(json["q"]), let k = ints(json["k"]), let v = ints(json["v"]),
      let output = numbers(json["output"]), let gradients = json["gradients"]?.elements
    else { return nil }
    shapes = [q, k, v]
    options = Dictionary(
      (json["options"]?.members ?? []).map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    mask = ints(json["mask"]?["shape"]).flatMap { shape in numbers(json["mask"]?["data"]).map { (shape, $0) } }
    bias = ints(json["bias"])
    self.output = output
    self.gradients = gradients.compactMap { numbers($0) }
  }

  var testDescription: String { "\(shapes) \(options.keys.sorted()) \(mask?.shape ?? []) \(bias ?? [])" }

  var attributes: Attributes {
    var attributes: Attributes = [
      "causal": .bool(options["causal"]?.boolValue ?? false), "dropout": .float(0),
    ]
    for name in ["scale", "soft_cap"] { attributes[name] = options[name]?.doubleValue.map { .float($0) } }
    attributes["window"] = options["window"]?.intValue.map { .int($0) }
    return attributes
  }

  /// The attention on its inputs, with the gradients of all floats.
  func graph() throws -> (graph: Graph, inputs: [String: Tensor]) {
    var b = GraphBuilder(name: "attention")
    var inputs: [String: Tensor] = [:]
    func input(_ name: String, _ tensor: Tensor?) throws -> ValueID {
      let tensor = try #require(tensor)
      inputs[name] = tensor
      return b.input(name, TensorType(tensor.dtype, tensor.shape.map { Dim($0) }), role: .argument)
    }
    var operands: [ValueID] = []
    for (number, shape) in shapes.enumerated() {
      operands.append(try input("x\(number)", wave(shape, 0.5 + Double(number))))
    }
    var wanted = operands
    if let mask { operands.append(try input("mask", Tensor(mask.data, shape: mask.shape, dtype: .bool))) }
    if let bias {
      operands.append(try input("bias", wave(bias, 4)))
      wanted.append(operands[operands.count - 1])
    }
    if let offset = options["offset"]?.intValue {
      operands.append(try input("offset", Tensor([Double(offset)], shape: [], dtype: .i32)))
    }
    let value = try b.apply(.attention, operands, attributes)
    b.output("output", value)
    let seed = try input("seed", wave(b.type(value).staticShape ?? [], 9))
    for (number, gradient) in try b.differentiate(value, withRespectTo: wanted, seed: seed).enumerated() {
      b.output("gradient\(number)", gradient)
    }
    return (b.graph, inputs)
  }

  static let all: [AttentionCase] = {
    let url = root.appending(path: "Tests/IRTests/Fixtures/attention.json")
    guard let text = try? String(contentsOf: url, encoding: .utf8), let json = try? JSON(parsing: text) else {
      return []
    }
    return (json.elements ?? []).compactMap { AttentionCase($0) }
  }()
}

/// What the script fills operands with.
private func wave(_ shape: [Int], _ phase: Double) -> Tensor? {
  let numbers = (0..<shape.reduce(1, *)).map { index -> Double in
    let (i, slow) = (Double(index), cos(0.3 * Double(index) * phase))
    return sin(1.7 * i + phase) + 0.25 * slow
  }
  return Tensor(numbers, shape: shape, dtype: .f64)
}

/// The norm of the difference over the norm.
private func distance(_ found: [Double], _ wanted: [Double]) -> Double {
  guard found.count == wanted.count else { return .infinity }
  let difference = zip(found, wanted).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  let size = wanted.reduce(0) { $0 + $1 * $1 }
  return difference == 0 ? 0 : (difference / size).squareRoot()
}

@Suite("attention")
struct AttentionTests {
  @Test("it is PyTorch's, whole and as simpler ops", arguments: AttentionCase.all)
  func agreesWithTorch(_ item: AttentionCase) throws {
    let (graph, inputs) = try item.graph()
    #expect(graph.verify(stage: [.bound, .afterCasts]) == [])
    let simple = try GraphPass.decompose.run(graph)
    #expect(!simple.nodes.contains { $0.op == .attention || $0.op == .attentionGradient })
    for graph in [graph, simple] {
      let results = try graph.evaluate(inputs)
      let wanted = [("output", item.output)] + item.gradients.enumerated().map { ("gradient\($0)", $1) }
      for (name, numbers) in wanted {
        let found = try #require(results[name]).data
        #expect(distance(found, numbers) <= 1e-12, "\(name): \(distance(found, numbers))")
      }
    }
  }

  @Test("the fixture is there") func cases() { #expect(AttentionCase.all.count == 29) }

  @Test("dropout keeps the mean, and the gradient draws what the forward pass did")
  func dropout() throws {
    var b = GraphBuilder(name: "dropout")
    let x = b.input("x", TensorType(.f64, [1, 1, 40, 4]), role: .argument)
    let ones = b.fill(1, like: x)
    let key = b.input("key", TensorType(.i32, [4]), role: .argument)
    let value = try b.apply(.attention, [x, x, ones, key], ["causal": .bool(false), "dropout": .float(0.25)])
    b.output("value", value)
    b.output("gradient", try b.differentiate(value, withRespectTo: [ones])[0])
    let inputs = [
      "x": try #require(wave([1, 1, 40, 4], 1)), "key": try #require(Tensor([1, 2, 3, 4], shape: [4], dtype: .i32)),
    ]
    let results = try b.graph.evaluate(inputs)
    let rows = try #require(results["value"]).data
    #expect(abs(rows.reduce(0, +) / Double(rows.count) - 1) < 0.1)
    #expect(Set(rows).count > 1)
    // Both are sums of all weights that were kept.
    let slopes = try #require(results["gradient"]).data
    #expect(abs(rows.reduce(0, +) - slopes.reduce(0, +)) < 1e-9)
  }

  @Test("what is wrong with the operands is said")
  func mistakes() {
    func message(_ types: [TensorType], _ attributes: Attributes = ["causal": .bool(false)]) -> String {
      do throws(OpError) {
        _ = try Op.attention.definition.infer(types, attributes)
        return ""
      } catch { return error.message }
    }
    let x = TensorType(.f32, [2, 4, 6, 8])
    #expect(message([x, x]) == "query, key and value are needed, 2 given")
    #expect(
      message([TensorType(.f32, [6, 8]), x, x]).hasPrefix("query, key and value are [batch, heads, length, width]"))
    #expect(
      message([x, TensorType(.f32, [2, 3, 6, 8]), TensorType(.f32, [2, 3, 6, 8])])
        == "4 query heads do not share 3 key heads evenly")
    #expect(
      message([x, TensorType(.f32, [2, 4, 6, 9]), TensorType(.f32, [2, 4, 6, 9])])
        == "the widths of the query and the key are 8 and 9")
    #expect(
      message([x, x, x, TensorType(.bool, [3, 5])]).hasPrefix("the mask, [3, 5], does not spread over the scores"))
    #expect(message([x, x, x, TensorType(.i64, [])]).hasPrefix("a mask is of bools or floats"))
    #expect(
      message([x, x, x], ["causal": .bool(false), "window": .int(0)]) == "a window holds 1 key or more, and this is 0")
    #expect(message([x, x, x], ["causal": .bool(false), "dropout": .float(0.5)]) == "dropout needs a key")
  }
}
