import LTMIR
import LTMSupport
import TestSupport
import Testing

/// A call that an op refuses, written as types, the op's name and attributes.
private struct Refusal {
  let op: Op
  let types: [TensorType]
  let attributes: Attributes
  init(_ op: Op, _ types: [TensorType], _ attributes: Attributes = [:]) {
    self.op = op
    self.types = types
    self.attributes = attributes
  }
}

private func f(_ dims: Dim...) -> TensorType { TensorType(.float, dims) }
private func of(_ dtype: DType, _ dims: Dim...) -> TensorType { TensorType(dtype, dims) }
private let size = Dim(symbol: "B")
private let huge = Dim(Int.max)

private let refusals: [Refusal] = [
  Refusal(.add, [f(size, 64), f(size, 32)]), Refusal(.add, [f(size), f(size, 1)]), Refusal(.add, [f(2)]),
  Refusal(.add, [of(.f16, 2), of(.f32, 2)]), Refusal(.add, [of(.bool, 2), of(.bool, 2)]),
  Refusal(.div, [of(.i32, 2), of(.i32, 2)]),
  Refusal(.exp, [of(.i32, 2)]), Refusal(.not, [f(2)]), Refusal(.where, [f(2), f(2), f(2)]),
  Refusal(.where, [of(.bool, 2), of(.f16, 2), of(.bf16, 2)]), Refusal(.cast, [f(2)]),
  Refusal(.iota, [], ["shape": .dims([2])]),
  Refusal(.iota, [], ["shape": .dims([2]), "axis": .int(-1), "dtype": .dtype(.i32)]),
  Refusal(.broadcast, [f(3)], ["shape": .dims([2, 4]), "axes": .ints([1])]),
  Refusal(.broadcast, [f(3)], ["shape": .dims([2, 3]), "axes": .ints([0, 1])]),
  Refusal(.reshape, [f(size, 3)], ["shape": .dims([size, 4])]),
  Refusal(.reshape, [f(huge, huge)], ["shape": .dims([1])]),
  Refusal(.transpose, [f(2, 3)], ["permutation": .ints([0, 0])]),
  Refusal(.slice, [f(2, 5)], ["axis": .int(1), "start": .dim(3), "limit": .dim(6), "stride": .int(1)]),
  Refusal(.slice, [f(2, 5)], ["axis": .int(1), "start": .dim(3), "limit": .dim(3), "stride": .int(1)]),
  Refusal(.slice, [f(5)], ["axis": .int(0), "start": .dim(0), "limit": .dim(5), "stride": .int(0)]),
  Refusal(.concat, [f(2, 3), f(3, 3)], ["axis": .int(1)]), Refusal(.concat, [], ["axis": .int(0)]),
  Refusal(.pad, [f(2)], ["axis": .int(0), "low": .int(-1), "high": .int(0), "value": .float(0)]),
  Refusal(.gather, [f(4, 3), f(2)], ["axis": .int(0)]),
  Refusal(.scatterAdd, [f(4, 3), of(.i32, 2), f(2, 2)], ["axis": .int(0)]),
  Refusal(.writeAt, [f(4, 3), f(5, 3), of(.i32)], ["axis": .int(0), "wraps": .bool(false)]),
  Refusal(.writeAt, [f(2, 4, 3), f(2, 1, 2), of(.i32)], ["axis": .int(1), "wraps": .bool(false)]),
  Refusal(.writeAt, [f(2, 4, 3), f(2, 1, 3), of(.i32, 3)], ["axis": .int(1), "wraps": .bool(true)]),
  Refusal(.writeAt, [f(2, 4, 3), f(2, 1, 3), f()], ["axis": .int(1), "wraps": .bool(false)]),
  Refusal(.sum, [f(2, 3)], ["axes": .ints([2]), "keep": .bool(false)]),
  Refusal(.sum, [f(2, 3)], ["axes": .ints([1, 1]), "keep": .bool(false)]),
  Refusal(.sum, [f(2, 3)], ["axes": .ints([1])]),
  Refusal(.mean, [f(huge, huge)], ["axes": .ints([0]), "keep": .bool(false)]),
  Refusal(.all, [f(2)], ["axes": .ints([0]), "keep": .bool(false)]), Refusal(.matmul, [f(2, 3), f(4, 5)]),
  Refusal(.matmul, [f(3), f(3, 4)]), Refusal(.matmul, [f(2, 3, 4), f(3, 4, 5)]),
  Refusal(.linear, [f(size, 64), f(10, 32)]),
  Refusal(.linear, [f(size, 64), f(10, 64), f(64)]), Refusal(.linear, [f(size, 64), f(64)]),
  Refusal(.linear, [of(.f16, 2, 3), of(.f32, 4, 3)]), Refusal(.softmax, [f(2)], ["axis": .int(1)]),
  Refusal(.layerNorm, [f(2, 3), f(2), f(3)], ["eps": .float(1e-5)]),
  Refusal(.batchNorm, [f(2), f(2), f(2), f(2), f(2)], ["eps": .float(1)]),
  Refusal(.rmsNorm, [of(.f32, 2), of(.f16, 2)], ["eps": .float(1e-5)]),
  Refusal(.crossEntropy, [f(size, 10), f(size)]), Refusal(.crossEntropy, [f(size, 10), of(.i32, size, 10)]),
  Refusal(.binaryCrossEntropy, [of(.f16, 2), of(.f16, 2)]), Refusal(.mseLoss, [f(2), f(3)]), Refusal(.input, []),
]

@Suite("what ops refuse")
struct InferenceTests {
  @Test("each refusal says what is wrong and points at the operands")
  func messages() throws {
    var lines: [String] = []
    for refusal in refusals {
      let call = "\(refusal.op.name)(\(refusal.types.map(\.description).joined(separator: ", ")))"
      do throws(OpError) {
        let type = try refusal.op.definition.infer(refusal.types, refusal.attributes)
        Issue.record("\(call) gives \(type)")
      } catch {
        let places = error.operands.map { "operand \($0.index)" + ($0.dim.map { " dimension \($0)" } ?? "") }
        lines += [call, "  error: \(error.message)"]
        if !places.isEmpty { lines.append("  at: \(places.joined(separator: ", "))") }
        if let note = error.note { lines.append("  note: \(note)") }
      }
    }
    try expectGolden(
      lines.joined(separator: "\n") + "\n", root.appending(path: "Tests/IRTests/Goldens/refusals.txt"))
  }

  @Test("an undecided float with a concrete one is undecided", arguments: [DType.f16, .f32, .f64])
  func undecided(dtype: DType) throws {
    let types = [TensorType(dtype, [2, 2]), TensorType(.float, [2, 2])]
    for op in [Op.add, .matmul, .linear, .mseLoss] { #expect(try op.definition.infer(types, [:]).dtype == .float) }
  }

  @Test(
    "dtypes of results",
    arguments: [
      (Op.mseLoss, DType.f16, DType.f32), (.mseLoss, .bf16, .f32), (.mseLoss, .f64, .f64), (.add, .f16, .f16),
      (.add, .i32, .i32),
      (.less, .f16, .bool), (.matmul, .bf16, .bf16),
    ])
  func results(op: Op, operand: DType, result: DType) throws {
    #expect(try op.definition.infer([TensorType(operand, [2, 2]), TensorType(operand, [2, 2])], [:]).dtype == result)
  }

  @Test(
    "sums and means of bools and integers",
    arguments: [
      (Op.sum, DType.bool, DType.i32), (.sum, .u8, .i32), (.sum, .i64, .i64), (.mean, .bool, .f32), (.mean, .i64, .f32),
      (.max, .u8, .u8), (.mean, .f16, .f16), (.sum, .f16, .f16),
    ])
  func integerReductions(op: Op, operand: DType, result: DType) throws {
    let type = try op.definition.infer([TensorType(operand, [4])], ["axes": .ints([0]), "keep": .bool(false)])
    #expect(type == TensorType(result, []))
  }

  @Test("norms take half with f32 parameters, and give half")
  func norms() throws {
    let types = [TensorType(.f16, [2, 4]), TensorType(.f32, [4]), TensorType(.f32, [4])]
    #expect(try Op.layerNorm.definition.infer(types, ["eps": .float(1e-5)]) == types[0])
  }

  @Test("a contraction may keep its accumulator's dtype")
  func wideContraction() throws {
    let types = [TensorType(.f16, [2, 3]), TensorType(.f16, [3, 4])]
    var attributes: Attributes = [
      "lhs_batch": .ints([]), "rhs_batch": .ints([]), "lhs_contract": .ints([1]), "rhs_contract": .ints([0]),
    ]
    attributes["dtype"] = .dtype(.f32)
    #expect(try Op.contract.definition.infer(types, attributes) == TensorType(.f32, [2, 4]))
    attributes["dtype"] = .dtype(.bf16)
    #expect(throws: OpError.self) { try Op.contract.definition.infer(types, attributes) }
  }

  @Test("indices outside are clamped")
  func clamped() throws {
    var b = GraphBuilder(name: "g")
    let x = b.input("x", TensorType(.f64, [3]), role: .argument)
    let i = b.input("i", TensorType(.i32, [4]), role: .argument)
    b.output("gathered", b.make(.gather, [x, i], ["axis": .int(0)]))
    let data = try #require(Tensor([10.0, 20, 30], shape: [3], dtype: .f64))
    let indices = try #require(Tensor([-5.0, 0, 2, 99], shape: [4], dtype: .i32))
    #expect(try b.graph.evaluate(["x": data, "i": indices])["gathered"]?.data == [10, 10, 30, 30])
  }

  @Test("docs/ops.md is what the table says")
  func opsPage() throws { try expectGolden(opReference(), root.appending(path: "docs/ops.md")) }
}
