import Dispatch
import LTMHLO
import LTMIR
import LTMSupport
import Synchronization
import TestSupport
import Testing

/// What replicas tell each other, each dtype for itself, on two devices of XLA's CPU compiler.
@Suite("exchange between replicas")
struct ReplicaTests {
  static let client = Result { () throws -> PJRTClient in
    try PJRTClient.start(PJRTPlugin.open(try #require(InstalledTools.cpuPlugin)), devices: 2)
  }

  @Test(
    "sums, or gives the first replica's value", .enabled(if: PJRTTests.missing == nil, "\(PJRTTests.missing ?? "")"),
    arguments: DType.allCases.filter { $0 != .float }, ["sum", "mean", "first"])
  func exchange(_ dtype: DType, _ operation: String) throws {
    if operation == "mean", !dtype.isFloating { return }
    var b = GraphBuilder(name: "exchange")
    let x = b.input("x", TensorType(dtype, [2, 3]), role: .argument)
    b.output("y", b.make(.allReduce, [x], ["replicas": .int(2), "operation": .word(operation)]))
    let numbers: [[Double]] =
      dtype == .bool ? [[0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 0, 0]] : [[1, 2, 3, 4, 5, 6], [7, 9, 20, 0, 1, 2]]
    let inputs = try numbers.map { ["x": try #require(Tensor($0, shape: [2, 3], dtype: dtype))] }
    let expected = try b.graph.evaluate(replicas: inputs)
    let client = try Self.client.get()
    let program = try client.compile(stableHLO(b.graph), replicas: 2)
    let results = try program.run(
      inputs.enumerated().map { index, input in [try client.buffer(try #require(input["x"]), device: index)] })
    for (found, exact) in zip(results, expected) {
      #expect(try found[0].tensor(dtype, [2, 3]).doubles == exact["y"]?.data)
    }
  }

  /// Keys, and the bits of elements whose rows are shared.
  @Test(
    "random bits are those of the whole batch's rows",
    .enabled(if: PJRTTests.missing == nil, "\(PJRTTests.missing ?? "")"), arguments: [0, 1])
  func randomBits(_ axis: Int) throws {
    var b = GraphBuilder(name: "bits")
    let seed = b.input("seed", TensorType(.i32, [4]), role: .control)
    let key = b.make(.foldKey, [seed, b.constant(5, TensorType(.i32, []))], ["stream": .int(0x7654_3210_FEDC_BA98)])
    let attributes: Attributes = [
      "shape": .dims([4, 6]), "bits": .int(20), "skip": .int(3), "words": .int(2), "word": .int(1),
      "rows": .int(axis), "replicas": .int(2),
    ]
    b.output("y", b.make(.randomBits, [key], attributes))
    let tensor = try #require(seedKey(0xFEDC_BA98_7654_3210))
    let expected = try b.graph.evaluate(replicas: [["seed": tensor], ["seed": tensor]])
    #expect(expected[0]["y"] != expected[1]["y"])
    let client = try Self.client.get()
    let program = try client.compile(stableHLO(b.graph), replicas: 2)
    let results = try program.run((0..<2).map { [try client.buffer(tensor, device: $0)] })
    for (found, exact) in zip(results, expected) {
      #expect(try found[0].tensor(.i32, [4, 6]).doubles == exact["y"]?.data)
    }
  }

  /// Replicas meet those of their own launch, not another's of the same program or client.
  @Test(
    "launches at the same time stay apart", .enabled(if: PJRTTests.missing == nil, "\(PJRTTests.missing ?? "")"))
  func apart() throws {
    var b = GraphBuilder(name: "apart")
    let x = b.input("x", TensorType(.f32, [2]), role: .argument)
    b.output("y", b.make(.allReduce, [x], ["replicas": .int(2), "operation": .word("sum")]))
    let client = try Self.client.get()
    let program = try client.compile(stableHLO(b.graph), replicas: 2)
    let wrong = Mutex<[String]>([])
    DispatchQueue.concurrentPerform(iterations: 4) { thread in
      for round in 0..<50 {
        do {
          let number = Double(thread * 100 + round)
          let inputs = try (0..<2).map { device in
            let tensor = try #require(Tensor([number, 1], shape: [2], dtype: .f32))
            return [try client.buffer(tensor, device: device)]
          }
          for found in try program.run(inputs) {
            let values = try found[0].tensor(.f32, [2]).doubles
            if values != [2 * number, 2] { wrong.withLock { $0.append("\(values), not \(2 * number)") } }
          }
        } catch { wrong.withLock { $0.append("\(error)") } }
      }
    }
    #expect(wrong.withLock { $0 } == [])
  }

  @Test(
    "needs a device for each replica", .enabled(if: PJRTTests.missing == nil, "\(PJRTTests.missing ?? "")"))
  func tooFew() throws {
    let client = try Self.client.get()
    let error = #expect(throws: PJRTError.self) { try client.compile("module {}", replicas: client.deviceCount + 1) }
    #expect(error?.message.contains("there are \(client.deviceCount)") == true)
  }
}
