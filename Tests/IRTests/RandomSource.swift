import LTMGraphPasses
import LTMIR
import Testing

/// What is drawn in these tests is a function of a seed, an attempt, and what a test adds.
struct RandomSource {
  var b = GraphBuilder(name: "draws")
  private let root: ValueID
  private var seed: UInt64
  private var attempt: Int

  init(seed: UInt64 = 2026, attempt: Int = 0) {
    (self.seed, self.attempt) = (seed, attempt)
    let key = b.input(Graph.seed, TensorType(.i32, [4]), role: .control)
    root = b.make(.foldKey, [key, b.input(Graph.attempt, TensorType(.i32, []), role: .control)])
  }

  mutating func key(_ stream: Int, number: Int? = nil) -> ValueID {
    let index = number.map { b.constant(Double($0), TensorType(.i32, [])) }
    return b.make(.foldKey, [root] + [index].compactMap(\.self), ["stream": .int(stream)])
  }

  /// A drawing op without operands but its key, on a stream.
  mutating func draw(
    _ op: Op, _ shape: [Int], _ dtype: DType = .f32, stream: Int = 1, number: Int? = nil,
    with attributes: Attributes = [:]
  ) -> ValueID {
    var all: Attributes = ["shape": .dims(shape.map { Dim($0) }), "dtype": .dtype(dtype)]
    let defaults: [String: Double] = op == .uniform ? ["low": 0, "high": 1] : ["mean": 0, "std": 1]
    for (name, value) in defaults { all[name] = .float(value) }
    for entry in attributes.entries { all[entry.name] = entry.value }
    return b.make(op, [key(stream, number: number)], all)
  }

  /// What such an op gives.
  mutating func sample(
    _ op: Op, _ shape: [Int], _ dtype: DType = .f32, stream: Int = 1, number: Int? = nil,
    with attributes: Attributes = [:]
  ) throws -> [Double] {
    let value = draw(op, shape, dtype, stream: stream, number: number, with: attributes)
    return try numbers(value)
  }

  var inputs: [String: Tensor] {
    get throws {
      [
        Graph.seed: try #require(seedKey(seed)),
        Graph.attempt: try #require(Tensor([Double(attempt)], shape: [], dtype: .i32)),
      ]
    }
  }

  /// What a value holds, by the ops that it is made of.
  func numbers(_ value: ValueID, rounding: ReferenceRounding = .everyOp) throws -> [Double] {
    var b = b
    b.output("value", value)
    let graph = try GraphPass.decompose.run(b.graph)
    #expect(graph.verify(stage: [.bound, .afterCasts, .decomposed]) == [])
    return try #require(try graph.evaluate(inputs, rounding: rounding)["value"]).data
  }
}
