/// Integers by integers, in two flat arrays: a lookup is a multiplication and, mostly, one load.
struct IntegerMap: Sendable {
  private var keys: [UInt64]
  private var values: [Int32]
  private var shift: UInt64
  private(set) var count = 0

  /// Differs from process to process, so that no file can choose which keys collide.
  private static let seed = UInt64.random(in: 0 ... .max)
  private static let none = UInt64.max

  init(minimumCapacity: Int = 0) {
    var bits: UInt64 = 4
    while (1 << bits) < minimumCapacity * 2 { bits += 1 }
    keys = Array(repeating: Self.none, count: 1 << Int(bits))
    values = Array(repeating: 0, count: 1 << Int(bits))
    shift = 64 - bits
  }

  /// The value of a key, which is not the largest integer.
  subscript(key: UInt64) -> Int32? {
    var slot = home(key)
    while keys[slot] != Self.none {
      if keys[slot] == key { return values[slot] }
      slot = (slot + 1) & (keys.count - 1)
    }
    return nil
  }

  /// Sets the value of a key.
  mutating func set(_ key: UInt64, _ value: Int32) {
    if (count + 1) * 2 > keys.count { grow() }
    var slot = home(key)
    while keys[slot] != Self.none, keys[slot] != key { slot = (slot + 1) & (keys.count - 1) }
    if keys[slot] == Self.none { count += 1 }
    keys[slot] = key
    values[slot] = value
  }

  private func home(_ key: UInt64) -> Int {
    let mixed = (key ^ Self.seed) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: ((mixed ^ (mixed >> 29)) &* 0xBF58_476D_1CE4_E5B9) >> shift)
  }

  private mutating func grow() {
    var larger = IntegerMap(minimumCapacity: keys.count)
    for (slot, key) in keys.enumerated() where key != Self.none { larger.set(key, values[slot]) }
    self = larger
  }
}
