// Formats that f32 holds exactly, decoded and encoded eight elements at a time with integer instructions that every processor
// has: a package is compiled for the oldest one, where each conversion of a half would be a call.

/// How elements in memory become f32 and back.
protocol SingleCoding {
  /// Decodes elements from `start` on.
  static func decode(_ from: UnsafeRawPointer, _ start: Int, _ count: Int, _ to: UnsafeMutablePointer<Float>)
  /// Rounds to nearest even.
  static func encode(_ from: UnsafePointer<Float>, _ start: Int, _ count: Int, _ to: UnsafeMutableRawPointer)
}

/// f32 itself.
enum Single: SingleCoding {
  static func decode(_ from: UnsafeRawPointer, _ start: Int, _ count: Int, _ to: UnsafeMutablePointer<Float>) {
    to.update(from: from.assumingMemoryBound(to: Float.self) + start, count: count)
  }

  static func encode(_ from: UnsafePointer<Float>, _ start: Int, _ count: Int, _ to: UnsafeMutableRawPointer) {
    to.assumingMemoryBound(to: Float.self).advanced(by: start).update(from: from, count: count)
  }
}

/// What a format of 16 bits says of eight elements.
protocol HalfCoding: SingleCoding {
  static func bits(single: SIMD8<UInt32>) -> SIMD8<UInt32>
  static func single(bits: SIMD8<UInt32>) -> SIMD8<UInt32>
}

extension HalfCoding {
  static func decode(_ from: UnsafeRawPointer, _ start: Int, _ count: Int, _ to: UnsafeMutablePointer<Float>) {
    let source = from.assumingMemoryBound(to: UInt16.self) + start
    var index = 0
    while index + 8 <= count {
      let halves = UnsafeRawPointer(source + index).loadUnaligned(as: SIMD8<UInt16>.self)
      let wide = single(bits: SIMD8<UInt32>(truncatingIfNeeded: halves))
      UnsafeMutableRawPointer(to + index).storeBytes(of: wide, as: SIMD8<UInt32>.self)
      index += 8
    }
    while index < count {
      to[index] = Float(bitPattern: single(bits: SIMD8(repeating: UInt32(source[index])))[0])
      index += 1
    }
  }

  static func encode(_ from: UnsafePointer<Float>, _ start: Int, _ count: Int, _ to: UnsafeMutableRawPointer) {
    let target = to.assumingMemoryBound(to: UInt16.self) + start
    var index = 0
    while index + 8 <= count {
      let wide = UnsafeRawPointer(from + index).loadUnaligned(as: SIMD8<UInt32>.self)
      let halves = SIMD8<UInt16>(truncatingIfNeeded: bits(single: wide))
      UnsafeMutableRawPointer(target + index).storeBytes(of: halves, as: SIMD8<UInt16>.self)
      index += 8
    }
    while index < count {
      target[index] = UInt16(truncatingIfNeeded: bits(single: SIMD8(repeating: from[index].bitPattern))[0])
      index += 1
    }
  }
}

/// bf16: the upper half of an f32.
enum BrainHalf: HalfCoding {
  static func single(bits: SIMD8<UInt32>) -> SIMD8<UInt32> { bits &<< 16 }

  static func bits(single: SIMD8<UInt32>) -> SIMD8<UInt32> {
    let rounded = (single &+ 0x7fff &+ ((single &>> 16) & 1)) &>> 16
    let isNaN = (single & 0x7fff_ffff) .> SIMD8(repeating: 0x7f80_0000)
    return rounded.replacing(with: (single &>> 16) | 0x40, where: isNaN)
  }
}

/// f16.
enum Half: HalfCoding {
  static func single(bits: SIMD8<UInt32>) -> SIMD8<UInt32> {
    // The exponent is moved up by a product, which is exact for what is denormal too.
    let magnitude = (bits & 0x7fff) &<< 13
    let moved = unsafeBitCast(
      unsafeBitCast(magnitude, to: SIMD8<Float>.self) * SIMD8(repeating: 0x1p112), to: SIMD8<UInt32>.self)
    let isSpecial = magnitude .>= SIMD8(repeating: 0x0f80_0000)
    return moved.replacing(with: magnitude | 0x7f80_0000, where: isSpecial) | ((bits & 0x8000) &<< 16)
  }

  static func bits(single: SIMD8<UInt32>) -> SIMD8<UInt32> {
    let magnitude = single & 0x7fff_ffff
    let normal = (magnitude &+ 0xfff &+ ((magnitude &>> 13) & 1) &- 0x3800_0000) &>> 13
    // Adding 1/2 leaves the digits of a denormal where they belong, rounded.
    let shifted = unsafeBitCast(magnitude, to: SIMD8<Float>.self) + SIMD8(repeating: 0.5)
    let denormal = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &- 0x3f00_0000
    var result = normal.replacing(with: denormal, where: magnitude .< SIMD8(repeating: 0x3880_0000))
    result.replace(with: 0x7c00, where: magnitude .>= SIMD8(repeating: 0x4780_0000))
    result.replace(with: 0x7e00, where: magnitude .> SIMD8(repeating: 0x7f80_0000))
    return result | ((single &>> 16) & 0x8000)
  }
}
