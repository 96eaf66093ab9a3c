import Foundation
import LTMGraphPasses
import LTMIR
import TestSupport
import Testing

@Suite("random numbers") struct RandomTests {
  private static let count = 1 << 16

  /// The sum of the squared differences from what is expected of each bin, over that.
  private func chiSquared(_ counts: [Int], _ expected: [Double]) -> Double {
    zip(counts, expected).reduce(0) { $0 + ($1.1 - Double($1.0)) * ($1.1 - Double($1.0)) / $1.1 }
  }

  /// The greatest distance between the distribution of a sample and another, times the root of its size. Above 1.95 once in
  /// a thousand times.
  private func distance(_ sample: [Double], _ distribution: (Double) -> Double) -> Double {
    let (sorted, n) = (sample.sorted(), Double(sample.count))
    let gaps = sorted.enumerated().map { index, x in
      max(Double(index + 1) / n - distribution(x), distribution(x) - Double(index) / n)
    }
    return (gaps.max() ?? 0) * n.squareRoot()
  }

  @Test("an element's bits are those of its place's counter")
  func places() throws {
    var source = RandomSource(seed: 0x0123_4567_89AB_CDEF, attempt: 5)
    let key = source.key(7)
    let bits = source.b.make(
      .randomBits, [key], ["shape": .dims([3, 5]), "bits": .int(24), "words": .int(1), "word": .int(0)])
    let first = Philox(seed: 0x0123_4567_89AB_CDEF).words(at: SIMD4(5, 0, 0, 0))
    let own = Philox(key: SIMD2(first[0], first[1])).words(at: SIMD4(7, 0, first[2], first[3]))
    let expected = (0..<15).map { place in
      let words = Philox(key: SIMD2(own[0], own[1])).words(at: SIMD4(UInt32(place / 4), 0, own[2], own[3]))
      return Double(words[place % 4] >> 8)
    }
    #expect(try source.numbers(bits) == expected)
  }

  @Test("uniform numbers are as likely everywhere", arguments: [(DType.f32, 64), (.f64, 64), (.f16, 64), (.bf16, 64)])
  func uniform(_ dtype: DType, _ bins: Int) throws {
    var source = RandomSource()
    let values = try source.sample(.uniform, [256, 256], dtype)
    let range = 0.0..<1
    #expect(values.allSatisfy { range.contains($0) })
    var counts = [Int](repeating: 0, count: bins)
    for value in values { counts[Int(value * Double(bins))] += 1 }
    let expected = Double(values.count) / Double(bins)
    // With 63 degrees of freedom, above 104 once in a thousand times.
    #expect(chiSquared(counts, counts.map { _ in expected }) < 104)
    if !dtype.isHalf { #expect(distance(values) { $0 } < 1.95) }
  }

  @Test("uniform numbers lie between their ends, and have them as their least and greatest")
  func ends() throws {
    var source = RandomSource()
    let values = try source.sample(.uniform, [Self.count], with: ["low": .float(-3), "high": .float(5)])
    let range = -3.0...5
    #expect(values.allSatisfy { range.contains($0) })
    #expect(try #require(values.min()) < -2.999 && #require(values.max()) > 4.999)
    #expect(distance(values) { ($0 + 3) / 8 } < 1.95)
  }

  @Test("normal numbers have their distribution", arguments: [DType.f32, .f64])
  func normal(_ dtype: DType) throws {
    var source = RandomSource()
    let values = try source.sample(.normal, [Self.count], dtype)
    #expect(distance(values) { 0.5 * erfc(-$0 / 2.0.squareRoot()) } < 1.95)
    let n = Double(values.count)
    let moments = (1...4).map { power in values.reduce(0) { $0 + pow($1, Double(power)) } / n }
    // Five standard errors each.
    for (found, (wanted, variance)) in zip(moments, [(0.0, 1.0), (1, 2), (0, 15), (3, 96)]) {
      #expect(abs(found - wanted) < 5 * (variance / n).squareRoot(), "\(moments)")
    }
    #expect(try #require(values.max()) > 3.5 && #require(values.min()) < -3.5)
  }

  @Test("a normal number keeps the digits of its formula in f32")
  func normalDigits() throws {
    var source = RandomSource()
    let value = source.draw(.normal, [4096], with: ["mean": .float(0), "std": .float(1)])
    let exact = try source.numbers(value, rounding: .none)
    for (found, wanted) in zip(try source.numbers(value), exact) {
      #expect(abs(found - wanted) <= 4e-7 * abs(wanted), "\(found), not \(wanted)")
    }
  }

  @Test("means and deviations shift and stretch")
  func shifted() throws {
    var source = RandomSource()
    let plain = try source.sample(.normal, [100], .f64)
    let moved = try source.sample(.normal, [100], .f64, with: ["mean": .float(3), "std": .float(0.5)])
    #expect(zip(plain, moved).allSatisfy { abs(3 + 0.5 * $0 - $1) < 1e-14 })
  }

  @Test("bernoulli holds as often as it says", arguments: [0.0, 0.1, 0.5, 0.93, 1])
  func bernoulli(_ p: Double) throws {
    var source = RandomSource()
    let probability = source.b.constant(p, TensorType(.f32, [Dim(Self.count)]))
    let key = source.key(1)
    let holds = source.b.make(.bernoulli, [probability, key])
    let values = try source.numbers(holds)
    let share = values.reduce(0, +) / Double(Self.count)
    #expect(abs(share - p) <= 4 * (p * (1 - p) / Double(Self.count)).squareRoot())
  }

  @Test("categorical draws with the probabilities of softmax", arguments: [DType.f32, .f64])
  func categorical(_ dtype: DType) throws {
    var source = RandomSource()
    let logits: [Double] = [1, -.infinity, 0, 2, -4, 0.5]
    let rows = logits.map { source.b.constant($0, TensorType(dtype, [20_000, 1])) }
    let key = source.key(1)
    let drawn = source.b.make(.categorical, [source.b.make(.concat, rows, ["axis": .int(1)]), key])
    var counts = [Int](repeating: 0, count: 6)
    for value in try source.numbers(drawn) { counts[Int(value)] += 1 }
    let total = logits.reduce(0) { $0 + exp($1) }
    let expected = logits.map { 20_000 * exp($0) / total }
    #expect(counts[1] == 0)
    let kept = [0, 2, 3, 4, 5]
    // Above 18.5 once in a thousand times, with 4 degrees of freedom.
    #expect(chiSquared(kept.map { counts[$0] }, kept.map { expected[$0] }) < 18.5)
  }

  @Test("a permutation has each number once, each place as likely") func permutation() throws {
    var counts = [Int](repeating: 0, count: 25)
    for attempt in 0..<1000 {
      var source = RandomSource(attempt: attempt)
      let key = source.key(1)
      let order = source.b.make(.permutation, [key], ["n": .dim(5)])
      let numbers = try source.numbers(order)
      #expect(numbers.sorted() == [0, 1, 2, 3, 4])
      for (place, number) in numbers.enumerated() { counts[place * 5 + Int(number)] += 1 }
    }
    // With 16 degrees of freedom, above 39.3 once in a thousand times.
    #expect(chiSquared(counts, counts.map { _ in 200 }) < 39.3)
  }

  /// How a second draw differs from the first.
  enum Change: CaseIterable { case seed, attempt, stream, number, upperSeed }

  @Test("draws that differ in anything are independent", arguments: Change.allCases)
  func independence(_ change: Change) throws {
    func draw(_ isChanged: Bool) throws -> [Double] {
      func changed(_ what: Change) -> Int { isChanged && change == what ? 1 : 0 }
      let seed = 9 + UInt64(changed(.seed)) + UInt64(changed(.upperSeed)) << 32
      var source = RandomSource(seed: seed, attempt: changed(.attempt))
      return try source.sample(
        .uniform, [Self.count], stream: 4 + changed(.stream), number: changed(.number))
    }
    let (a, b) = (try draw(false), try draw(true))
    var counts = [Int](repeating: 0, count: 64)
    for (x, y) in zip(a, b) { counts[Int(x * 8) * 8 + Int(y * 8)] += 1 }
    #expect(chiSquared(counts, counts.map { _ in Double(Self.count) / 64 }) < 104)
    let product = zip(a, b).reduce(0) { $0 + ($1.0 - 0.5) * ($1.1 - 0.5) } * 12 / Double(Self.count).squareRoot()
    #expect(abs(product) < 4)
    #expect(zip(a, b).allSatisfy { $0 != $1 } || zip(a, b).count { $0 == $1 } < 4)
  }

  @Test("dropout drops its share, stretches the rest, and its gradient has the same mask")
  func dropout() throws {
    var source = RandomSource()
    let x = source.b.constant(2, TensorType(.f32, [Dim(Self.count)]))
    let key = source.key(3)
    let dropped = source.b.make(.dropout, [x, key], ["p": .float(0.25)])
    let seed = source.b.constant(3, TensorType(.f32, [Dim(Self.count)]))
    let gradient = try source.b.differentiate(dropped, withRespectTo: [x], seed: seed)[0]
    let (values, slopes) = (try source.numbers(dropped), try source.numbers(gradient))
    let kept = values.count { $0 != 0 }
    #expect(abs(Double(kept) / Double(Self.count) - 0.75) < 0.007)
    #expect(Set(values) == [0, DType.f32.round(8.0 / 3)] && Set(slopes) == [0, 4])
    #expect(zip(values, slopes).allSatisfy { ($0 == 0) == ($1 == 0) })
  }

  @Test("dropout at its ends changes nothing, or gives zeros", arguments: [(0.0, 7.0), (1, 0)])
  func dropoutAtItsEnds(_ p: Double, _ result: Double) throws {
    var source = RandomSource()
    let x = source.b.constant(7, TensorType(.f32, [9]))
    let key = source.key(1)
    let dropped = source.b.make(.dropout, [x, key], ["p": .float(p)])
    #expect(try source.numbers(dropped).allSatisfy { $0 == result })
  }

  @Test("replicas draw together what one draws alone", arguments: [0, 1], [2, 3])
  func replicas(_ axis: Int, _ replicas: Int) throws {
    func graph(_ replicas: Int) throws -> Graph {
      var source = RandomSource()
      var shape = [2, 2, 3]
      shape[axis] = 6 / replicas
      let value = source.draw(.uniform, shape, with: ["rows": .int(axis), "replicas": .int(replicas)])
      source.b.output("value", value)
      return try GraphPass.decompose.run(source.b.graph)
    }
    let inputs = try RandomSource().inputs
    let whole = try #require(try graph(1).evaluate(inputs)["value"])
    let parts = try graph(replicas).evaluate(replicas: [[String: Tensor]](repeating: inputs, count: replicas))
    let size = 6 / replicas
    for (replica, part) in parts.enumerated() {
      let found = try #require(part["value"])
      for (index, value) in found.data.enumerated() {
        var place = [index / 3 / found.shape[1], index / 3 % found.shape[1], index % 3]
        place[axis] += replica * size
        #expect(value == whole.data[(place[0] * whole.shape[1] + place[1]) * 3 + place[2]])
      }
    }
  }

  @Test("passes keep draws of different streams apart, and equal ones one value")
  func passes() throws {
    var source = RandomSource()
    let same = [1, 1, 2].map { source.draw(.uniform, [8], stream: $0) }
    for (index, value) in same.enumerated() { source.b.output("\(index)", value) }
    let graph = try PassPipeline.lowering.run(source.b.graph, stage: [.bound, .afterCasts])
    #expect(graph.nodes.count { $0.op == .randomBits } == 2)
    let values = try graph.evaluate(source.inputs)
    #expect(values["0"] == values["1"] && values["0"] != values["2"])
    #expect(values["0"]?.data == (try source.numbers(same[0])))
  }

  static let refusals: [(op: Op, attributes: Attributes, key: TensorType, message: String)] = [
    (.uniform, ["low": .float(1), "high": .float(1)], TensorType(.i32, [4]), "a low end and a high one"),
    (.uniform, ["low": .float(0), "high": .float(.infinity)], TensorType(.i32, [4]), "'high' is inf"),
    (.normal, ["mean": .float(0), "std": .float(-1)], TensorType(.i32, [4]), "is 0 or more"),
    (.normal, ["mean": .float(0), "std": .float(1)], TensorType(.f32, [4]), "the key is f32[4]"),
    (.randomBits, ["bits": .int(32)], TensorType(.i32, [4]), "32 bits behind 0"),
    (.randomBits, ["bits": .int(30), "skip": .int(3)], TensorType(.i32, [4]), "30 bits behind 3"),
    (.randomBits, ["bits": .int(8), "words": .int(3)], TensorType(.i32, [4]), "1, 2 or 4 words"),
  ]

  @Test("what cannot be drawn is refused", arguments: refusals)
  func refused(_ item: (op: Op, attributes: Attributes, key: TensorType, message: String)) throws {
    var attributes = item.attributes
    attributes["shape"] = .dims([2])
    if item.op != .randomBits { attributes["dtype"] = .dtype(.f32) }
    let error = #expect(throws: OpError.self) { try item.op.definition.infer([item.key], attributes) }
    #expect(try #require(error).message.contains(item.message), "\(error?.message ?? "")")
  }

  @Test("more than can be counted is refused") func tooMany() throws {
    let attributes: Attributes = ["shape": .dims([Dim(1 << 20), Dim(1 << 11)]), "bits": .int(8)]
    #expect(throws: OpError.self) { try Op.randomBits.definition.infer([TensorType(.i32, [4])], attributes) }
    let type = TensorType(.float, [2])
    for p in [-0.1, 1.5, .nan] {
      #expect(throws: OpError.self) {
        try Op.dropout.definition.infer([type, TensorType(.i32, [4])], ["p": .float(p)])
      }
    }
  }
}
