/// Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011): a random function of a counter
/// and a key. Nothing is carried from one draw to the next, so the numbers do not depend on who draws first.
public struct Philox: Hashable, Sendable {
  /// The two words of the key.
  public let key: SIMD2<UInt32>

  /// The generator of a key.
  public init(key: SIMD2<UInt32>) { self.key = key }

  /// The generator of a seed: its low word, then its high one.
  public init(seed: UInt64) { key = Self.words(seed) }

  /// The four random words of a counter.
  public func words(at counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
    // Scalars: each word takes a path of its own through the rounds.
    var (x0, x1, x2, x3) = (counter.x, counter.y, counter.z, counter.w)
    var (k0, k1) = (key.x, key.y)
    for _ in 0..<10 {
      let a = UInt64(0xD251_1F53) &* UInt64(x0)
      let b = UInt64(0xCD9E_8D57) &* UInt64(x2)
      (x0, x1, x2, x3) = (
        UInt32(truncatingIfNeeded: b >> 32) ^ x1 ^ k0, UInt32(truncatingIfNeeded: b),
        UInt32(truncatingIfNeeded: a >> 32) ^ x3 ^ k1, UInt32(truncatingIfNeeded: a)
      )
      (k0, k1) = (k0 &+ 0x9E37_79B9, k1 &+ 0xBB67_AE85)
    }
    return SIMD4(x0, x1, x2, x3)
  }

  /// The four random words of a counter of two 64-bit numbers, the first one the low one.
  public func words(_ low: UInt64, _ high: UInt64) -> SIMD4<UInt32> {
    words(at: SIMD4(lowHalf: Self.words(low), highHalf: Self.words(high)))
  }

  /// Two words as a number in `0 ..< 1` with 53 random bits.
  public static func unit(_ low: UInt32, _ high: UInt32) -> Double {
    Double((UInt64(high) << 32 | UInt64(low)) >> 11) * 0x1p-53
  }

  private static func words(_ number: UInt64) -> SIMD2<UInt32> {
    SIMD2(UInt32(truncatingIfNeeded: number), UInt32(truncatingIfNeeded: number >> 32))
  }
}
