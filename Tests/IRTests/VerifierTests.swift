import LTMIR
import LTMSupport
import OpCases
import Testing

@Suite("rules of graphs")
struct VerifierTests {
  /// `y = exp(x)`, with a half and a symbol in it.
  private func graph() -> Graph {
    var b = GraphBuilder(name: "g")
    let x = b.input("x", TensorType(.f32, [2, 3]), role: .parameter)
    b.output("y", b.exp(x), updates: "x")
    return b.graph
  }

  private func rules(_ graph: Graph, stage: GraphStage = .traced) -> Set<String> {
    Set(graph.verify(stage: stage).map(\.rule))
  }

  @Test func legal() { #expect(graph().verify(stage: [.afterCasts, .bound, .decomposed]) == []) }

  @Test func graph_c1_operandsComeBefore() {
    var later = graph()
    later.nodes[1].operands = [ValueID(1)]
    #expect(rules(later) == ["graph_c1"])
    var negative = graph()
    negative.nodes[1].operands = [ValueID(-1)]
    #expect(rules(negative) == ["graph_c1"])
    var output = graph()
    output.outputs[0].value = ValueID(2)
    #expect(rules(output) == ["graph_c1"])
  }

  @Test func graph_c2_inputsAreTheInputNodes() {
    var missing = graph()
    missing.inputs = []
    missing.outputs[0].updates = nil
    #expect(rules(missing) == ["graph_c2"])
    var other = graph()
    other.inputs[0].value = ValueID(1)
    other.outputs[0].updates = nil
    #expect(rules(other) == ["graph_c2"])
  }

  @Test func graph_c3_namesAreUnique() {
    var twice = graph()
    twice.outputs.append(GraphOutput(name: "y", value: ValueID(0)))
    #expect(rules(twice) == ["graph_c3"])
  }

  @Test func graph_c4_updatesHaveTheInputsType() {
    var unknown = graph()
    unknown.outputs[0].updates = "z"
    #expect(rules(unknown) == ["graph_c4"])
    var twice = graph()
    twice.outputs.append(GraphOutput(name: "again", value: ValueID(0), updates: "x"))
    #expect(rules(twice) == ["graph_c4"])
    var b = GraphBuilder(graph())
    b.output("half", b.cast(ValueID(1), to: .f16), updates: "x")
    var type = b.graph
    type.outputs.removeFirst()
    #expect(rules(type) == ["graph_c4"])
  }

  @Test func graph_c5_attributesAreOfTheSignature() {
    var unknown = graph()
    unknown.nodes[1].attributes["axis"] = .int(0)
    #expect(rules(unknown) == ["graph_c5"])
    var b = GraphBuilder(graph())
    let sum = b.sum(ValueID(1), [0])
    var kind = b.graph
    kind[sum].attributes["keep"] = .int(0)
    #expect(rules(kind).contains("graph_c5"))
  }

  @Test("no attribute is missing or of another kind, and nothing reads one that is", arguments: opCases)
  func graph_c5_attributesAreThere(opCase: OpCase) throws {
    var (b, _, value) = try opCase.builder(.f64)
    b.output("value", value)
    let tensors = try opCase.tensors(.f64)
    for parameter in opCase.op.definition.signature where b.graph[value].attributes[parameter.name] != nil {
      var wrong = b.graph
      wrong[value].attributes[parameter.name] = .dtype(.f32)
      if parameter.kind == .dtype { wrong[value].attributes[parameter.name] = .bool(true) }
      var missing = b.graph
      missing[value].attributes[parameter.name] = nil
      for graph in [wrong] + (parameter.isOptional ? [] : [missing]) {
        #expect(rules(try Graph.parse(graph.text)).contains("graph_c5"), "\(parameter.name)")
        #expect(throws: DiagnosticSet.self) { try graph.evaluate(tensors) }
      }
    }
  }

  @Test func graph_c6_typesAreInferred() {
    var dtype = graph()
    dtype.nodes[1].type = TensorType(.f16, [2, 3])
    dtype.outputs[0].updates = nil
    #expect(rules(dtype) == ["graph_c6"])
    var count = graph()
    count.nodes[1].operands = []
    #expect(rules(count) == ["graph_c6"])
    var b = GraphBuilder(graph())
    b.append(Node(.constant, [], ["value": .float(1)], type: TensorType(.f32, [2])))
    #expect(rules(b.graph) == ["graph_c6"])
    var input = graph()
    input.nodes.append(Node(.input, [ValueID(0)], type: TensorType(.f32, [])))
    input.inputs.append(GraphInput(name: "z", role: .state, value: ValueID(2)))
    #expect(rules(input) == ["graph_c6"])
  }

  @Test(arguments: [[0], [-1], [Int.max, 2]])
  func graph_c7_sizesArePositive(shape: [Int]) {
    var b = GraphBuilder(name: "g")
    _ = b.input("x", TensorType(.f32, shape.map { Dim($0) }), role: .argument)
    #expect(rules(b.graph) == ["graph_c7"])
  }

  @Test func graph_c8_noUndecidedFloatAfterCasts() {
    var b = GraphBuilder(name: "g")
    _ = b.input("x", TensorType(.float, [2]), role: .argument)
    #expect(rules(b.graph) == [])
    #expect(rules(b.graph, stage: .afterCasts) == ["graph_c8"])
  }

  @Test func graph_c9_noSymbolOnceBound() {
    var b = GraphBuilder(name: "g")
    _ = b.input("x", TensorType(.f32, [Dim(symbol: "B")]), role: .argument)
    _ = b.dimension(Dim(symbol: "B"), .f32)
    #expect(rules(b.graph) == [])
    #expect(b.graph.verify(stage: .bound).map(\.rule) == ["graph_c9", "graph_c9"])
  }

  @Test func graph_c10_noCompositeOnceDecomposed() {
    var b = GraphBuilder(graph())
    _ = b.make(.softmax, [ValueID(1)], ["axis": .int(0)])
    #expect(rules(b.graph) == [])
    #expect(rules(b.graph, stage: .decomposed) == ["graph_c10"])
  }

  @Test func whatARuleMakesOfOperandsThatDoNotFitIsNamed() {
    var b = GraphBuilder(name: "bad")
    let x = b.input("x", TensorType(.f32, [2]), role: .argument)
    let y = b.input("y", TensorType(.f32, [3]), role: .argument)
    b.output("sum", b.make(.mul, [b.make(.add, [x, y]), x]))
    #expect(b.graph.verify().map(\.rule) == ["graph_c6"])
  }

  @Test func anInternalFailureIsAMessageAndAStatus() async {
    let result = await #expect(processExitsWith: .exitCode(internalErrorStatus), observing: [\.standardErrorContent]) {
      internalFailure("emission", "no value")
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("ltm: internal error: emission: no value") && text.contains("please report it"))
  }
}
