import LTMIR
import LTMMPI
import LTMSupport
import TestSupport
import Testing

/// What ranks make of arrays together, against the reference of the op.
@Suite("arrays of several ranks")
struct JoiningTests {
  private static let dtypes: [DType] = [.f16, .bf16, .f32, .f64, .i32, .i64, .u8, .bool]

  private func numbers(_ dtype: DType, _ count: Int, rank: Int) throws -> Tensor {
    var random = SeededGenerator(seed: UInt64(rank * 1000 + count))
    let values = (0..<count).map { _ -> Double in
      let number = Double.random(in: -3...3, using: &random)
      return dtype.isFloating ? dtype.round(number) : dtype == .bool ? (number > 2 ? 1 : 0) : number.magnitude.rounded()
    }
    return try #require(Tensor(values, shape: [count], dtype: dtype))
  }

  /// The bytes of each rank's arrays after all have joined them.
  private func joined(_ arrays: [[Tensor]], _ operation: CollectiveOperation) throws -> [[Tensor]] {
    try onRanks(arrays.count) { ranks in
      var memory = arrays[ranks.rank].map(\.bytes)
      let parts = memory.indices.map { index -> CollectiveArray in
        let tensor = arrays[ranks.rank][index]
        let copy = UnsafeMutableRawPointer.allocate(byteCount: max(memory[index].count, 1), alignment: 64)
        copy.copyMemory(from: memory[index], byteCount: memory[index].count)
        return CollectiveArray(copy, count: tensor.count, dtype: tensor.dtype, operation: operation)
      }
      try ranks.wait(ranks.start(parts, "a test"))
      return try parts.enumerated().map { index, part in
        memory[index] = Array(UnsafeRawBufferPointer(start: part.address, count: memory[index].count))
        part.address.deallocate()
        let tensor = arrays[ranks.rank][index]
        return try #require(Tensor(dtype: tensor.dtype, shape: tensor.shape, bytes: memory[index]))
      }
    }
  }

  private func reference(_ tensors: [Tensor], _ operation: CollectiveOperation) -> [Double] {
    let columns = tensors.map(\.doubles)
    return columns[0].indices.map { index in
      let values = columns.map { $0[index] }
      switch operation {
      case .first: return values[0]
      case .sum where tensors[0].dtype == .bool: return values.max() ?? 0
      case .sum: return values.reduce(0, +)
      case .mean: return values.reduce(0, +) / Double(values.count)
      }
    }
  }

  /// Few bytes go to all whole; more are shared out, with bounds within arrays and between them.
  @Test(arguments: [1, 2, 3, 5], dtypes)
  func areJoinedInOrder(_ count: Int, _ dtype: DType) throws {
    for operation in [CollectiveOperation.sum, .mean, .first] where dtype.isFloating || operation != .mean {
      let sizes = [7, 1, 4099, 20_001]
      let arrays = try (0..<count).map { rank in try sizes.map { try numbers(dtype, $0, rank: rank) } }
      for chosen in [0..<2, 0..<4] {
        let found = try joined(arrays.map { Array($0[chosen]) }, operation)
        for (index, number) in chosen.enumerated() {
          let wanted = reference(arrays.map { $0[number] }, operation)
          let digits = dtype.isFloating ? dtype.unitRoundoff * (operation == .mean ? 1 : Double(count)) : 0
          for rank in 0..<count {
            expectClose(
              found[rank][index], wanted, .relative(digits, least: 4), "\(operation) of \(count), rank \(rank)")
            #expect(found[rank][index] == found[0][index])
          }
        }
      }
    }
  }

  /// A mean of 16 bits is that of exact numbers, rounded once: every number of the format, against itself and its neighbour.
  @Test(arguments: [DType.f16, .bf16])
  func everyHalfIsRoundedOnce(_ dtype: DType) throws {
    let all = (0..<65536).map { bits in [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)] }
    let first = try #require(Tensor(dtype: dtype, shape: [65536], bytes: all.flatMap(\.self)))
    let second = try #require(Tensor(dtype: dtype, shape: [65536], bytes: (all[1...] + all[..<1]).flatMap(\.self)))
    let found = try joined([[first], [second]], .mean)
    let wanted = zip(first.doubles, second.doubles).map { dtype.round(Double(Float($0) + Float($1)) / 2) }
    expectClose(found[0][0].doubles, wanted, .exact, "the mean")
    #expect(found[0] == found[1])
  }

  /// A sum over ranks is the tree that one process makes of as many parts.
  @Test(arguments: [2, 4, 8, 3])
  func sumsAreATree(_ count: Int) throws {
    let arrays = try (0..<count).map { try numbers(.f32, 1000, rank: $0) }
    var rows = arrays.map { $0.doubles.map { Float($0) } }
    while rows.count > 1 {
      rows = stride(from: 0, to: rows.count, by: 2).map { index in
        index + 1 < rows.count ? zip(rows[index], rows[index + 1]).map { $0 + $1 } : rows[index]
      }
    }
    let found = try joined(arrays.map { [$0] }, .sum)
    #expect(found[0][0].doubles == rows[0].map { Double($0) })
  }

  /// Parts with zeros behind the last, and all of them together again.
  @Test(arguments: [2, 3, 4], [1, 5, 4096, 70_001])
  func partsAreDealtOutAndGathered(_ count: Int, _ size: Int) throws {
    let arrays = try (0..<count).map { try numbers(.f32, size, rank: $0) }
    let share = shareOfReplica(size, count)
    let results = try onRanks(count) { ranks -> [[Float]] in
      var own = arrays[ranks.rank].doubles.map { Float($0) }
      var part = [Float](repeating: .nan, count: share)
      var whole = [Float](repeating: .nan, count: share * count)
      try own.withUnsafeMutableBytes { own in
        try part.withUnsafeMutableBytes { part in
          try whole.withUnsafeMutableBytes { whole in
            let (a, b, c) = (
              try #require(own.baseAddress), try #require(part.baseAddress), try #require(whole.baseAddress)
            )
            try ranks.wait(
              ranks.start([CollectiveArray(scattering: a, count: size, dtype: .f32, operation: .mean, to: b)], "parts"))
            try ranks.wait(ranks.start([CollectiveArray(gathering: b, count: share, dtype: .f32, to: c)], "all"))
          }
        }
      }
      return [part, whole]
    }
    let means = reference(arrays, .mean).map { Double(Float($0)) }
    let padded = means + [Double](repeating: 0, count: share * count - size)
    for (rank, result) in results.enumerated() {
      #expect(result[0].map { Double($0) } == Array(padded[rank * share..<(rank + 1) * share]))
      #expect(result[1].map { Double($0) } == padded)
    }
  }

  /// Texts of any length, empty ones too, and what follows them.
  @Test func textsAreGathered() throws {
    let results = try onRanks(3) { ranks in
      try (0..<4).map { round in
        let text = String(repeating: "\(ranks.rank)", count: round == 1 ? 0 : ranks.rank * 50_000 * round)
        return try ranks.gather(Array(text.utf8), "texts").map { String(decoding: $0, as: UTF8.self).count }
      }
    }
    #expect(results.allSatisfy { $0 == [[0, 0, 0], [0, 0, 0], [0, 100_000, 200_000], [0, 150_000, 300_000]] })
  }

  /// A rank that never comes is named after a while.
  @Test func whoIsMissingIsNamed() throws {
    let hub = LocalTransport.Hub(count: 3)
    let ranks = try (0..<2).map { rank in
      try RankThread.start(limit: 0.3) { () throws(Diagnostic) in LocalTransport(hub, rank: rank) }
    }
    let error = #expect(throws: Diagnostic.self) { _ = try ranks[0].gather([1], "the first step") }
    #expect(
      error?.message.hasSuffix("s for rank 2, at the first step") == true
        || error?.message.hasSuffix("s for rank 1, at the first step") == true)
    #expect(throws: Diagnostic.self) { _ = try ranks[0].gather([1], "what comes after") }
  }
}

extension DType {
  /// Half of the distance between neighbours at 1.
  fileprivate var unitRoundoff: Double {
    switch self {
    case .f16: 0x1p-11
    case .bf16: 0x1p-8
    case .f32: 0x1p-24
    default: 0x1p-53
    }
  }
}
