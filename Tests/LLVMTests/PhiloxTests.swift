import LTMIR
import LTMKernels
import LTMLLVM
import LTMSupport
import TestSupport
import Testing

@Suite struct PhiloxKernelTests {
  /// The known answers that come with Random123: counter, key, words.
  static let answers: [[UInt32]] = [
    [0, 0, 0, 0, 0, 0, 0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8],
    [UInt32](repeating: .max, count: 6) + [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD],
    [
      0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344, 0xA409_3822, 0x299F_31D0, 0xD16C_FE09, 0x94FD_CCEB,
      0x5001_E420, 0x2412_6EA1,
    ],
  ]

  private func numbers(_ words: [UInt32]) -> [Double] { words.map { Double(Int32(bitPattern: $0)) } }

  @Test("machine code gives the known answers", arguments: [1, 2, 3, 4])
  func knownAnswers(copies: Int) throws {
    let text = """
      kernel @known(%0 k: i32[\(3 * copies), 6] read, %1 y: i32[\(3 * copies), 4] write) {
        domain m: \(3 * copies), n: 4
        y[m, n] = philox(k[m, 0], k[m, 1], k[m, 2], k[m, 3], k[m, 4], k[m, 5], index(n), 0:i32, 32:i32)
      }
      """
    let kernel = try #require(try parseKernels(SourceFile(path: "k", text: text)).first)
    #expect(kernel.verify() == [])
    let given = (0..<copies).flatMap { _ in Self.answers.flatMap { numbers(Array($0.prefix(6))) } }
    let expected = (0..<copies).flatMap { _ in Self.answers.flatMap { numbers(Array($0.suffix(4))) } }
    let zeros = expected.map { _ in 0.0 }
    #expect(try launch(kernel, [given, zeros])[1].doubles == expected)
    var memory = [given, zeros]
    kernel.interpret(&memory)
    #expect(memory[1] == expected)
  }

  /// Neighbours share a counter, so a vector of them is computed otherwise than one alone: the numbers are the same.
  @Test(
    "bits are those of each element's place, however vectors lie",
    arguments: [[1], [3], [64], [1000], [5, 16], [5, 17], [9, 64], [3, 4, 70]], [1, 2, 4])
  func vectors(_ shape: [Int], _ words: Int) throws {
    let names = shape.indices.map { "d\($0)" }
    let strides = shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
    let place = zip(names, strides).map { "mul(index(\($0)), \($1):i32)" }
    let sum = place.dropFirst().reduce(place[0]) { "add(\($0), \($1))" }
    let text = """
      kernel @bits(%0 k: i32[4] read, %1 y: i32[\(shape.map(String.init).joined(separator: ", "))] write) {
        domain \(zip(names, shape).map { "\($0): \($1)" }.joined(separator: ", "))
        let $0 = \(sum)
        let $1 = div($0, \(4 / words):i32)
        let $2 = mul(sub($0, mul($1, \(4 / words):i32)), \(words):i32)
        y[\(names.joined(separator: ", "))] = philox($1, 0:i32, k[2], k[3], k[0], k[1], $2, 3:i32, 22:i32)
      }
      """
    let kernel = try #require(try parseKernels(SourceFile(path: "k", text: text)).first)
    let key: [UInt32] = [0x0123_4567, 0x89AB_CDEF, 5, 0xFFFF_FFF0]
    let count = shape.reduce(1, *)
    let generator = Philox(key: SIMD2(key[0], key[1]))
    let expected = (0..<count).map { place in
      let counter = SIMD4(UInt32(place * words / 4), 0, key[2], key[3])
      return Double((generator.words(at: counter)[place * words % 4] << 3) >> 10)
    }
    #expect(try launch(kernel, [numbers(key), expected.map { _ in 0 }])[1].doubles == expected)
  }
}
