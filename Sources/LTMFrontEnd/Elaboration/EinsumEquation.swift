import LTMIR

/// The letters of an `einsum`: of each operand's axes, and of the result's. Axes that `...` stands for have digits.
struct EinsumEquation {
  var operands: [[Character]]
  var result: [Character]

  /// Why an equation cannot be read.
  struct Mistake: Error { let message: String }

  /// Reads `"b i j, b j k -> b i k"`, for operands of these ranks. Without an arrow the result has the letters that occur once,
  /// in the order of the alphabet.
  init(_ text: String, ranks: [Int]) throws(Mistake) {
    let sides = text.filter { $0 != " " }.components(at: "->")
    guard sides.count <= 2 else { throw Mistake(message: "an equation has one '->'") }
    let terms = sides[0].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard terms.count == ranks.count else {
      throw Mistake(message: "the equation has \(terms.count) operands, and \(ranks.count) are given")
    }
    operands = []
    var hidden = 0
    for (term, rank) in zip(terms, ranks) {
      let (letters, count) = try Self.letters(term, rank: rank)
      hidden = max(hidden, count)
      operands.append(letters)
    }
    if sides.count == 2 {
      (result, _) = try Self.letters(sides[1], rank: nil, hidden: hidden)
    } else {
      let all = operands.flatMap { $0 }.filter { !$0.isNumber }
      let once = Set(all).filter { letter in all.count { $0 == letter } == 1 }.sorted()
      result = Self.hiddenAxes(hidden) + once
    }
    let known = Set(operands.flatMap { $0 })
    if let unknown = result.first(where: { !known.contains($0) }) {
      throw Mistake(message: "'\(unknown)' of the result is no axis of an operand")
    }
    guard Set(result).count == result.count else { throw Mistake(message: "an axis occurs twice in the result") }
  }

  /// The axes of `...`, counted from its end: there they are aligned.
  private static func hiddenAxes(_ count: Int) -> [Character] {
    (0..<count).reversed().map { Character(String($0, radix: 10)) }
  }

  private static func letters(
    _ term: String, rank: Int?, hidden: Int = 0
  ) throws(Mistake) -> (letters: [Character], hidden: Int) {
    let parts = term.components(at: "...")
    let named = parts.joined().count
    guard parts.count <= 2, parts.joined().allSatisfy({ $0.isASCII && $0.isLetter }) else {
      throw Mistake(message: "'\(term)' is no list of axes: they are letters, and '...' once")
    }
    if parts.count == 1 {
      guard rank == nil || rank == named else {
        throw Mistake(message: "'\(term)' has \(named) axes, and the operand \(rank ?? 0)")
      }
      return (Array(term), 0)
    }
    let count = rank.map { $0 - named } ?? hidden
    guard 0...8 ~= count else {
      throw Mistake(message: "'\(term)' has \(named) axes and '...', and the operand \(rank ?? 0)")
    }
    return (Array(parts[0]) + hiddenAxes(count) + Array(parts[1]), count)
  }

  /// The order of products, two at a time, that costs the fewest multiplications: pairs of places in a list from which both are
  /// taken, the product going to its end. All orders of up to five operands are tried; of more, the cheapest pair comes first.
  static func order(
    _ operands: [Set<Character>], keeping result: Set<Character>, size: (Character) -> Double
  ) -> [(Int, Int)] {
    cheapest(operands, result, size).order
  }

  private static func cheapest(
    _ operands: [Set<Character>], _ result: Set<Character>, _ size: (Character) -> Double
  ) -> (cost: Double, order: [(Int, Int)]) {
    guard operands.count > 1 else { return (0, []) }
    var pairs: [(cost: Double, left: Int, right: Int)] = []
    for left in operands.indices {
      for right in (left + 1)..<max(operands.count, left + 1) {
        let cost = operands[left].union(operands[right]).map(size).reduce(1, *)
        pairs.append((cost, left, right))
      }
    }
    pairs.sort { $0.cost < $1.cost }
    var best: (cost: Double, order: [(Int, Int)])?
    for pair in operands.count <= 5 ? pairs[...] : pairs.prefix(1) {
      if let best, best.cost <= pair.cost { break }
      let others = operands.indices.filter { $0 != pair.left && $0 != pair.right }.map { operands[$0] }
      let needed = others.reduce(result) { $0.union($1) }
      let product = operands[pair.left].union(operands[pair.right]).intersection(needed)
      let rest = cheapest(others + [product], result, size)
      let total = pair.cost + rest.cost
      if best.map({ total < $0.cost }) ?? true { best = (total, [(pair.left, pair.right)] + rest.order) }
    }
    return best ?? (0, [])
  }
}

extension String {
  fileprivate func components(at separator: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
