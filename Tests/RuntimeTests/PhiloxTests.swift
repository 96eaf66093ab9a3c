import LTMIR
import Testing

@Suite struct PhiloxTests {
  /// The known answers that come with Random123.
  @Test(
    arguments: [
      ([0, 0, 0, 0], [0, 0], [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
      (
        [UInt32](repeating: .max, count: 4), [UInt32](repeating: .max, count: 2),
        [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]
      ),
      (
        [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344], [0xA409_3822, 0x299F_31D0],
        [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]
      ),
    ] as [([UInt32], [UInt32], [UInt32])])
  func knownAnswers(counter: [UInt32], key: [UInt32], expected: [UInt32]) {
    let words = Philox(key: SIMD2(key)).words(at: SIMD4(counter))
    #expect(words == SIMD4(expected))
  }

  @Test func seedsAndCountersAreSplitLowFirst() {
    let generator = Philox(seed: 0x299F_31D0_A409_3822)
    #expect(generator.words(0x85A3_08D3_243F_6A88, 0x0370_7344_1319_8A2E)[0] == 0xD16C_FE09)
    #expect(Philox.unit(.max, .max) < 1)
    #expect(Philox.unit(0, 1 << 31) == 0.5)
  }
}

@Suite struct InitialTensorTests {
  @Test func uniformFillsItsRange() throws {
    let tensor = try #require(initialTensor(.uniform(bound: 0.25), shape: [100, 101], seed: 1, name: "fc1.weight"))
    #expect(tensor.dtype == .f32)
    let values = tensor.doubles
    let range = -0.25...0.25
    #expect(values.allSatisfy { range.contains($0) })
    let mean = values.reduce(0, +) / 10100
    #expect(abs(mean) < 0.005)
    #expect(values.max() ?? 0 > 0.249)
    #expect(values.min() ?? 0 < -0.249)
    #expect(Set(values).count > 9000)
  }

  @Test func normalHasItsMoments() throws {
    let values = try #require(
      initialTensor(.normal(standardDeviation: 2), shape: [20001], dtype: .f64, seed: 7, name: "w")
    ).doubles
    let mean = values.reduce(0, +) / 20001
    let squares: [Double] = values.map { ($0 - mean) * ($0 - mean) }
    let variance = squares.reduce(0, +) / 20000
    let near: Int = values.count { abs($0) < 2 }
    let share = Double(near) / 20001
    #expect(abs(mean) < 0.05)
    #expect(abs(variance - 4) < 0.15)
    #expect(abs(share - 0.6827) < 0.01)
  }

  @Test func dependsOnSeedNameAndIndexAlone() throws {
    func make(_ count: Int, seed: UInt64 = 3, name: String = "a") -> [Double] {
      initialTensor(.normal(standardDeviation: 1), shape: [count], seed: seed, name: name)?.doubles ?? []
    }
    #expect(make(7) == make(7))
    #expect(Array(make(8).prefix(7)) == make(7))
    // More than cores share.
    #expect(Array(make(50_001).prefix(33_333)) == make(33_333))
    #expect(make(8)[0] != make(8, seed: 4)[0])
    #expect(make(8)[0] != make(8, name: "b")[0])
  }

  @Test func constantsAndImpossibleShapes() {
    #expect(initialTensor(.constant(1), shape: [2], dtype: .bf16, seed: 0, name: "g")?.doubles == [1, 1])
    #expect(initialTensor(.constant(0), shape: [], seed: 0, name: "g")?.doubles == [0])
    #expect(initialTensor(.uniform(bound: 1), shape: [0, 5], seed: 0, name: "g")?.count == 0)
    #expect(initialTensor(.uniform(bound: 1), shape: [-1], seed: 0, name: "g") == nil)
    #expect(initialTensor(.uniform(bound: 1), shape: [.max, 2], seed: 0, name: "g") == nil)
  }

  @Test func theHashIsFNV1a() {
    #expect(stableHash("") == 0xCBF2_9CE4_8422_2325)
    #expect(stableHash("foobar") == 0x8594_4171_F739_67E8)
  }
}
