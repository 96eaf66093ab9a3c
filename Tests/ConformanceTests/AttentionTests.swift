import LTM
import LTMGraphPasses
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMLLVM
import OpCases
import TestSupport
import Testing

/// Attention in several blocks of queries and keys, where both end in the middle of one.
@Suite("attention in blocks") struct AttentionBlockTests {
  static let cases: [OpCase] = [
    attention([1, 2, 130, 20], [1, 2, 130, 20], 20, causal: true),
    attention([1, 4, 65, 33], [1, 2, 201, 33], 17, [([], .integers(140))], causal: true),
    attention([2, 2, 70, 16], [2, 1, 100, 16], 40, [([2, 1, 1, 100], .bools), ([1, 2, 70, 100], .any)]),
    attention([1, 3, 64, 64], [1, 3, 96, 64], 64),
    attention([1, 1, 200, 8], [1, 1, 150, 8], 8, causal: true, ["window": .int(40), "soft_cap": .float(1.5)]),
    attention([1, 2, 1, 64], [1, 1, 300, 64], 64, [([], .integers(300))], causal: true),
    attention(
      [1, 2, 66, 12], [1, 2, 97, 12], 12, [([4], .integers(1 << 31))], ["dropout": .float(0.3), "window": .int(50)]),
  ]

  private static func attention(
    _ q: [Int], _ k: [Int], _ width: Int, _ others: [([Int], Fill)] = [], causal: Bool = false, _ more: Attributes = [:]
  ) -> OpCase {
    var attributes = more
    attributes["causal"] = .bool(causal)
    if attributes["dropout"] == nil { attributes["dropout"] = .float(0) }
    return OpCase(.attention, [(q, .any), (k, .any), (Array(k.dropLast()) + [width], .any)] + others, attributes)
  }

  static let dtypes: [DType] = [.f32, .f64, .f16, .bf16]

  @Test(arguments: cases, [OperandView.plain, .sliced]) func agrees(_ opCase: OpCase, _ view: OperandView) throws {
    for dtype in view == .plain ? Self.dtypes : [.f32, .bf16] {
      let graph = try OpGraph(opCase, dtype, view)
      let inputs = graph.tensors(seed: 5)
      let exact = try graph.graph.evaluate(inputs)
      let found = try run(lowered(graph.graph), on: Subject.cpu.backend(), inputs)
      expectAgreement(found, exact, "\(opCase) \(dtype) \(view)") { _ in dtype.isHalf ? .units(12) : .units(256) }
    }
  }

  @Test("any number of threads gives the same bits") func threads() throws {
    let graph = try OpGraph(Self.cases[1], .f32)
    let inputs = graph.tensors(seed: 6)
    let results = try [1, 3].map { try run(lowered(graph.graph), on: processor(threads: $0), inputs) }
    #expect(results[0] == results[1])
  }

  @Test("a query has the same bits alone, beside a cache, as in its sequence", arguments: [0, 77, 129])
  func decodes(_ position: Int) throws {
    func attend(_ q: Tensor, _ k: Tensor, _ v: Tensor, offset: Int) throws -> [Double] {
      var b = GraphBuilder(name: "attend")
      var inputs: [String: Tensor] = [:]
      func input(_ name: String, _ tensor: Tensor) -> ValueID {
        inputs[name] = tensor
        return b.input(name, TensorType(tensor.dtype, tensor.shape.map { Dim($0) }), role: .argument)
      }
      let offset = try #require(Tensor([Double(offset)], shape: [], dtype: .i32))
      let operands = [input("q", q), input("k", k), input("v", v), input("offset", offset)]
      b.output("result", try b.apply(.attention, operands, ["causal": .bool(true), "dropout": .float(0)]))
      return try #require(try run(lowered(b.graph), on: Subject.cpu.backend(), inputs)["result"]).doubles
    }
    let graph = try OpGraph(
      OpCase(.attention, (0..<3).map { _ in ([1, 1, 130, 16], .any) }, ["causal": .bool(true), "dropout": .float(0)]),
      .f32)
    let inputs = graph.tensors(seed: 8)
    let (q, k, v) = (try #require(inputs["x0"]), try #require(inputs["x1"]), try #require(inputs["x2"]))
    func cache(_ tensor: Tensor) throws -> Tensor {
      let zeros = [Double](repeating: 0, count: 30 * 16)
      return try #require(Tensor(tensor.doubles + zeros, shape: [1, 1, 160, 16], dtype: .f32))
    }
    let row = Array(q.doubles[position * 16..<(position + 1) * 16])
    let one = try #require(Tensor(row, shape: [1, 1, 1, 16], dtype: .f32))
    let whole = try attend(q, k, v, offset: 0)
    #expect(try attend(one, cache(k), cache(v), offset: position) == Array(whole[position * 16..<(position + 1) * 16]))
  }

  @Test("memory grows with the length", arguments: [0.2, 0.5]) func memory(_ share: Double) throws {
    let dtype: DType = share == 0.2 ? .f32 : .bf16
    let bytes = try [4096, 8192].map { length in
      let shape = [1, 8, length, 64]
      let graph = try OpGraph(Self.attention(shape, shape, 64, causal: true), dtype).graph
      let plan = try buildPlan(lowered(graph))
      let own = plan.buffers.filter { if case .arena = $0.place { false } else { true } }
      return (plan.arenaBytes, own.reduce(0) { $0 + $1.byteCount })
    }
    #expect(Double(bytes[1].0) <= share * Double(bytes[1].1), "\(bytes)")
    #expect(bytes[1].0 <= 2 * bytes[0].0 + 4096, "\(bytes)")
  }

  @Test("every profile compiles it", arguments: TargetProfile.named) func profiles(_ profile: TargetProfile) throws {
    for dtype in [DType.f32, .bf16] {
      let plan = try buildPlan(lowered(OpGraph(Self.cases[1], dtype).graph))
      let kernels = plan.kernels.filter { if case .attention = $0.form { true } else { false } }
      #expect(kernels.count == 2)
      for kernel in kernels {
        #expect(kernel.verify() == [])
        #expect(try !emit(kernel, as: .object, profile: profile).isEmpty)
      }
    }
  }
}
