internal import CLLVM
import LTMIR

// Philox4x32-10 in lanes of i32, whose products are taken in i64.
extension IRBuilder {
  /// Bits of one word: see `Primitive.philox`.
  func philox(_ x: [Lanes]) -> Lanes {
    let words = philox(counter: Array(x[0..<4]), key: Array(x[4..<6]))
    return bits(of: chosen(words, x[6]), skip: x[7], bits: x[8])
  }

  /// The word of a number.
  func chosen(_ words: [Lanes], _ number: Lanes) -> Lanes {
    words.indices.dropFirst().reduce(words[0]) { chosen, index in
      words[index].when(number.compareBits(LLVMIntEQ, number.bits(index)), else: chosen)
    }
  }

  /// So many bits of a word, from the top, behind some that are skipped.
  func bits(of word: Lanes, skip: Lanes, bits: Lanes) -> Lanes {
    let left = Lanes(LLVMBuildShl(ref, word.ref, skip.ref, ""), self)
    return Lanes(LLVMBuildLShr(ref, left.ref, bits.bits(32).minusBits(bits).ref, ""), self)
  }

  /// The four words of a counter. A key of one lane is that of all.
  func philox(counter: [Lanes], key: [Lanes]) -> [Lanes] {
    // Processors multiply the lower halves of 64-bit lanes: words that stay in such lanes need no packing. Devices have 32 bits.
    let isWide = mathLibrary == nil
    let lanes = counter[0].count
    var x = isWide ? counter.map { $0.extended(to: i64) } : counter
    var key = key
    for round in 0..<10 {
      let (a, b) = (halves(x[0], 0xD251_1F53), halves(x[2], 0xCD9E_8D57))
      let k = key.map { word in
        let own = isWide ? word.extended(to: i64) : word
        return own.count == lanes ? own : Lanes(splat(own.ref, lanes), self)
      }
      x = [b.high.xor(x[1]).xor(k[0]), b.low, a.high.xor(x[3]).xor(k[1]), a.low]
      guard round < 9 else { break }
      key = [key[0].plusBits(key[0].bits(-0x61C8_8647)), key[1].plusBits(key[1].bits(-0x4498_517B))]
    }
    return isWide ? x.map { $0.truncated(to: i32) } : x
  }

  /// The upper and the lower half of a word's product with a constant, in lanes like its own.
  private func halves(_ value: Lanes, _ factor: Int) -> (high: Lanes, low: Lanes) {
    let isWide = element(of: value.type) == i64
    let wide = isWide ? value : value.extended(to: i64)
    let product = wide.timesBits(wide.bits(factor))
    if isWide { return (product.shiftedRight(32), product.and(product.bits(0xFFFF_FFFF))) }
    return (product.shiftedRight(32).truncated(to: i32), product.truncated(to: i32))
  }
}
