import Foundation
import LTMFrontEnd
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// What a model is made of, and what its graphs compute.
@Suite struct ModelTests {
  private func tensor(_ values: [Double], _ shape: [Int], _ dtype: DType = .f64) throws -> Tensor {
    try #require(Tensor(values, shape: shape, dtype: dtype))
  }

  @Test func parametersAreNamedAndInitialisedAsPyTorchDoes() throws {
    let program = try sample("mlp.ltm").instantiate(model: "MLP", arguments: ["hidden": .int(16)])
    #expect(
      program.parameters.map(\.name) == ["fc0.weight", "fc0.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"])
    #expect(program.parameters.map(\.shape) == [[16, 784], [16], [16, 16], [16], [10, 16], [10]])
    #expect(program.parameters[0].initializer == .uniform(bound: 1 / 784.0.squareRoot()))
    #expect(program.parameters[1].initializer == .uniform(bound: 1 / 784.0.squareRoot()))
    #expect(program.parameters.allSatisfy { $0.dtype == .float })
    #expect(program.entries.map(\.name) == ["forward", "loss"])
    #expect(program.entry("loss")?.parameters.map(\.type.description) == ["float[B, 784]", "i32[B]"])
  }

  @Test func tiedWeightsAreOneParameter() throws {
    let program = try loaded(
      """
      model M {
        let a = Linear(4, 4)
        let again = a
        let both = [a, relu, Linear(4, 4)]
        func f(x: [B, 4]) -> [B, 4] { return x |> both |> again }
      }
      """
    ).instantiate(model: "M")
    #expect(program.parameters.map(\.name) == ["a.weight", "a.bias", "both.2.weight", "both.2.bias"])
  }

  @Test("a result has a name that no parameter and no state has") func namesOfResults() throws {
    let program = try loaded(
      """
      model M {
        state result_: [] = zeros()
        func f(result: [B]) -> [B] {
          result_ <- result_ + 1
          return result * result_
        }
      }
      """
    ).instantiate(model: "M")
    let graph = try program.graph(entry: "f", training: false)
    #expect(graph.outputs.map(\.name) == ["result__", "result_"])
    #expect(graph.outputs.map(\.updates) == [nil, "result_"])
  }

  @Test func onlyParametersThatAreUsedAreInputs() throws {
    let program = try loaded(
      """
      model M {
        let a = Linear(4, 4)
        let b = Linear(4, 4)
        func f(x: [B, 4], unused: [B]) -> [B, 4] { return b(x) }
      }
      """
    ).instantiate(model: "M")
    let graph = try program.graph(entry: "f", training: false)
    #expect(graph.inputs.map(\.name) == ["x", "unused", "b.weight", "b.bias"])
    #expect(graph.verify().isEmpty)
  }

  @Test func batchNormUpdatesItsStatistics() throws {
    let program = try loaded(
      """
      model M {
        let norm = BatchNorm(2)
        func f(x: [B, 2]) -> [B, 2] { return norm(x) }
      }
      """
    ).instantiate(model: "M")
    #expect(program.states.map(\.name) == ["norm.running_mean", "norm.running_var"])
    let inputs = [
      "x": try tensor([1, 2, 3, 6], [2, 2]), "norm.weight": try tensor([1, 1], [2]),
      "norm.bias": try tensor([0, 0], [2]),
      "norm.running_mean": try tensor([0, 0], [2]), "norm.running_var": try tensor([1, 1], [2]),
    ]
    let trained = try program.graph(entry: "f", training: true).evaluate(inputs)
    expectClose(trained["norm.running_mean"]?.data ?? [], [0.2, 0.4], .absolute(1e-12))
    // 0.9 * 1 + 0.1 * the unbiased variance, which is 2 and 8.
    expectClose(trained["norm.running_var"]?.data ?? [], [1.1, 1.7], .absolute(1e-12))
    let first = 1 / (1 + 1e-5).squareRoot()
    let second = 2 / (4 + 1e-5).squareRoot()
    expectClose(trained["result"]?.data ?? [], [-first, -second, first, second], .absolute(1e-12))
    let evaluated = try program.graph(entry: "f", training: false).evaluate(inputs)
    #expect(evaluated.keys.sorted() == ["result"])
    expectClose(
      evaluated["result"]?.data ?? [], [1, 2, 3, 6].map { $0 / (1 + 1e-5).squareRoot() }, .absolute(1e-12))
  }

  /// Each feature over all axes but its own: as if the others were one.
  @Test(arguments: [("[B, 2, 3]", "0, 2, 1", [2, 2, 3]), ("[B, 2, 3, 1]", "0, 2, 3, 1", [2, 2, 3, 1])])
  func batchNormTakesAnyRank(type: String, order: String, shape: [Int]) throws {
    let text = """
      model M {
        let norm = BatchNorm(2)
        func deep(x: \(type)) -> [B * 3, 2] { return norm(x).permute(\(order)).reshape(-1, 2) }
        func flat(x: \(type)) -> [B * 3, 2] { return norm(x.permute(\(order)).reshape(-1, 2)) }
      }
      """
    let program = try loaded(text).instantiate(model: "M")
    let inputs = [
      "x": try tensor([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], shape), "norm.weight": try tensor([2, 3], [2]),
      "norm.bias": try tensor([0, 1], [2]), "norm.running_mean": try tensor([1, 2], [2]),
      "norm.running_var": try tensor([1, 3], [2]),
    ]
    for training in [false, true] {
      let deep = try program.graph(entry: "deep", training: training).evaluate(inputs)
      let flat = try program.graph(entry: "flat", training: training).evaluate(inputs)
      #expect(deep.count == (training ? 3 : 1))
      for (name, value) in flat { expectClose(deep[name]?.data ?? [], value.data, .absolute(1e-12), name) }
    }
  }

  /// One line of `.ltm` on `x = [[1, 2, 3], [4, 5, 6]]`, and the numbers that it means.
  @Test(
    arguments: [
      ("x[0]", [1, 2, 3]), ("x[-1, 0..<2]", [4, 5]), ("x[..., 1]", [2, 5]), ("x.T[2]", [3, 6]),
      ("sum(x * [1, 2, 3][1], axis: 0)", [10, 14, 18]), ("x[0] / 2", [0.5, 1, 1.5]), ("2 ** x[0]", [2, 4, 8]),
      ("maximum(x[0], 2)", [2, 2, 3]), ("max(x, axis: 1)", [3, 6]), ("max(2, x[0])", [2, 2, 3]),
      ("x.permute(1, 0).flatten()", [1, 4, 2, 5, 3, 6]), ("transpose(x, 0, 1)[0]", [1, 4]),
      ("stack([x[0], x[1]], axis: 1).flatten()", [1, 4, 2, 5, 3, 6]),
      ("concat([x[0], x[1, 0..<1]], axis: 0)", [1, 2, 3, 4]),
      ("x.reshape(3, -1)[1]", [3, 4]), ("x.unsqueeze(axis: 0).squeeze(axis: 0)[1]", [4, 5, 6]),
      ("where(x > 3, x, 0)[1] - where(x > 3, 1, 0)[1]", [3, 4, 5]), ("full([2], 7)", [7, 7]),
      ("x[1] * (if B == B { 1 } else { 0 })", [4, 5, 6]), ("x[0] * B", [2, 4, 6]), ("x[0] * sqrt(4)", [2, 4, 6]),
      ("x[0] + div(-7, 2) + mod(-7, 2)", [-2, -1, 0]), ("x[0] * min(3, 2) + max(1.5, 1)", [3.5, 5.5, 7.5]),
      ("x[0] * int(2.9) * pi / pi", [2, 4, 6]), ("cast(x[0] > 1, f32)", [0, 1, 1]), ("matmul(x, x.T)[0]", [14, 32]),
      ("cast(argmax(x, axis: -1), f32)", [2, 2]), ("split(x, 3, axis: 1)[2].flatten()", [3, 6]),
      ("x[0] * x.shape[1] * x.rank", [6, 12, 18]), ("-x[0] |> abs", [1, 2, 3]), ("x[0] * [1, 2].count", [2, 4, 6]),
    ] as [(String, [Double])])
  func expression(text: String, expected: [Double]) throws {
    let program = try loaded(
      "model M {\n  func f(x: [2, 3]) -> [\(expected.count)] { return g(x) }\n"
        + "  func g(x: [B, 3]) -> [\(expected.count)] { return \(text) }\n}"
    ).instantiate(model: "M")
    let graph = try program.graph(entry: "f", training: false)
    #expect(graph.verify().isEmpty)
    let result = try graph.evaluate(["x": tensor([1, 2, 3, 4, 5, 6], [2, 3])])["result"]
    expectClose(result?.data ?? [], expected, .absolute(1e-12), text)
  }

  @Test func importsComeBeforeThePreludeAndNeverChangeIt() throws {
    let main = """
      import "layers/mine.ltm"

      model M {
        let a = Linear(3)
        let b = Embedding(4, 3)
        func f(x: [B, 3]) -> [B, 3] { return a(x) }
      }
      """
    let mine = """
      import "../base.ltm"

      layer Linear(n: Int) {
        param scale: [n] = constant(start)
        func call(x: [..., n]) -> [..., n] { return relu(x * scale) }
      }

      func relu(x: [...]) -> [...] { return -x }
      """
    let file = try loaded(
      main, named: "dir/main.ltm", others: ["dir/layers/mine.ltm": mine, "dir/base.ltm": "let start = 2"])
    let program = try file.instantiate(model: "M")
    #expect(program.parameters.map(\.name) == ["a.scale", "b.weight"])
    #expect(program.parameters[0].initializer == .constant(2))
    #expect(try program.graph(entry: "f", training: false).nodes.map(\.op).contains(.neg))
  }

  @Test func brokenImports() {
    let cycle = messages {
      _ = try loaded(
        "import \"b.ltm\"", named: "a.ltm", others: ["b.ltm": "import \"a.ltm\"", "a.ltm": "import \"b.ltm\""])
    }
    #expect(cycle.contains("imports form a cycle: a.ltm -> b.ltm -> a.ltm"))
    #expect(messages { _ = try loaded("import \"b.ltm\"") }.contains("cannot read 'b.ltm': no such file"))
    let twice = messages { _ = try loaded("import \"b.ltm\"\nimport \"./b.ltm\"", others: ["b.ltm": ""]) }
    #expect(twice.contains("'b.ltm' is imported twice"))
    let clash = messages {
      _ = try loaded("import \"b.ltm\"\nimport \"c.ltm\"", others: ["b.ltm": "let n = 1", "c.ltm": "let n = 2"])
    }
    #expect(clash.contains("'n' is declared by two imports"))
  }

  @Test func trainBlock() throws {
    let file = try sample("digits.ltm")
    let settings = try #require(try file.train(for: "Digits"))
    #expect(settings.data?.value == "samples/data/digits.safetensors")
    #expect(settings.fields.map(\.parameter) == ["image", "label"])
    #expect(settings.fields.map(\.key) == ["x", "y"])
    #expect(settings.optimizer?.name == "AdamW")
    #expect(settings.optimizer?.arguments.map(\.value) == [.float(3e-3), .float(0.01)])
    #expect(settings.schedule?.arguments.map(\.value) == [.int(50)])
    #expect(settings.batch?.value == 64)
    #expect(settings.epochs?.value == 20)
    #expect(settings.minimize?.value == "loss")
    #expect(settings.reports.map(\.value) == ["accuracy"])
    #expect(file.check().all.isEmpty)
  }

  @Test(arguments: [
    ("hiden", CompileTimeValue.int(3)), ("hidden", .float(0.5)), ("hidden", .int(-1)), ("hidden", .int(1 << 62)),
  ])
  func argumentsFromOutsideAreChecked(name: String, value: CompileTimeValue) throws {
    let file = try sample("digits.ltm")
    #expect(throws: DiagnosticSet.self) { try file.instantiate(model: "Digits", arguments: [name: value]) }
  }

  @Test(arguments: [
    ("64", CompileTimeValue.int(64)), ("-3", .int(-3)), ("1e-3", .float(1e-3)), ("true", .bool(true)),
    ("same", .string("same")), ("\"same\"", .string("same")), ("\"3\"", .string("3")),
    ("two words", .string("two words")),
    ("[784, 128,10]", .list([.int(784), .int(128), .int(10)])), ("[ 1 , ]", .list([.int(1)])),
    ("(2,2)", .tuple([.int(2), .int(2)])),
    (
      "[(1, a), (2, \"b, c\")]",
      .list([
        .tuple([.int(1), .string("a")]), .tuple([.int(2), .string("b, c")]),
      ])
    ),
  ])
  func valuesFromOutsideAreRead(text: String, value: CompileTimeValue) {
    #expect(CompileTimeValue(text) == value)
    #expect(CompileTimeValue(value.description) == value || text.contains("\""))
  }

  @Test(arguments: ["", "[", "[1", "[]", "(1)", "()", "[1,,2]", "[1] 2", "\"a", "(1, 2", "[[[[[[[[[[[[[[[[[[1]"])
  func textsThatAreNoValueAreRefused(text: String) { #expect(CompileTimeValue(text) == nil) }

  @Test func listsTuplesStringsAndFunctionsAreGivenFromOutside() throws {
    let file = try loaded(
      """
      func twice(x: [...]) -> [...] { return x * 2 }
      model M(sizes: [Int], act: func = relu, pair: (Int, Float) = (1, 1), mode: String = "none") {
        let fc = [Linear(sizes[i], sizes[i + 1]) for i in 0..<sizes.count - 1]
        let (a, b) = pair
        func f(x: [B, sizes[0]]) -> [B, sizes[-1]] {
          let y = act(x |> fc)
          return if mode == "scaled" { y * a * b } else { y }
        }
      }
      train M(sizes: [4, 2], act: twice, pair: (3, 0.5), mode: "scaled") { batch 1 }
      """)
    let settings = try #require(try file.train(for: "M"))
    #expect(settings.arguments["sizes"] == .list([.int(4), .int(2)]))
    #expect(settings.arguments["act"] == .string("twice"))
    let graph = try file.instantiate(model: "M", arguments: settings.arguments).graph(entry: "f", training: false)
    #expect(graph.text.contains("value = 3.0") && graph.text.contains("value = 2.0") && graph.text.contains("0.5"))
    let other = try file.instantiate(
      model: "M", arguments: ["sizes": .list([.int(3), .int(5), .int(1)]), "act": .string("tanh")])
    #expect(other.parameters.map(\.shape) == [[5, 3], [5], [1, 5], [1]])
    #expect(try other.graph(entry: "f", training: false).text.contains("tanh"))
    #expect(
      messages { _ = try file.instantiate(model: "M", arguments: ["sizes": .list([.int(3)]), "act": .string("nope")]) }
        .contains("'act': there is no function 'nope'"))
  }

  @Test func computedNamesAreKeys() throws {
    let program = try loaded(
      #"""
      layer Inner(layers: Int, bias: Bool) {
        for layer in 0..<layers {
          let width = layer + 1
          param "weight_l\(layer)": [width] = ones()
          if bias { state "bias": [width] = zeros() }
          let "conv\(layer)" = [Linear(1, 1), relu]
        }
        func call(x: [B, 1]) -> [B, 1] {
          "bias" <- member("bias") + 1
          return member("conv0")(x) * member("weight_l0")
        }
      }
      model M {
        let inner = Inner(1, true)
        func f(x: [B, 1]) -> [B, 1] { return inner(x) * inner.weight_l0 }
      }
      """#
    ).instantiate(model: "M")
    #expect(program.parameters.map(\.name) == ["inner.weight_l0", "inner.conv0.0.weight", "inner.conv0.0.bias"])
    #expect(program.states.map(\.name) == ["inner.bias"])
    let graph = try program.graph(entry: "f", training: true)
    #expect(graph.outputs.map(\.updates) == [nil, "inner.bias"])
  }

  @Test func symbolicSizesCompute() throws {
    let graph = try graph(
      """
      model M {
        func f(x: [B, 2 * T], y: [B, T + 1]) -> ([B, S], [B, div(T, 2)], [B], []) {
          var sum = x[..<, 0]
          for t in 1..<T { sum = sum + x[..<, t] * cast(t + 1, f64) }
          return (x[..<, T..<], y[..<, ..<div(T, 2)], sum, mean(y) * mod(T, 2) + T)
        }
      }
      """)
    let given = [
      "x": try tensor((0..<12).map(Double.init), [2, 6]), "y": try tensor((0..<8).map(Double.init), [2, 4]),
    ]
    let results = try graph.evaluate(given)
    #expect(results["result.0"]?.data == [3, 4, 5, 9, 10, 11])
    #expect(results["result.1"]?.data == [0, 4])
    #expect(results["result.2"]?.data == [8.0, 44.0])
    #expect(results["result.3"]?.data == [6.5])
  }

  /// As deep as the parser lets a file be, times the calls that the elaborator allows: an error, not a crash.
  @Test func deepCodeIsAnError() throws {
    let deep = String(repeating: "relu(", count: 200) + "x" + String(repeating: ")", count: 200)
    var text = "func layer0(x: [N]) -> [N] { return \(deep) }\n"
    for i in 1...20 {
      let body = deep.replacingOccurrences(of: "x", with: "layer\(i - 1)(y)")
      text += "func layer\(i)(y: [N]) -> [N] { return \(body) }\n"
    }
    text += "model M {\n  func f(x: [N]) -> [N] { return layer20(x) }\n}\n"
    #expect(messages { _ = try graph(text) }.contains("nest too deeply"))
  }
}
