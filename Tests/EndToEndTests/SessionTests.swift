import Foundation
import LTM
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// Weights lie in a session's storage once, whatever binds to them.
@Suite struct SessionTests {
  /// Wide enough that kernels pack its weights once.
  static let source = """
    model M(hidden: Int = 512) {
      let up = Linear(64, hidden)
      let norm = LayerNorm(hidden)
      let down = Linear(hidden, 64)
      func forward(x: [B, 64]) -> [B, 64] {
        return x |> up |> norm |> gelu |> down
      }
      func loss(x: [B, 64], y: [B, 64]) -> [] {
        return mse_loss(forward(x), y)
      }
      func far(x: [B, 64], y: [B, 64]) -> [] {
        return mean(abs(forward(x) - y))
      }
    }
    train M {
      minimize  loss
      report    loss
      optimizer AdamW(lr: 1e-2)
      batch     8
    }
    """

  static func model(_ text: String = source, seed: UInt64 = 3) throws -> Model {
    let folder = try TemporaryFolder()
    var model = try Model(contentsOf: folder.write("m.ltm", text), seed: seed)
    if model.entries.contains("far") { try model.setReports(["loss", "far"]) }
    return model
  }

  static func rows(_ count: Int, _ phase: Double) throws -> Tensor {
    try #require(Tensor((0..<count * 64).map { Float(sin(Double($0) * phase)) }, shape: [count, 64]))
  }

  static let levels: [(Precision, OptLevel)] = [
    (.sixtyFour, .O0), (.thirtyTwo, .O0), (.sixteen, .O1), (.sixteen, .O2), (.sixteen, .O3), (.bf16, .O1), (.bf16, .O2),
    (.bf16, .O3),
  ]

  private static let weightNames = ["down.bias", "down.weight", "norm.bias", "norm.weight", "up.bias", "up.weight"]
  private static var parameterCount: Int { 64 * 512 + 512 + 2 * 512 + 512 * 64 + 64 }

  // MARK: Entries

  @Test("all sizes of an entry read the same memory", arguments: levels)
  func sizes(_ precision: Precision, _ level: OptLevel) throws {
    let recorder = Recorder(try Execution(threads: 2))
    let policy = try PrecisionPolicy(precision, level: level)
    let entry = try Self.model().compile("forward", policy: policy, execution: recorder.execution)
    for rows in [1, 3, 40] { _ = try entry(["x": Self.rows(rows, 0.1)]) }
    let programs = recorder.programs
    try #require(programs.count == 3)
    for name in Self.weightNames {
      let places = Set(try programs.map { try $0.address(of: name) })
      #expect(places.count == 1 && programs.allSatisfy { $0.storage === programs[0].storage }, "\(name)")
    }
    let held = Self.parameterCount * (precision == .sixtyFour ? 8 : precision == .thirtyTwo ? 4 : 2)
    // At O1 and O2 norms stay f32, which read their two vectors so.
    let norms = precision == .sixteen || precision == .bf16 ? (level == .O3 ? 0 : 2 * 512 * 2) : 0
    #expect(programs[0].storage.memory.ofSession == held + norms)
  }

  @Test("the least recently used size goes, and its memory with it")
  func limit() throws {
    let recorder = Recorder(try Execution(threads: 1), keeps: false)
    let entry = try Self.model().compile("forward", execution: recorder.execution, sizeLimit: 2)
    let inputs = try [1, 2, 3].map { ["x": try Self.rows($0, 0.1)] }
    let first = try entry(inputs[0])[0].tensor
    _ = try entry(inputs[1])
    _ = try entry(inputs[0])
    _ = try entry(inputs[2])
    #expect(recorder.living == [true, false, true])
    #expect(try entry(inputs[0])[0].tensor == first)
    #expect(recorder.living.count == 3)
    _ = try entry(inputs[1])
    #expect(recorder.living == [true, false, false, true])
    #expect(CompiledEntry.defaultSizeLimit == 16)
    let wrong = #expect(throws: LTMError.self) { try Self.model().compile("forward", sizeLimit: 0) }
    #expect(wrong?.description.contains("at least 1 is needed") == true)
  }

  @Test("weights that are replaced are read by every size, packed ones too", arguments: levels)
  func replaced(_ precision: Precision, _ level: OptLevel) throws {
    let recorder = Recorder(try Execution(threads: 2))
    let policy = try PrecisionPolicy(precision, level: level)
    let (one, other) = (try Self.model(seed: 1), try Self.model(seed: 2))
    let entry = try one.compile("forward", policy: policy, execution: recorder.execution)
    let inputs = try [2, 64, 200].map { ["x": try Self.rows($0, 0.1)] }
    let before = try inputs.map { try entry($0)[0].tensor }
    #expect(recorder.programs.contains { $0.packsWeights })
    try entry.replaceWeights(with: other)
    let after = try inputs.map { try entry($0)[0].tensor }
    let fresh = try other.compile("forward", policy: policy, execution: recorder.execution)
    #expect(try after == inputs.map { try fresh($0)[0].tensor })
    #expect(zip(before, after).allSatisfy { $0 != $1 })
    // A size that is compiled now has them too.
    let late = ["x": try Self.rows(5, 0.1)]
    #expect(try entry(late)[0].tensor == fresh(late)[0].tensor)
  }

  @Test("weights that do not fit replace none")
  func misfits() throws {
    var other = try Self.model(seed: 2)
    try other.set(["down.bias": #require(Tensor([Float](repeating: 1e5, count: 64), shape: [64]))])
    let policy = try PrecisionPolicy(.sixteen, level: .O2)
    let entry = try Self.model().compile("forward", policy: policy, execution: Execution(threads: 1))
    let x = ["x": try Self.rows(2, 0.1)]
    let before = try entry(x)[0].tensor
    let error = #expect(throws: LTMError.self) { try entry.replaceWeights(with: other) }
    #expect(error?.description.contains("'down.bias' holds 100000.0 as element 0, and f16 ends at 65504") == true)
    let narrow = #expect(throws: LTMError.self) {
      try entry.replaceWeights(with: Self.model(Self.source.replacingOccurrences(of: "= 512", with: "= 8")))
    }
    let problem = "'up.weight' of 'forward' is [512, 64], and M has one of the shape [8, 64]"
    #expect(narrow?.description.contains(problem) == true, "\(narrow as Any)")
    #expect(try entry(x)[0].tensor == before)
  }

  @Test("callers of several sizes and one who replaces weights meet whole models", arguments: [1, 3])
  func threads(_ threads: Int) throws {
    let execution = try Execution(threads: threads)
    let policy = try PrecisionPolicy(.bf16, level: .O2)
    let models = [try Self.model(seed: 1), try Self.model(seed: 2)]
    let inputs = try (0..<4).map { ["x": try Self.rows(1 + 30 * $0, 0.1)] }
    let expected = try models.map { model in
      let entry = try model.compile("forward", policy: policy, execution: execution)
      return try inputs.map { try entry($0)[0].tensor }
    }
    let entry = try models[0].compile("forward", policy: policy, execution: execution, sizeLimit: 3)
    let lock = NSLock()
    nonisolated(unsafe) var wrong = 0
    DispatchQueue.concurrentPerform(iterations: 200) { call in
      if call % 10 == 9 {
        try? entry.replaceWeights(with: models[call / 10 % 2])
      } else {
        let found = try? entry(inputs[call % 4])[0].tensor
        if !expected.contains(where: { $0[call % 4] == found }) { lock.withLock { wrong += 1 } }
      }
    }
    #expect(wrong == 0)
  }

  @Test("a state is one for all sizes", arguments: [Target.cpu, .interpreter])
  func states(_ target: Target) throws {
    let entry = try Self.model(Self.counter).compile(
      "forward", policy: PrecisionPolicy(.thirtyTwo, level: .O0), execution: Execution(target: target))
    let seen = try [1, 2, 1, 3].map { rows in
      try entry(["x": #require(Tensor(zeros: [rows, 4], dtype: .f32))])[0].tensor.doubles[0]
    }
    #expect(seen == [1, 2, 3, 4])
  }

  // MARK: Training

  @Test("evaluation reads what training has written", arguments: levels)
  func evaluation(_ precision: Precision, _ level: OptLevel) throws {
    let recorder = Recorder(try Execution(threads: 2))
    var (model, reports) = (try Self.model(), [[ReportValue]]())
    var trainer = try Trainer(precision: precision, ampLevel: level, execution: recorder.execution)
    trainer.maxEpochs = 3
    let data = try Self.data()
    var overview: TrainingOverview?
    try trainer.fit(&model, data: data) { event in
      if case .epoch(let record) = event { reports.append(record.reports) }
      if case .started(let started) = event { overview = started }
    }
    let programs = recorder.programs
    // The step, and both reports for 256 and for 44 rows.
    try #require(programs.count == 5 && reports.count == 3)
    #expect(programs[1...].contains { $0.packsWeights })
    #expect(Set(reports.map { $0[0].value }).count == 3)
    for (index, name) in ["loss", "far"].enumerated() {
      let entry = try model.compile(name, policy: trainer.policy, execution: recorder.execution)
      let parts = try [0..<256, 256..<300].map { rows in
        try entry(data.test.mapValues { $0.rows(rows) })[0].tensor.doubles[0] * Double(rows.count)
      }
      #expect(reports[2][index].value == (parts[0] + parts[1]) / 300)
    }
    let (step, readers) = (programs[0], Array(programs[1...]))
    for name in Self.weightNames {
      let places = Set(try readers.map { try $0.address(of: name) })
      #expect(places.count == 1, "\(name)")
      let isNarrower = readers[0].executable.dtype(of: name) != step.executable.dtype(of: name)
      #expect(places.contains(try step.address(of: name)) == !isNarrower, "\(name)")
      #expect(!isNarrower || level == .O1)
    }
    let cast = level == .O1 ? (64 * 512 + 512 + 512 * 64 + 64) * 2 : 0
    #expect(readers[0].storage.memory.ofSession == cast)
    let own = readers.reduce(0) { $0 + $1.executable.memory.ofRun }
    #expect(overview?.reportBytes == cast + own)
    #expect(overview?.plannedBytes == step.executable.memory.total + cast + own)
  }

  @Test("evaluation in the interpreter reads what training has written", arguments: [OptLevel.O1, .O2])
  func interpreted(_ level: OptLevel) throws {
    let source = Self.source.replacingOccurrences(of: "= 512", with: "= 8")
    let execution = try Execution(target: .interpreter)
    var model = try Self.model(source)
    var trainer = try Trainer(precision: .sixteen, ampLevel: level, execution: execution)
    trainer.maxEpochs = 2
    let data = TrainingData(
      train: ["x": try Self.rows(16, 0.1), "y": try Self.rows(16, 0.3)],
      test: ["x": try Self.rows(5, 0.7), "y": try Self.rows(5, 0.2)])
    let result = try trainer.fit(&model, data: data)
    let entry = try model.compile("loss", policy: trainer.policy, execution: execution)
    #expect(try result.report == entry(data.test)[0].tensor.doubles[0])
  }

  @Test("rows that make very many numbers are reported a batch at a time")
  func largeRows() throws {
    let recorder = Recorder(try Execution(threads: 2))
    var model = try Self.model(
      """
      model M() {
        param w: [1024] = ones()
        func loss(x: [B, 1024]) -> [] {
          return mean(tanh(reshape(x, [B, 1024, 1]) * reshape(x, [B, 1, 1024]) * w))
        }
      }
      train M {
        minimize  loss
        report    loss
        optimizer SGD(lr: 0.1)
        batch     4
      }
      """)
    let x = try #require(Tensor((0..<300 * 1024).map { Float(sin(Double($0) * 0.1)) }, shape: [300, 1024]))
    var trainer = try Trainer(execution: recorder.execution)
    trainer.maxSteps = 1
    let data = TrainingData(train: ["x": x.rows(0..<4)], test: ["x": x.rows(0..<9)])
    _ = try trainer.fit(&model, data: data)
    // 9 rows are few numbers.
    #expect(recorder.programs.map { $0.rows(of: "x") } == [4, 9])
    _ = try trainer.fit(&model, data: TrainingData(train: data.train, test: ["x": x]))
    #expect(recorder.programs.map { $0.rows(of: "x") } == [4, 9, 4, 4])
  }

  @Test("a state that an entry writes while it is reported is not training's")
  func statesOfReports() throws {
    var model = try Self.model(Self.counter)
    var trainer = try Trainer()
    trainer.maxEpochs = 3
    let x = try #require(Tensor((0..<32).map { Float($0) / 32 }, shape: [8, 4]))
    var reports: [Double] = []
    try trainer.fit(&model, data: TrainingData(train: ["x": x], test: ["x": x])) { event in
      if case .epoch(let record) = event { reports += record.reports.map(\.value) }
    }
    // Each epoch has two steps, which count; each report counts once from there.
    #expect(reports == [3, 5, 7])
    #expect(model.weights["counter.seen"]?.doubles == [6])
  }

  @Test("a weight that the dtype of its cast cannot hold ends the run with its name")
  func outgrown() throws {
    var model = try Self.model()
    var trainer = try Trainer(precision: .sixteen, ampLevel: .O1, configureAmp: [.lossScale(.static(16))])
    trainer.learningRate = 1e5
    trainer.maxSteps = 1
    let data = try Self.data()
    let error = #expect(throws: LTMError.self) { try trainer.fit(&model, data: data) }
    #expect(error?.description.contains("after step 1 the run has diverged: the weight 'down.bias' holds") == true)
    #expect(error?.description.contains("and f16 ends at 65504") == true)
  }

  private static let counter = """
    layer Counter() {
      state seen: f32[] = zeros()
      func call(x: []) -> [] {
        seen <- seen + 1
        return 0 * x + seen
      }
    }
    model M() {
      let counter = Counter()
      param w: [4] = ones()
      func forward(x: [B, 4]) -> [] {
        return counter(sum(x))
      }
      func loss(x: [B, 4]) -> [] {
        return mean(x * w) + 0 * counter(sum(x))
      }
    }
    train M {
      minimize  loss
      report    forward
      optimizer SGD(lr: 0.1)
      batch     4
    }
    """

  /// Three batches to train on, 300 rows to test on.
  private static func data() throws -> TrainingData {
    TrainingData(
      train: ["x": try rows(24, 0.1), "y": try rows(24, 0.3)], test: ["x": try rows(300, 0.7), "y": try rows(300, 0.2)])
  }
}

/// Remembers what is compiled on a target, and with which storage.
private final class Recorder: Backend, @unchecked Sendable {
  private let base: Execution
  private let lock = NSLock()
  private var recorded: [Recorded] = []

  struct Program {
    let executable: any Executable
    let storage: SessionStorage

    func rows(of input: String) -> Int? { (try? executable.read(input))?.shape.first }

    func address(of name: String) throws -> UnsafeRawPointer? {
      var place: UnsafeRawPointer?
      try executable.withBytes(of: name) { place = $0.baseAddress }
      return place
    }

    /// Whether a kernel keeps what it makes of weights.
    var packsWeights: Bool {
      (executable as? any Profilable)?.kernels.contains { !$0.schedule.prepackPhases.isEmpty } == true
    }
  }

  private struct Recorded {
    weak var executable: (any Executable)?
    let kept: (any Executable)?
    let storage: SessionStorage
  }

  private let keeps: Bool

  /// - Parameter keeps: whether what is compiled lives as long as this does.
  init(_ base: Execution, keeps: Bool = true) { (self.base, self.keeps) = (base, keeps) }

  var execution: Execution { base.running(on: self) }

  func compile(_ graph: Graph, in storage: SessionStorage) throws(LTMError) -> any Executable {
    let made = try base.backend.compile(graph, in: storage)
    lock.withLock { recorded.append(Recorded(executable: made, kept: keeps ? made : nil, storage: storage)) }
    return made
  }

  /// Those that are still there.
  var programs: [Program] {
    lock.withLock { recorded }.compactMap { one in
      one.executable.map { Program(executable: $0, storage: one.storage) }
    }
  }

  var living: [Bool] { lock.withLock { recorded.map { $0.executable != nil } } }
}
