import Foundation
import LTMIR

/// How the next token is chosen from its scores.
public struct Sampling: Sendable, Hashable {
  /// What scores are divided by before they become probabilities: 1 leaves them, less makes likely tokens likelier, and 0
  /// takes the most likely one, the first of equals.
  public var temperature: Double
  /// Only so many of the most likely tokens are drawn from; all, when it is `nil`.
  public var topK: Int?
  /// Only the most likely tokens are drawn from whose probabilities together reach this, the last of them included; all, when
  /// it is `nil`.
  public var topP: Double?
  /// What the draws are a function of, with the row and the number of the token in its text: equal scores give equal tokens on
  /// every target.
  public var seed: UInt64

  /// - Parameters:
  ///   - temperature: 0 for the most likely token.
  ///   - topK: how many tokens are drawn from.
  ///   - topP: how much of the probability is drawn from.
  ///   - seed: of the draws.
  public init(temperature: Double = 1, topK: Int? = nil, topP: Double? = nil, seed: UInt64 = 0) {
    (self.temperature, self.topK, self.topP, self.seed) = (temperature, topK, topP, seed)
  }

  /// The most likely token, always.
  public static let greedy = Sampling(temperature: 0)

  func check() throws(LTMError) {
    guard temperature.isFinite, temperature >= 0 else {
      throw LTMError("the temperature is \(temperature)", notes: ["it is 0, for the most likely token, or more"])
    }
    if let topK, topK < 1 { throw LTMError("top-k is \(topK): at least 1 token is drawn from") }
    if let topP, !(topP > 0 && topP <= 1) {
      throw LTMError("top-p is \(topP)", notes: ["it is more than 0, and at most 1"])
    }
  }

  /// The token of a row at a place of its text. NaN counts as the least score.
  package func token(_ scores: [Double], row: Int, place: Int) -> Int {
    let scores = scores.map { $0.isNaN ? -.infinity : $0 }
    let best = scores.indices.reduce(0) { scores[$1] > scores[$0] ? $1 : $0 }
    // An infinite score is certain.
    guard temperature > 0, scores[best].isFinite else { return best }
    let candidates = likely(scores)
    let weights = candidates.map { exp((scores[$0] - scores[best]) / temperature) }
    let words = Philox(seed: seed).words(UInt64(place), UInt64(row))
    var rest = Philox.unit(words.x, words.y) * weights.reduce(0, +)
    for (candidate, weight) in zip(candidates, weights) {
      rest -= weight
      if rest < 0 { return candidate }
    }
    return candidates.last ?? best
  }

  /// The tokens that are drawn from, the most likely first; equals in their order.
  private func likely(_ scores: [Double]) -> [Int] {
    guard topK != nil || topP != nil else { return Array(scores.indices) }
    var order = scores.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }
    if let topK { order = Array(order.prefix(topK)) }
    guard let topP else { return order }
    let weights = order.map { exp((scores[$0] - scores[order[0]]) / temperature) }
    let wanted = topP * weights.reduce(0, +)
    var sum = 0.0
    for (count, weight) in weights.enumerated() {
      sum += weight
      if sum >= wanted { return Array(order.prefix(count + 1)) }
    }
    return order
  }
}
