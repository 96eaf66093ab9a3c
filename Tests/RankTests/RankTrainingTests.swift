import Foundation
import LTM
import LTMIR
import LTMMPI
import LTMSupport
import Synchronization
import TestSupport
import Testing

/// Training on several ranks, against one process.
@Suite("training on several ranks")
struct RankTrainingTests {
  static let source = """
    model M() {
      let fc1 = Linear(6, 40)
      let fc2 = Linear(40, 3)
      func forward(x: [B, 6]) -> [B, 3] { return dropout(x, 0.1) |> fc1 |> gelu |> fc2 }
      func loss(x: [B, 6], label: i32[B]) -> [] { return cross_entropy(forward(x), label) }
      func accuracy(x: [B, 6], label: i32[B]) -> [] { return mean(argmax(forward(x), axis: 1) == label) }
    }
    train M {
      data      "d.safetensors"
      minimize  loss
      report    accuracy
      optimizer AdamW(lr: 1e-2)
      clip      norm(1.0)
      batch     16
      steps     12
    }

    """

  /// 203 rows to train on and 77 to test: no number of ranks divides them.
  static func folder(_ source: String = source) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("m.ltm", source)
    func rows(_ count: Int, _ phase: Float) throws -> (Tensor, Tensor) {
      let x = try #require(Tensor((0..<count * 6).map { sin(Float($0) * 1.7 + phase) }, shape: [count, 6]))
      let labels = (0..<count).map { Double($0 * 7 % 3) }
      return (x, try #require(Tensor(labels, shape: [count], dtype: .i32)))
    }
    let (train, test) = (try rows(203, 0), try rows(77, 2))
    try TensorFile.write(
      [("x_train", train.0), ("label_train", train.1), ("x_test", test.0), ("label_test", test.1)],
      to: folder.file("d.safetensors"))
    return folder
  }

  struct Run: Sendable, Equatable {
    var losses: [Double] = []
    var scales: [Double] = []
    var skips: [Bool] = []
    var accuracy = 0.0
    var weights: [String: [Double]] = [:]
    var memory = MemoryUse()
  }

  /// A run in this process, or as one of several ranks.
  static func train(
    _ path: String, _ line: String, _ ranks: RankThread? = nil, threads: Int = 1, data: TrainingData? = nil,
    _ change: (inout Trainer) -> Void = { _ in }
  ) throws -> Run {
    let words = line.split(separator: " ").map(String.init)
    let communicator = try ranks.map { try Communicator($0) }
    let execution = try Execution(threads: threads, communicator: communicator)
    var trainer = try Trainer(
      precision: try Precision(parsing: words[0]), ampLevel: [OptLevel.O0, .O1, .O2].first { $0.name == words[1] },
      onNonfinite: .skip, execution: execution)
    trainer.seed = 5
    change(&trainer)
    var model = try Model(contentsOf: path)
    var run = Run()
    let result = try trainer.fit(&model, data: data) { event in
      guard case .step(let record) = event else { return }
      run.losses.append(record.loss)
      run.scales.append(record.scale)
      run.skips.append(record.skipped)
    }
    run.accuracy = result.reports.first?.value ?? .nan
    run.memory = result.memory
    for name in ["fc1.weight", "fc2.bias"] { run.weights[name] = model.weight(name)?.doubles }
    return run
  }

  private static func tolerance(_ line: String) -> Double {
    line.hasPrefix("64") ? 1e-11 : line.hasPrefix("32") ? 2e-6 : line.hasPrefix("bf16") ? 2e-2 : 2e-3
  }

  @Test(
    "gives the losses of one process", arguments: ["64 O0", "32 O0", "16 O1", "16 O2", "bf16 O2"], [2, 4])
  func losses(_ line: String, _ count: Int) throws {
    let folder = try Self.folder()
    let path = folder.file("m.ltm")
    let one = try Self.train(path, line)
    let several = try onRanks(count) { ranks in try Self.train(path, line, ranks) }
    for run in several {
      expectClose(run.losses, one.losses, .relative(Self.tolerance(line), least: 1), "losses")
      #expect(run.losses == several[0].losses && run.weights == several[0].weights)
      #expect(run.accuracy == several[0].accuracy && abs(run.accuracy - one.accuracy) < 0.03)
    }
  }

  @Test(
    "gives the very bits of one process with --same-bits", arguments: ["64 O0", "32 O0", "16 O1", "16 O2", "bf16 O2"])
  func sameBits(_ line: String) throws {
    let folder = try Self.folder()
    let path = folder.file("m.ltm")
    let one = try Self.train(path, line) { $0.options.sameBits = true }
    for (count, threads) in [(1, 2), (2, 1), (4, 1), (8, 1)] {
      let several = try onRanks(count) { ranks in
        try Self.train(path, line, ranks, threads: threads) { $0.options.sameBits = true }
      }
      for run in several {
        #expect(
          run.losses == one.losses && run.weights == one.weights && run.accuracy == one.accuracy, "\(count) ranks")
      }
    }
    let folded = try Self.folder(Self.source.replacing("batch     16", with: "batch     4\n  accumulate 4"))
    let two = try onRanks(2) { ranks in
      try Self.train(folded.file("m.ltm"), line, ranks) { $0.options.sameBits = true }
    }
    #expect(two[0].losses == one.losses && two[1].weights == one.weights, "four micro-batches")
  }

  @Test("micro-batches on ranks make the losses of one batch")
  func microBatches() throws {
    let folder = try Self.folder(Self.source.replacing("dropout(x, 0.1)", with: "x"))
    let folded = try Self.folder(
      Self.source.replacing("dropout(x, 0.1)", with: "x").replacing("batch     16", with: "batch     4\n  accumulate 4")
    )
    let one = try Self.train(folder.file("m.ltm"), "64 O0")
    let two = try onRanks(2) { ranks in try Self.train(folded.file("m.ltm"), "64 O0", ranks) }
    expectClose(two[0].losses, one.losses, .relative(1e-11), "losses")
    // The thirteenth window ends with the data, before the micro-batch that stands behind the loop.
    let alone = try Self.train(folded.file("m.ltm"), "64 O0") { $0.maxSteps = 16 }
    let longer = try onRanks(2) { ranks in try Self.train(folded.file("m.ltm"), "64 O0", ranks) { $0.maxSteps = 16 } }
    #expect(alone.losses.count == 16)
    expectClose(longer[0].losses, alone.losses, .relative(1e-11), "losses, a short window among them")
  }

  @Test("--shard optimizer changes no bit and divides the bytes", arguments: ["32 O0", "16 O1", "16 O2"], [2, 3])
  func shards(_ line: String, _ count: Int) throws {
    let source = Self.source.replacing("batch     16", with: "batch     18").replacing("clip      norm(1.0)", with: "")
    let folder = try Self.folder(source)
    let path = folder.file("m.ltm")
    let whole = try onRanks(count) { ranks in try Self.train(path, line, ranks) }
    let divided = try onRanks(count) { ranks in
      try Self.train(path, line, ranks) { trainer in
        trainer.options.shard = .optimizer
        trainer.savePath = folder.file("w.safetensors")
      }
    }
    for (run, other) in zip(divided, whole) {
      #expect(run.losses == other.losses && run.weights == other.weights && run.accuracy == other.accuracy)
      // fc1.weight alone, of 240 elements, is large enough to be divided.
      let state = 2 * 4 * (240.0 / Double(count) + 40 + 120 + 3)
      #expect(
        Double(run.memory.optimizerState) == state || line.hasSuffix("O1")
          || run.memory.optimizerState < other.memory.optimizerState)
    }
    // The file is whole, and one process goes on from it.
    let saved = try TensorFile.read(folder.file("w.safetensors") + ":fc1.weight")
    #expect(saved.shape == [40, 6])
    let resumed = try Self.train(path, line) { trainer in
      trainer.resumePath = folder.file("w.safetensors")
      trainer.maxSteps = 20
    }
    #expect(resumed.losses.count == 8)
  }

  /// Statistics, running ones too, gradients through them, and what follows: PyTorch's SyncBatchNorm is one process's batch norm.
  @Test("batch norm with sync takes the statistics of all ranks", arguments: [2, 4])
  func syncedBatchNorm(_ count: Int) throws {
    let source = Self.source.replacing("let fc2", with: "let norm = BatchNorm(40, sync: true)\n  let fc2")
      .replacing("|> gelu", with: "|> norm |> gelu").replacing("dropout(x, 0.1)", with: "x")
    let (folder, plain) = (
      try Self.folder(source), try Self.folder(source.replacing("sync: true", with: "sync: false"))
    )
    let one = try Self.train(plain.file("m.ltm"), "64 O0")
    let alone = try Self.train(folder.file("m.ltm"), "64 O0")
    expectClose(alone.losses, one.losses, .relative(1e-12), "one process")
    let several = try onRanks(count) { ranks in try Self.train(folder.file("m.ltm"), "64 O0", ranks) }
    expectClose(several[0].losses, one.losses, .relative(1e-10), "losses")
    #expect(several.allSatisfy { $0.accuracy == one.accuracy }, "by the running statistics")
    let own = try onRanks(count) { ranks in try Self.train(plain.file("m.ltm"), "64 O0", ranks) }
    #expect(difference(own[0].losses, one.losses, .relative(1e-6)) != nil, "without it a rank has its own")
    // Statistics and their gradients stay in f32, as those of one process do.
    let half = try Self.train(plain.file("m.ltm"), "16 O2")
    let halves = try onRanks(count) { ranks in try Self.train(folder.file("m.ltm"), "16 O2", ranks) }
    expectClose(halves[0].losses, half.losses, .relative(2e-3), "losses at O2")
    #expect(halves[0].skips == half.skips)
  }

  @Test("a clip by the norm of all gradients sees all parts")
  func clipsParts() throws {
    let folder = try Self.folder()
    let path = folder.file("m.ltm")
    let whole = try onRanks(2) { ranks in try Self.train(path, "64 O0", ranks) }
    let divided = try onRanks(2) { ranks in try Self.train(path, "64 O0", ranks) { $0.options.shard = .optimizer } }
    expectClose(divided[0].losses, whole[0].losses, .relative(1e-12), "losses")
  }

  @Test("an overflow on one rank is skipped by all, and moves the scale once", arguments: ["16 O2", "16 O1"])
  func overflow(_ line: String) throws {
    let folder = try Self.folder()
    let path = folder.file("m.ltm")
    var x = (0..<64 * 6).map { sin(Double($0) * 1.7) }
    // The rows of the second rank, in the third batch.
    for index in 40 * 6..<48 * 6 { x[index] *= 6e4 }
    let inputs = [
      "x": try #require(Tensor(x, shape: [64, 6], dtype: .f32)),
      "label": try #require(Tensor((0..<64).map { Double($0 % 3) }, shape: [64], dtype: .i32)),
    ]
    let data = TrainingData(train: inputs, test: inputs)
    let settings: @Sendable (inout Trainer) -> Void = { trainer in
      (trainer.shuffles, trainer.maxSteps) = (false, 4)
    }
    let one = try Self.train(path, line, data: data, settings)
    let two = try onRanks(2) { ranks in try Self.train(path, line, ranks, data: data, settings) }
    for run in two {
      #expect(run.skips == one.skips && run.scales == one.scales)
      #expect(run.weights == two[0].weights)
    }
    #expect(two[0].skips.contains(true) && two[0].skips.contains(false), "\(two[0].skips) \(two[0].scales)")
  }

  @Test("ranks that differ are told so before the first step")
  func differences() throws {
    let folder = try Self.folder()
    let path = folder.file("m.ltm")
    let messages = Mutex<[String]>([])
    let steps = Mutex(0)
    _ = try? onRanks(2) { ranks in
      do {
        let run = try Self.train(path, "32 O0", ranks) { $0.seed = ranks.rank == 0 ? 5 : 6 }
        steps.withLock { $0 += run.losses.count }
      } catch {
        messages.withLock { $0.append("\(error)") }
        throw error
      }
    }
    #expect(steps.withLock { $0 } == 0)
    // A rank that is not done with reading may hear first that the job has ended.
    let told = messages.withLock { $0.filter { !$0.contains("another rank ended the job") } }
    #expect(!told.isEmpty)
    for message in told {
      #expect(message.contains("the ranks of this job do not run the same thing"), "\(message)")
      #expect(message.contains("rank 1 on") && message.contains("seed 6"), "\(message)")
    }
  }

  @Test("ranks that begin with other weights are told so")
  func otherWeights() throws {
    let folder = try Self.folder()
    let path = folder.file("m.ltm")
    let weights = try Model(contentsOf: path, seed: 9)
    try weights.save(to: folder.file("nine.safetensors"))
    let error = #expect(throws: (any Error).self) {
      _ = try onRanks(2) { ranks in
        let trainer = try Trainer(execution: Execution(threads: 1, communicator: Communicator(ranks)))
        var model = try Model(contentsOf: path)
        if ranks.rank == 1 { try model.load(weightsFrom: folder.file("nine.safetensors")) }
        try trainer.fit(&model)
      }
    }
    #expect(error.map { "\($0)".contains("weights of digest") } == true)
  }

  @Test("what cannot be divided evenly is refused")
  func refusals() throws {
    let folder = try Self.folder()
    let path = folder.file("m.ltm")
    func message(_ count: Int, _ change: @escaping @Sendable (inout Trainer) -> Void) -> String {
      do {
        _ = try onRanks(count) { ranks in try Self.train(path, "32 O0", ranks, change) }
        return ""
      } catch { return "\(error)" }
    }
    #expect(message(3) { _ in }.contains("a batch of 16 rows cannot be split evenly over 3 ranks"))
    #expect(
      message(3) { trainer in
        trainer.options.sameBits = true
        trainer.batchSize = 48
      }.contains("8 parts of a batch cannot be the same sums on 3 ranks"))
    #expect(
      message(2) { trainer in
        trainer.options.sameBits = true
        trainer.batchSize = 12
      }.contains("12 rows cannot be cut into 8 equal parts"))
  }
}
