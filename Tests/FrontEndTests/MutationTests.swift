import Foundation
import LTMFrontEnd
import LTMSupport
import Testing

/// Words of the language put where they do not belong: always a program or messages, never a crash.
@Suite struct MutationTests {
  private static let words = [
    "0", "-1", "1", "2", "9223372036854775807", "1e308", "true", "x", "B", "...", "[1, 2]", "f16", "relu", "Linear",
    "Linear(2, 3)", "x.T", "if", "training", "inf", "nan", "0..<3", "/ 0", "** 70", "matmul", "reshape", "split", "(",
    ")",
    "[", "]", "{", "}", ",", ":", "|>", "<-", "zeros()", "iota([B, 0])", "@f32 { x }", "stack", "gather", "max", "min",
  ]

  private func check(_ text: String) {
    do {
      _ = try loaded(text).check()
    } catch let error as DiagnosticSet {
      #expect(error.hasErrors)
    } catch {
      Issue.record("\(error)")
    }
  }

  /// Pieces that a mutation replaces, drops or repeats.
  private func pieces(_ text: String) -> [String] {
    var pieces: [String] = []
    for character in text {
      let isWord = character.isLetter || character.isNumber || character == "_"
      if isWord, let last = pieces.last?.last, last.isLetter || last.isNumber || last == "_" {
        pieces[pieces.count - 1].append(character)
      } else {
        pieces.append(String(character))
      }
    }
    return pieces
  }

  @Test(arguments: Golden.all(in: "graphs") + Golden.all(in: "errors"))
  func mutations(golden: Golden) throws {
    let text = try String(contentsOf: golden.url, encoding: .utf8)
    let source = pieces(try #require(text.components(separatedBy: Golden.separator).first))
    var state = UInt64(truncatingIfNeeded: source.count) &+ 88_172_645_463_325_252
    func random(_ limit: Int) -> Int {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int(state % UInt64(limit))
    }
    for _ in 0..<40 {
      var mutated = source
      for _ in 0...random(3) {
        let place = random(mutated.count)
        switch random(4) {
        case 0: mutated.remove(at: place)
        case 1: mutated[place] = mutated[random(mutated.count)]
        case 2: mutated.insert(" \(Self.words[random(Self.words.count)]) ", at: place)
        default: mutated[place] = Self.words[random(Self.words.count)]
        }
      }
      check(mutated.joined())
    }
  }
}
