import Foundation
import TestSupport

/// How often damaged inputs are tried: `count` times, or as many times more as the environment's `LTM_FUZZ` says.
package func fuzzRounds(_ count: Int) -> Int {
  count * max(1, ProcessInfo.processInfo.environment["LTM_FUZZ"].flatMap(Int.init) ?? 1)
}

/// Damages source texts: words are dropped, repeated, swapped, replaced by others and by noise.
package struct Mutator {
  private var random: SeededGenerator
  /// What may be put anywhere.
  private let words: [String]

  package init(seed: UInt64, words: [String]) {
    random = SeededGenerator(seed: seed)
    self.words = words
  }

  /// The text with up to five things done to it.
  package mutating func mutated(_ text: [UInt8]) -> [UInt8] {
    var pieces = Self.pieces(text)
    for _ in 0..<Int.random(in: 1...5, using: &random) { mutate(&pieces) }
    return pieces.flatMap { $0 }
  }

  private mutating func place(in pieces: [[UInt8]]) -> Int { Int.random(in: 0..<max(1, pieces.count), using: &random) }

  private mutating func mutate(_ pieces: inout [[UInt8]]) {
    if pieces.isEmpty { pieces = [[UInt8](" ".utf8)] }
    let at = place(in: pieces)
    let other = place(in: pieces)
    let run = at..<min(pieces.count, at + Int.random(in: 1...40, using: &random))
    let word = [UInt8](" \(words.randomElement(using: &random) ?? "") ".utf8)
    switch Int.random(in: 0..<9, using: &random) {
    case 0: pieces.remove(at: at)
    case 1: pieces[at] = pieces[other]
    case 2: pieces.swapAt(at, other)
    case 3: pieces.insert(pieces[at], at: at)
    case 4: pieces.insert(word, at: at)
    case 5: pieces[at] = word
    case 6: pieces.removeSubrange(run)
    case 7: pieces.insert(contentsOf: pieces[run], at: other)
    default: pieces[at] = [UInt8.random(in: 0...255, using: &random)]
    }
  }

  /// Words and single characters.
  private static func pieces(_ text: [UInt8]) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    var inWord = false
    for byte in text {
      let isWord =
        byte == UInt8(ascii: "_") || (byte < 0x80 && Character(Unicode.Scalar(byte)).isLetter)
        || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
      if isWord, inWord { pieces[pieces.count - 1].append(byte) } else { pieces.append([byte]) }
      inWord = isWord
    }
    return pieces
  }
}
