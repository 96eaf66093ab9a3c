import Foundation
import LTM
import LTMIR
import TestSupport
import Testing

/// A compiled entry that is called from several threads at once.
@Suite struct ConcurrencyTests {
  private static let source = """
    model M(hidden: Int = 48) {
      let fc1 = Linear(20, hidden)
      let norm = LayerNorm(hidden)
      let fc2 = Linear(hidden, 10)

      func forward(x: [B, 20]) -> [B, 10] {
        return x |> fc1 |> norm |> gelu |> fc2 |> softmax(axis: 1)
      }
    }
    """

  private static func model(_ text: String = source) throws -> Model {
    let folder = try TemporaryFolder()
    return try Model(contentsOf: folder.write("m.ltm", text), seed: 3)
  }

  /// Rows of numbers that differ from call to call.
  private static func input(_ call: Int, columns: Int = 20) throws -> Tensor {
    let rows = 1 + call % 3
    let values = (0..<rows * columns).map { Float(sin(Double($0 * (call + 1)))) }
    return try #require(Tensor(values, shape: [rows, columns]))
  }

  @Test(
    "gives each caller the results of its own arguments",
    arguments: [
      (Target.cpu, 1, Precision.thirtyTwo, OptLevel.O0), (.cpu, 2, .bf16, .O2), (.cpu, 3, .sixteen, .O1),
      (.interpreter, 1, .sixteen, .O2),
    ])
  func results(target: Target, threads: Int, precision: Precision, level: OptLevel) throws {
    let policy = try PrecisionPolicy(precision, level: level)
    let execution = try Execution(target: target, threads: threads)
    let model = try Self.model()
    let calls = target == .cpu ? 96 : 12
    let inputs = try (0..<calls).map { try Self.input($0) }
    let alone = try model.compile("forward", policy: policy, execution: execution)
    let expected = try inputs.map { try alone(["x": $0])[0].tensor }
    let shared = try model.compile("forward", policy: policy, execution: execution)
    let results = Results()
    DispatchQueue.concurrentPerform(iterations: calls) { call in
      let tensor = try? shared(["x": inputs[call]])[0].tensor
      results.set(call, tensor)
    }
    #expect(results.all == expected)
  }

  @Test("lets a run begin before another one has ended", arguments: [Target.cpu, .interpreter], [1, 2])
  func overlap(target: Target, threads: Int) throws {
    let meeting = Meeting(of: 2)
    let execution = try Execution(target: target, threads: target == .cpu ? threads : nil)
    let backend = MeetingBackend(base: execution.backend, meeting: meeting)
    let entry = try Self.model().compile(
      "forward", policy: PrecisionPolicy(.thirtyTwo, level: .O0), execution: execution.running(on: backend))
    let x = try Self.input(0)
    DispatchQueue.concurrentPerform(iterations: 2) { _ in _ = try? entry(["x": x]) }
    #expect(meeting.tookPlace)
  }

  @Test("keeps what a run changes in one place: then calls take turns", arguments: [Target.cpu, .interpreter])
  func states(target: Target) throws {
    let model = try Self.model(
      """
      layer Counter() {
        state seen: f32[] = zeros()
        func call(x: [4]) -> [] {
          seen <- seen + 1
          return sum(x) + seen
        }
      }
      model M() {
        let counter = Counter()
        func forward(x: [4]) -> [] {
          return counter(x)
        }
      }
      """)
    let entry = try model.compile(
      "forward", policy: PrecisionPolicy(.thirtyTwo, level: .O0), execution: Execution(target: target))
    let x = try #require(Tensor([Float](repeating: 0, count: 4), shape: [4]))
    let results = Results()
    DispatchQueue.concurrentPerform(iterations: 40) { call in results.set(call, try? entry(["x": x])[0].tensor) }
    #expect(results.all.compactMap { $0?.doubles.first }.sorted() == (1...40).map(Double.init))
  }
}

/// What calls gave, by number.
private final class Results: @unchecked Sendable {
  private let lock = NSLock()
  private var tensors: [Int: Tensor] = [:]

  func set(_ call: Int, _ tensor: Tensor?) { lock.withLock { tensors[call] = tensor } }

  var all: [Tensor?] { lock.withLock { (0..<(tensors.keys.max() ?? -1) + 1).map { tensors[$0] } } }
}

/// A place where callers wait until there are enough of them; who waits in vain gives up, so that a test can fail.
private final class Meeting: @unchecked Sendable {
  private let condition = NSCondition()
  private let size: Int
  private var present = 0

  init(of size: Int) { self.size = size }

  func arrive() {
    condition.lock()
    defer { condition.unlock() }
    present += 1
    condition.broadcast()
    let deadline = Date(timeIntervalSinceNow: 30)
    while present < size, condition.wait(until: deadline) {}
  }

  var tookPlace: Bool { condition.withLock { present >= size } }
}

/// Each run of an executable comes to a meeting before it computes.
private struct MeetingBackend: Backend {
  let base: any Backend
  let meeting: Meeting

  func compile(_ graph: Graph, in storage: SessionStorage) throws(LTMError) -> any Executable {
    MeetingExecutable(try base.compile(graph, in: storage), meeting)
  }
}

private final class MeetingExecutable: Executable {
  private let base: any Executable
  private let meeting: Meeting

  init(_ base: any Executable, _ meeting: Meeting) { (self.base, self.meeting) = (base, meeting) }

  var memory: MemoryUse { base.memory }

  func sibling() throws(LTMError) -> (any Executable)? {
    guard let sibling = try base.sibling() else { return nil }
    return MeetingExecutable(sibling, meeting)
  }

  func run() throws(LTMError) {
    meeting.arrive()
    try base.run()
  }

  func write(_ tensor: Tensor, to input: String) throws(LTMError) { try base.write(tensor, to: input) }
  func dtype(of input: String) -> DType? { base.dtype(of: input) }
  func fill(_ input: String, _ body: (UnsafeMutableRawBufferPointer) -> Void) throws(LTMError) {
    try base.fill(input, body)
  }
  func read(_ name: String) throws(LTMError) -> Tensor { try base.read(name) }
}
