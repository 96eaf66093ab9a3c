import Foundation

// The reference: row by row, as the formula says.

/// An attention on numbers.
struct AttentionReference {
  private let x: [Reference]
  private let form: AttentionForm
  private let mask: Reference?, bias: Reference?
  private let drawn: [Double]?
  private let offsets: [Double]
  private let scale: Double
  private let (heads, groups, queries, keys): (Int, Int, Int, Int)
  private let (batch, depth, width): (Int, Int, Int)

  init(_ x: [Reference], _ attributes: Attributes, from first: Int = 3) {
    self.x = x
    let given = (attributes.ints("given") ?? []).compactMap { AttentionOperand(rawValue: $0) }
    let types = x.enumerated().map { index, value in
      let operand = given.indices.contains(index - first) ? given[index - first] : .bias
      return TensorType(operand.dtype, value.shape.map { Dim($0) })
    }
    let form = AttentionForm(proved: types, attributes, from: first)
    self.form = form
    (batch, heads) = (x[0].shape[0], x[0].shape[1])
    (groups, queries, keys) = (heads / x[1].shape[1], x[0].shape[2], x[1].shape[2])
    (depth, width) = (x[0].shape[3], x[2].shape[3])
    scale = form.scale ?? 1 / Double(depth).squareRoot()
    offsets = form.offset.map { x[$0].data } ?? [0]
    let shape = [batch, heads, queries, keys]
    func spread(_ index: Int?) -> Reference? {
      index.map { x[$0].broadcast(shape, Array(4 - x[$0].rank..<4)) }
    }
    (mask, bias) = (spread(form.mask), spread(form.bias))
    drawn = form.threshold > 0 ? form.key.map { Draws(x[$0], attributes, shape).bits(24) } : nil
  }

  /// One query's view of the keys.
  private struct Row {
    /// Scores, minus infinity for what is hidden; and how they change with the product.
    var scores: [Double], slopes: [Double]
    /// What weights are multiplied by.
    var kept: [Double]
  }

  private func row(_ b: Int, _ h: Int, _ i: Int) -> Row {
    var row = Row(scores: [], slopes: [], kept: [])
    let first = ((b * heads + h) * queries + i) * keys
    for j in 0..<keys {
      var score = product(x[0], (b * heads + h) * queries + i, x[1], keyLine(b, h, j), depth) * scale
      var slope = scale
      if let cap = form.softCap {
        let t = tanh(score / cap)
        (score, slope) = (cap * t, scale * (1 - t * t))
      }
      if let bias { score += bias.data[first + j] }
      row.scores.append(isVisible(i + Int(offsets[offsets.count == 1 ? 0 : b]), j, first) ? score : -.infinity)
      row.slopes.append(slope)
      row.kept.append(drawn.map { $0[first + j] < form.threshold ? 0 : form.keptScale } ?? 1)
    }
    return row
  }

  private func isVisible(_ position: Int, _ j: Int, _ first: Int) -> Bool {
    if form.isCausal, j > position { return false }
    if let window = form.window, j <= position - window || j >= position + window { return false }
    return mask.map { $0.data[first + j] != 0 } ?? true
  }

  private func keyLine(_ b: Int, _ h: Int, _ j: Int) -> Int { (b * (heads / groups) + h / groups) * keys + j }

  private func product(_ a: Reference, _ row: Int, _ b: Reference, _ line: Int, _ length: Int) -> Double {
    (0..<length).reduce(0) { $0 + a.data[row * length + $1] * b.data[line * length + $1] }
  }

  private func logSum(_ scores: [Double]) -> Double {
    let top = scores.reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
    return top == -.infinity ? .infinity : top + log(scores.reduce(0) { $0 + exp($1 - top) })
  }

  private func eachRow(_ body: (_ b: Int, _ h: Int, _ i: Int, _ number: Int) -> Void) {
    for number in 0..<batch * heads * queries {
      body(number / (heads * queries), number / queries % heads, number % queries, number)
    }
  }

  /// The logarithm of the sum of each query's exponentials; infinite where it sees no key.
  var logSums: Reference {
    var result = Reference.filled([batch, heads, queries], 0)
    eachRow { b, h, i, number in result.data[number] = logSum(row(b, h, i).scores) }
    return result
  }

  func outputs(_ shape: [Int]) -> Reference {
    var result = Reference.filled(shape, 0)
    eachRow { b, h, i, number in
      let row = row(b, h, i)
      let sum = logSum(row.scores)
      for j in 0..<keys {
        let weight = exp(row.scores[j] - sum) * row.kept[j]
        if weight == 0 { continue }
        let line = keyLine(b, h, j) * width
        for e in 0..<width { result.data[number * width + e] += weight * x[2].data[line + e] }
      }
    }
    return result
  }

  /// Of query, key and value, and of the scores where there is a bias.
  func gradients() -> [Reference] {
    var (dq, dk, dv) = (
      Reference.filled(x[0].shape, 0), Reference.filled(x[1].shape, 0), Reference.filled(x[2].shape, 0)
    )
    var ds = Reference.filled([batch, heads, queries, keys], 0)
    eachRow { b, h, i, number in
      let (row, mean) = (row(b, h, i), product(x[3], number, x[5], number, width))
      for j in 0..<keys {
        let weight = exp(row.scores[j] - x[4].data[number])
        if weight == 0 { continue }
        let line = keyLine(b, h, j)
        let slope = weight * (product(x[5], number, x[2], line, width) * row.kept[j] - mean)
        ds.data[number * keys + j] = slope
        for e in 0..<width { dv.data[line * width + e] += weight * row.kept[j] * x[5].data[number * width + e] }
        for d in 0..<depth {
          dq.data[number * depth + d] += slope * row.slopes[j] * x[1].data[line * depth + d]
          dk.data[line * depth + d] += slope * row.slopes[j] * x[0].data[number * depth + d]
        }
      }
    }
    return [dq, dk, dv] + (form.bias == nil ? [] : [ds])
  }
}
