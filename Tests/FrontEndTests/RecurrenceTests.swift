import Foundation
import LTMFrontEnd
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// One entry of `Fixtures/recurrence.json`: a recurrent layer of PyTorch's, run and differentiated in f64.
struct RecurrentCase: Sendable, CustomTestStringConvertible {
  let kind: String
  let (batch, steps, inputs, hidden, layers): (Int, Int, Int, Int, Int)
  let (isBidirectional, hasBias): (Bool, Bool)
  let lengths: [Int]
  let nonlinearity: String
  let parameters: [(name: String, shape: [Int])]
  let results: [[Double]]
  let gradients: [String: [Double]]

  init?(_ json: JSON) {
    func int(_ name: String) -> Int { json[name]?.intValue ?? 0 }
    guard let kind = json["kind"]?.stringValue, let names = json["parameters"]?.elements,
      let results = json["results"]?.elements, let gradients = json["gradients"]?.members
    else { return nil }
    self.kind = kind
    (batch, steps, inputs, hidden, layers) = (int("batch"), int("steps"), int("inputs"), int("hidden"), int("layers"))
    (isBidirectional, hasBias) = (json["bidirectional"]?.boolValue ?? false, json["bias"]?.boolValue ?? false)
    lengths = json["lengths"]?.elements?.compactMap(\.intValue) ?? []
    nonlinearity = json["nonlinearity"]?.stringValue ?? ""
    parameters = names.map { pair in
      (pair.elements?[0].stringValue ?? "", pair.elements?[1].elements?.compactMap(\.intValue) ?? [])
    }
    self.results = results.map { $0.elements?.compactMap(\.doubleValue) ?? [] }
    self.gradients = Dictionary(
      gradients.map { ($0.key, $0.value.elements?.compactMap(\.doubleValue) ?? []) }, uniquingKeysWith: { a, _ in a })
  }

  var testDescription: String {
    "\(kind) \(batch) \(steps) \(inputs) \(hidden) \(layers) \(isBidirectional) \(lengths)"
  }

  private var states: [String] { kind == "LSTM" ? ["h0", "c0"] : ["h0"] }
  private var rows: Int { layers * (isBidirectional ? 2 : 1) }

  /// A model of the layer alone, whose entry takes all that it can take.
  var source: String {
    let options = kind == "RNN" ? ", nonlinearity: \"\(nonlinearity)\"" : ""
    let given = states.map { ", \($0): [\(rows), B, \(hidden)]" }.joined()
    let types = [String](repeating: "[\(rows), B, \(hidden)]", count: states.count).joined(separator: ", ")
    let call = lengths.isEmpty ? "layer(x, " : "layer.padded(x, lengths, "
    return """
      model M {
        let layer = \(kind)(\(inputs), \(hidden), \(layers), bias: \(hasBias), bidirectional: \(isBidirectional)\(options))
        func f(x: [B, T, \(inputs)]\(given)\(lengths.isEmpty ? "" : ", lengths: i32[B]")) -> ([B, T, H], \(types)) {
          return \(call)\(states.joined(separator: ", ")))
        }
      }
      """
  }

  /// What the layer is given, as the script that made the fixture has it.
  var tensors: [String: Tensor] {
    var tensors = ["x": wave([batch, steps, inputs], 20)]
    for (offset, name) in states.enumerated() { tensors[name] = wave([rows, batch, hidden], 30 + Double(offset)) }
    for (index, parameter) in parameters.enumerated() {
      tensors["layer.\(parameter.name)"] = wave(parameter.shape, 0.1 + Double(index))
    }
    if !lengths.isEmpty { tensors["lengths"] = Tensor(lengths.map(Double.init), shape: [batch], dtype: .i32) }
    return tensors.compactMapValues { $0 }
  }

  static let all: [RecurrentCase] = {
    let url = root.appending(path: "Tests/FrontEndTests/Fixtures/recurrence.json")
    guard let text = try? String(contentsOf: url, encoding: .utf8), let json = try? JSON(parsing: text) else {
      return []
    }
    return (json.elements ?? []).compactMap { RecurrentCase($0) }
  }()
}

private func wave(_ shape: [Int], _ phase: Double) -> Tensor? {
  Tensor((0..<shape.reduce(1, *)).map { 0.8 * sin(1.3 * Double($0) + phase) }, shape: shape, dtype: .f64)
}

/// The prelude's recurrent layers against PyTorch's.
@Suite struct RecurrenceTests {
  @Test func theFixtureIsRead() { #expect(RecurrentCase.all.count == 21) }

  @Test(arguments: RecurrentCase.all)
  func outputsStatesAndGradients(of torch: RecurrentCase) throws {
    let program = try loaded(torch.source).instantiate(model: "M")
    let unbound = try program.graph(entry: "f", training: true)
    let tensors = torch.tensors
    let graph = try unbound.bound(try unbound.bindings(tensors.mapValues(\.shape)))
    var b = GraphBuilder(graph)
    var seeds: [(output: ValueID, gradient: ValueID)] = []
    var given = tensors
    for (index, output) in graph.outputs.enumerated() {
      seeds.append((output.value, b.input("seed.\(index)", b.type(output.value), role: .argument)))
      given["seed.\(index)"] = wave(b.type(output.value).shape.compactMap(\.constant), 40 + Double(index))
    }
    let wanted = graph.inputs.filter { $0.name != "lengths" }
    for (input, gradient) in zip(wanted, try b.differentiate(seeds, withRespectTo: wanted.map(\.value))) {
      b.output("gradient \(input.name)", try #require(gradient))
    }
    #expect(b.graph.verify() == [])
    let results = try b.graph.evaluate(given)
    for (index, expected) in torch.results.enumerated() {
      expectSame(try #require(results[graph.outputs[index].name]).data, expected, "result \(index)")
    }
    #expect(Set(wanted.map(\.name)) == Set(torch.gradients.keys))
    for (name, expected) in torch.gradients {
      expectSame(try #require(results["gradient \(name)"]).data, expected, "gradient of \(name)")
    }
  }

  /// The norm of the difference is at most 1e-12 of the norm.
  private func expectSame(_ found: [Double], _ expected: [Double], _ what: String) {
    #expect(found.count == expected.count, "\(what)")
    let norm = { (values: [Double]) in values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    let difference = norm(zip(found, expected).map { $0 - $1 })
    #expect(difference <= 1e-12 * max(norm(expected), 1e-300) || difference == 0, "\(what): \(difference)")
  }

  @Test(arguments: RecurrentCase.all)
  func parametersAreNamedShapedAndInitialisedAsPyTorchs(_ torch: RecurrentCase) throws {
    let program = try loaded(torch.source).instantiate(model: "M")
    #expect(program.parameters.map(\.name) == torch.parameters.map { "layer.\($0.name)" })
    #expect(program.parameters.map(\.shape) == torch.parameters.map(\.shape))
    let bound = 1 / Double(torch.hidden).squareRoot()
    #expect(program.parameters.allSatisfy { $0.initializer == .uniform(bound: bound) })
  }

  @Test func statesThatAreNotGivenAreZero() throws {
    func values(_ call: String) throws -> Reference {
      let graph = try graph(
        """
        model M {
          let layer = LSTM(2, 3, 2)
          func f(x: [B, T, 2]) -> [B, T, 3] {
            let zero = full([2, B, 3], 0.0)
            let (y, h, c) = \(call)
            return y
          }
        }
        """)
      var given = ["x": try #require(wave([2, 3, 2], 5))]
      for input in graph.inputs where input.role == .parameter {
        given[input.name] = wave(graph[input.value].type.shape.compactMap(\.constant), 1)
      }
      return try #require(try graph.bound(["B": 2, "T": 3]).evaluate(given)["result"])
    }
    let wanted = try values("layer(x, zero, zero)")
    #expect(try values("layer(x)") == wanted)
    #expect(try values("layer.padded(x, full([B], cast(T, i32)))") == wanted)
  }

  @Test("dropout stands between layers, in training", arguments: ["RNN", "LSTM", "GRU"])
  func dropoutBetweenLayers(kind: String) throws {
    func source(_ layers: Int, _ p: Double) -> String {
      "model M { let layer = \(kind)(2, 3, \(layers), dropout: \(p))\n func f(x: [B, T, 2]) -> [B, T, 3] { return layer(x)[0] } }"
    }
    func drops(_ layers: Int, _ p: Double, training: Bool) throws -> Int {
      try graph(source(layers, p), training: training).nodes.count { $0.op == .dropout }
    }
    #expect(try drops(3, 0.5, training: true) == 2)
    #expect(try drops(1, 0.5, training: true) == 0)
    #expect(try drops(3, 0, training: true) == 0)
    #expect(try drops(3, 0.5, training: false) == 0)
    #expect(messages { _ = try graph(source(2, 1.5)) }.contains("requires 0 <= dropout && dropout <= 1"))
  }

  @Test("the product of the inputs and weight_ih stands outside of the loop", arguments: ["RNN", "LSTM", "GRU"])
  func oneProductForAllSteps(kind: String) throws {
    let source = "model M { let layer = \(kind)(2, 3)\n func f(x: [B, T, 2]) -> [B, T, 3] { return layer(x)[0] } }"
    let graph = try graph(source)
    func products(_ graph: Graph) -> Int { graph.nodes.count { $0.op == .linear } }
    let scans = graph.nodes.filter { $0.op == .scan }
    #expect(products(graph) == 1 && scans.count == 1)
    #expect(products(scans[0].bodies[0]) == 1)
    var b = GraphBuilder(graph)
    let weight = try #require(graph.input("layer.weight_ih_l0")).value
    let seed = b.input("seed", b.type(graph.outputs[0].value), role: .argument)
    _ = try b.differentiate([(graph.outputs[0].value, seed)], withRespectTo: [weight])
    // Neither scan takes or sums anything of the weight's shape.
    for scan in b.graph.nodes where scan.op == .scan {
      #expect(!scan.operands.contains { b.type($0).shape == b.type(weight).shape })
    }
  }
}
