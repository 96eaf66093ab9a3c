import Foundation
import LTM
import LTMIR
import TestSupport
import Testing

/// Writing text through caches: against the whole forward pass, in any cut, and beside other texts.
@Suite struct GenerationTests {
  static let arguments: [String: ModelArgument] = ["dim": 64, "depth": 2, "heads": 2, "context": 100]
  static let text = Array("Shapes are checked before anything runs. A division of Ints must be exact.".utf8).map(
    Int.init)

  private func model(_ arguments: [String: ModelArgument] = arguments) throws -> Model {
    try Model(contentsOf: Command.root + "/samples/gpt.ltm", arguments: arguments, seed: 3)
  }

  /// The scores behind each place, read in pieces of some lengths.
  private func scores(_ session: GenerationSession, _ text: [Int], cut: [Int]) throws -> [[Double]] {
    var (rest, all) = (text[...], [[Double]]())
    try session.reset()
    for length in cut {
      try session.read([Array(rest.prefix(length))])
      rest = rest.dropFirst(length)
      all.append(session.scores[0])
    }
    return all
  }

  @Test(
    "through the cache come the logits of the whole forward pass",
    arguments: [
      (Precision.sixtyFour, OptLevel.O0, 1e-12), (.thirtyTwo, .O0, 1e-5), (.sixteen, .O1, 1e-2), (.sixteen, .O2, 1e-2),
      (.bf16, .O1, 6e-2), (.bf16, .O2, 6e-2), (.bf16, .O3, 8e-2),
    ] as [(Precision, OptLevel, Double)])
  func logits(_ precision: Precision, _ level: OptLevel, _ tolerance: Double) throws {
    let model = try model()
    let session = try model.generationSession(precision: precision, ampLevel: level)
    let forward = try model.compile("forward", precision: precision, ampLevel: level)
    let input = try #require(Tensor(Self.text.map(Double.init), shape: [1, Self.text.count], dtype: .i32))
    let whole = try #require(try forward(["text": input]).first?.tensor).doubles
    let cut = [5] + [Int](repeating: 1, count: Self.text.count - 5)
    for (index, found) in try scores(session, Self.text, cut: cut).enumerated() {
      let place = index == 0 ? 4 : 4 + index
      expectClose(found, Array(whole[place * 256..<(place + 1) * 256]), .ofLargest(tolerance, least: 1e-3))
    }
  }

  @Test("in f32 every cut gives the same bits, on any number of threads") func cuts() throws {
    let model = try model()
    var known: [Double]?
    for threads in [1, 3] {
      let execution = try Execution(threads: threads)
      let session = try model.generationSession(execution: execution)
      #expect(session.sameBits)
      let count = Self.text.count
      for cut in [[count], [Int](repeating: 1, count: count), [3, count - 3], [count - 1, 1], [10, 30, count - 40]] {
        let last = try #require(try scores(session, Self.text, cut: cut).last)
        if let known { #expect(last == known, "\(threads) \(cut)") } else { known = last }
      }
    }
  }

  @Test("texts of unequal length are written as each alone") func rows() throws {
    let model = try model()
    let prompts = [Self.text, Array(Self.text[3..<9]), [65]]
    let sampling = Sampling(temperature: 0)
    let together = try collect(model.generationSession(rows: 3).generate(prompts, length: 20, sampling: sampling), 3)
    for (row, prompt) in prompts.enumerated() {
      let alone = try collect(model.generationSession().generate([prompt], length: 20, sampling: sampling), 1)
      #expect(alone.tokens[0] == together.tokens[row] && alone.tokens[0].count == 20)
      #expect(together.ends[row] == .length)
    }
  }

  private func collect(_ tokens: GeneratedTokens, _ rows: Int) throws -> (tokens: [[Int]], ends: [GenerationEnd?]) {
    var found = [[Int]](repeating: [], count: rows)
    while let next = try tokens.next() { found[next.row].append(next.token) }
    return (found, tokens.ends)
  }

  @Test("a step compiles and allocates nothing, whatever the position") func counters() throws {
    let session = try model().generationSession()
    try session.read([Array(Self.text.prefix(30))])
    try session.read([[1]])
    let (programs, bytes) = (session.programCount, session.memory)
    #expect(programs == 2)
    for token in 0..<60 { try session.read([[token]]) }
    #expect(session.programCount == programs && session.memory == bytes)
    // Keys and values of two blocks, and no second copy of them in an arena.
    #expect(bytes.caches == 2 * 2 * 100 * 64 * 4)
    let weights = try model().parameters.reduce(0) { $0 + $1.shape.reduce(1, *) }
    #expect(bytes.weights == 4 * weights)
  }

  @Test("keys and values are written where they lie") func inPlace() throws {
    let policy = try PrecisionPolicy(.thirtyTwo, level: .O0)
    let compilation = Compilation(
      model: try model(["dim": 64, "depth": 4, "heads": 2]), policy: policy, entry: "next",
      dimensions: ["B": 1, "T": 1])
    let text = try #require(try compilation.emit(.kernels).text)
    #expect(text.contains("at {"))
    #expect(!text.contains("_copy(") && text.contains("body @"), "equal blocks are planned once")
  }

  @Test("draws are those of the seed, and the likeliest at temperature 0") func sampling() throws {
    let scores = [0.0, 2, 1, 2, .nan]
    #expect(Sampling.greedy.token(scores, row: 0, place: 0) == 1)
    func counts(_ sampling: Sampling, _ draws: Int = 4000) -> [Int] {
      (0..<draws).reduce(into: [Int](repeating: 0, count: 5)) { counts, place in
        counts[sampling.token(scores, row: 1, place: place)] += 1
      }
    }
    let all = counts(Sampling(seed: 5))
    #expect(all == counts(Sampling(seed: 5)) && all != counts(Sampling(seed: 6)) && all[4] == 0)
    let weights = [1.0, exp(2), exp(1), exp(2)]
    for (token, weight) in weights.enumerated() {
      let expected = weight / weights.reduce(0, +)
      #expect(abs(Double(all[token]) / 4000 - expected) < 4 * (expected * (1 - expected) / 4000).squareRoot())
    }
    #expect(counts(Sampling(topK: 1))[1] == 4000)
    #expect(counts(Sampling(topK: 2)).enumerated().allSatisfy { ($0.element > 0) == [1, 3].contains($0.offset) })
    #expect(counts(Sampling(topP: 0.5)).enumerated().allSatisfy { ($0.element > 0) == [1, 3].contains($0.offset) })
    #expect(counts(Sampling(topP: 0.3))[1] == 4000)
  }

  @Test("stop sequences, end tokens and the context end a text") func ends() throws {
    let session = try model().generationSession()
    let greedy = try collect(session.generate([Self.text], length: 100, sampling: .greedy), 1)
    #expect(greedy.ends == [.context] && greedy.tokens[0].count == 100 - Self.text.count + 1)
    let stop = Array(greedy.tokens[0][3..<5])
    try session.reset()
    let stopped = try collect(session.generate([Self.text], length: 9, sampling: .greedy, stop: [stop]), 1)
    let first = try #require((0...3).first { Array(greedy.tokens[0][$0..<$0 + 2]) == stop })
    #expect(stopped.tokens[0] == Array(greedy.tokens[0][..<first]) && stopped.ends == [.stop])
    try session.reset()
    let ended = try collect(
      session.generate([Self.text], length: 9, sampling: .greedy, end: [greedy.tokens[0][0]]), 1)
    #expect(ended.tokens == [[]] && ended.ends == [.end])
  }

  @Test("a session goes on behind what it wrote") func goesOn() throws {
    let session = try model().generationSession()
    let whole = try collect(session.generate([[72, 101]], length: 12, sampling: .greedy), 1).tokens[0]
    try session.reset()
    let first = try collect(session.generate([[72, 101]], length: 5, sampling: .greedy), 1).tokens[0]
    let second = try collect(session.generate([[whole[5]]], length: 6, sampling: .greedy), 1).tokens[0]
    #expect(first + [whole[5]] + second == whole)
  }

  @Test("tokens come one by one, and a cancelled task computes no more") func sequence() async throws {
    let session = try model().generationSession()
    var found: [Int] = []
    for try await token in try session.generate([[65]], length: 8, sampling: .greedy) { found.append(token.token) }
    #expect(found.count == 8)
    try session.reset()
    let tokens = try session.generate([[65]], length: 90)
    let task = Task {
      var count = 0
      for try await _ in tokens {
        count += 1
        withUnsafeCurrentTask { $0?.cancel() }
      }
      return count
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(tokens.ends == [nil])
  }

  @Test("another request ends the one before it") func overtaken() throws {
    let session = try model().generationSession()
    let first = try session.generate([[65]], length: 8)
    _ = try first.next()
    _ = try session.generate([[66]], length: 8)
    #expect(throws: LTMError.self) { try first.next() }
  }

  @Test("what cannot be read or called is said") func errors() throws {
    let session = try model().generationSession()
    func message(_ body: () throws -> Void) -> String {
      do {
        try body()
        return ""
      } catch { return "\(error)" }
    }
    #expect(message { _ = try session.generate([[]], length: 1) }.contains("the prompt is empty"))
    #expect(message { _ = try session.generate([[256]], length: 1) }.contains("the model has tokens 0 to 255"))
    let long = [Int](repeating: 1, count: 101)
    #expect(message { _ = try session.generate([long], length: 1) }.contains("the model's context is 100"))
    #expect(message { _ = try session.generate([[1], [2]], length: 1) }.contains("2 prompts"))
    #expect(message { _ = try session.generate([[1]], length: 1, sampling: Sampling(topP: 0)) }.contains("top-p"))
    let digits = try Model(contentsOf: Command.root + "/samples/digits.ltm")
    #expect(message { _ = try digits.generationSession() }.contains("has no entry 'next'"))
    #expect(message { _ = try digits.generationSession("forward") }.contains("no entry that generation can call"))
    let wide = try model(["dim": 64, "depth": 1, "heads": 2, "vocab": 300]).generationSession()
    #expect(message { _ = try wide.tokens(of: "a") }.contains("has 300 tokens, not 256"))
    let folder = try TemporaryFolder()
    let kept = """
      model Kept {
        cache seen: [B, 4, 4]
        func loss(x: [B, 4]) -> [] {
          seen[..<, 0] <- x
          return mean(seen)
        }
      }
      """
    let compilation = Compilation(
      model: try Model(contentsOf: folder.write("kept.ltm", kept)), policy: try PrecisionPolicy(.thirtyTwo, level: .O0),
      entry: "loss", isTrainingStep: true, dimensions: ["B": 2])
    #expect(message { _ = try compilation.emit(.kernels) }.contains("'loss' uses the cache 'seen'"))
  }

  /// A window of 8 in a ring of 8, against a mask over all places.
  static let windowed = """
    model Window(vocab: Int = 256, dim: Int = 16, window: Int = 8) {
      let table = Embedding(vocab, dim)
      cache rows: [B, window, dim]

      func forward(text: i32[B, T]) -> [B, T, vocab] {
        let x = table(text)
        let (query, key) = (iota([T, T], axis: 0), iota([T, T], axis: 1))
        let sees = key <= query && key > query - window
        return matmul(matmul(softmax(where(sees, matmul(x, x.T), -inf), axis: -1), x), table.weight.T)
      }

      func next(text: i32[B, T], position: i32[B], last: i32[B]) -> [B, vocab] {
        let x = table(text).reshape(B * T, dim)[iota([B], axis: 0) * T + last].reshape(B, 1, dim)
        rows[..<, mod(position, window)..<] <- table(text)
        let end = cast((position + last).reshape(B, 1, 1), f32)
        let behind = end - cast(iota([1, window], axis: 1), f32)
        let age = behind - window * floor(behind / window)
        let score = where(age <= end, matmul(x, rows.T), -inf)
        return matmul(matmul(softmax(score, axis: -1), rows), table.weight.T).reshape(B, vocab)
      }
    }
    """

  @Test("a ring keeps the last places, as far as the text goes") func ring() throws {
    let folder = try TemporaryFolder()
    let model = try Model(contentsOf: folder.write("window.ltm", Self.windowed), seed: 2)
    let session = try model.generationSession(precision: .sixtyFour)
    #expect(session.context == nil)
    let forward = try model.compile("forward", precision: .sixtyFour)
    let input = try #require(Tensor(Self.text.map(Double.init), shape: [1, Self.text.count], dtype: .i32))
    let whole = try #require(try forward(["text": input]).first?.tensor).doubles
    let count = Self.text.count
    for cut in [[Int](repeating: 1, count: count), [8, 1, 8, 8, count - 25], [3, 2, 5, count - 10]] {
      var place = -1
      for (length, found) in zip(cut, try scores(session, Self.text, cut: cut)) {
        place += length
        expectClose(found, Array(whole[place * 256..<(place + 1) * 256]), .ofLargest(1e-12, least: 1e-3))
      }
    }
  }

  @Test("the command writes a text, and JSON of several") func command() throws {
    let arguments = ["generate", "samples/gpt.ltm", "--set", "dim=32", "--set", "depth=1", "--set", "heads=2"]
    let one = try Command(arguments + ["--prompt", "A model", "--length", "5", "--temperature", "0"])
    #expect(one.status == 0 && one.output.hasPrefix("A model"), "\(one)")
    let several = try Command(
      arguments + ["--prompt", "A", "--prompt", "A cast", "--length", "4", "--top-k", "5", "--seed", "1", "--json"])
    let json = try #require(
      try JSONSerialization.jsonObject(with: Data(several.output.utf8)) as? [String: [[String: Any]]])
    #expect(json["texts"]?.count == 2 && json["texts"]?.allSatisfy { $0["end"] as? String == "length" } == true)
    let bad = try Command(arguments + ["--prompt", String(repeating: "a", count: 200)])
    #expect(
      bad.status == 1 && bad.errors.contains("the prompt has 200 tokens, and the model's context is 128"), "\(bad)")
  }
}
