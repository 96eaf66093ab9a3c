import Foundation
import LTMIR

// Attention in the kernel interpreter: query by query, key by key.

/// What an attention needs of the interpreter at the place of its axes.
protocol AttentionPlace {
  mutating func value(_ id: ScalarID) -> Double
  mutating func move(_ axis: AxisID, to index: Int)
  mutating func bind(_ local: LocalID, _ value: Double)
  mutating func write(_ result: KernelAttention.Result, _ value: Double, adds: Bool)
  func extent(_ axis: AxisID) -> Int
}

extension KernelAttention {
  /// Computes one query.
  func interpret(at place: inout some AttentionPlace) {
    let scores = (0..<place.extent(keys)).map { j in
      place.move(keys, to: j)
      place.bind(product, dot(depth, query, key, &place))
      return place.value(score)
    }
    if backward != nil { goBack(scores, at: &place) } else { goForward(scores, at: &place) }
  }

  private func dot(_ axis: AxisID, _ a: ScalarID, _ b: ScalarID, _ place: inout some AttentionPlace) -> Double {
    var sum = 0.0
    for index in 0..<place.extent(axis) {
      place.move(axis, to: index)
      sum += place.value(a) * place.value(b)
    }
    return sum
  }

  private func kept(_ j: Int, _ place: inout some AttentionPlace) -> Double {
    place.move(keys, to: j)
    return kept.map { place.value($0) } ?? 1
  }

  private func goForward(_ scores: [Double], at place: inout some AttentionPlace) {
    let top = scores.reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
    let isEmpty = top == -.infinity
    let sum = isEmpty ? 1 : scores.reduce(0) { $0 + exp($1 - top) }
    let weights = scores.indices.map { isEmpty ? 0 : exp(scores[$0] - top) / sum * kept($0, &place) }
    place.write(.logSum, isEmpty ? .infinity : top + log(sum), adds: false)
    for e in 0..<place.extent(width) {
      place.move(width, to: e)
      var result = 0.0
      for (j, weight) in weights.enumerated() where weight != 0 {
        place.move(keys, to: j)
        result += weight * place.value(value)
      }
      place.write(.output, result, adds: false)
    }
  }

  private func goBack(_ scores: [Double], at place: inout some AttentionPlace) {
    guard let backward else { return }
    let logSum = place.value(backward.logSum)
    let mean = dot(width, backward.gradient, backward.output, &place)
    for (j, score) in scores.enumerated() {
      let kept = kept(j, &place)
      let weight = exp(score - logSum)
      place.bind(product, dot(depth, query, key, &place))
      let slope = place.value(backward.slope)
      let change = weight == 0 ? 0 : weight * (dot(width, backward.gradient, value, &place) * kept - mean)
      place.write(.scoreGradient, change, adds: false)
      for d in 0..<place.extent(depth) {
        place.move(depth, to: d)
        place.write(.queryGradient, change * slope * place.value(key), adds: true)
        place.write(.keyGradient, change * slope * place.value(query), adds: true)
      }
      for e in 0..<place.extent(width) {
        place.move(width, to: e)
        place.write(.valueGradient, weight * kept * place.value(backward.gradient), adds: true)
      }
    }
  }
}
