// The reference of convolutions: all pairs of an element and a tap, one by one.

/// A convolution of bound sizes, its spatial axes counted as three.
struct ConvolutionLoops {
  let form: ConvolutionForm
  let batch: Int
  /// Channels of a group, on either side.
  let inputs: Int
  let outputs: Int
  /// Of x, the taps, and the result.
  let lengths: [Int]
  let taps: [Int]
  let counts: [Int]

  /// - Parameters: the shapes of x and of the weight, and the sizes of the result.
  init(_ form: ConvolutionForm, x: [Int], weight: [Int], counts: [Int]) {
    let missing = 3 - form.rank
    let ones = [Int](repeating: 1, count: missing)
    let zeros = [Int](repeating: 0, count: missing)
    var padded = form
    (padded.stride, padded.dilation) = (ones + form.stride, ones + form.dilation)
    (padded.low, padded.high) = (zeros + form.low, zeros + form.high)
    self.form = padded
    (batch, inputs, outputs) = (x[0], weight[1], weight[0] / form.groups)
    (lengths, taps, self.counts) = (ones + x[2...], ones + weight[2...], ones + counts)
  }

  /// Calls `body` with the places of an element of x, of the weight and of the result, for every product.
  func each(_ body: (_ x: Int, _ weight: Int, _ result: Int) -> Void) {
    let (area, field, count) = (lengths.reduce(1, *), taps.reduce(1, *), counts.reduce(1, *))
    let pairs = places()
    for n in 0..<batch {
      for g in 0..<form.groups {
        for o in 0..<outputs {
          let channel = g * outputs + o
          for c in 0..<inputs {
            let plane = ((n * form.groups + g) * inputs + c) * area
            let kernel = (channel * inputs + c) * field
            let target = (n * form.groups * outputs + channel) * count
            for pair in pairs { body(plane + pair.x, kernel + pair.tap, target + pair.result) }
          }
        }
      }
    }
  }

  /// Within one channel of each.
  private func places() -> [(x: Int, tap: Int, result: Int)] {
    var found: [(x: Int, tap: Int, result: Int)] = [(0, 0, 0)]
    for axis in 0..<3 {
      var next: [(x: Int, tap: Int, result: Int)] = []
      for place in found {
        for o in 0..<counts[axis] {
          for k in 0..<taps[axis] {
            let i = o * form.stride[axis] + k * form.dilation[axis] - form.low[axis]
            guard (0..<lengths[axis]).contains(i) else { continue }
            next.append(
              (place.x * lengths[axis] + i, place.tap * taps[axis] + k, place.result * counts[axis] + o))
          }
        }
      }
      found = next
    }
    return found
  }
}

extension Reference {
  /// The convolution of x with a weight.
  static func convolution(_ x: Reference, _ weight: Reference, _ form: ConvolutionForm, to shape: [Int]) -> Reference {
    var result = Reference.filled(shape, 0)
    let loops = ConvolutionLoops(form, x: x.shape, weight: weight.shape, counts: Array(shape[2...]))
    result.data.withUnsafeMutableBufferPointer { y in
      loops.each { y[$2] += x.data[$0] * weight.data[$1] }
    }
    return result
  }

  /// Its adjoint for x.
  static func convolutionInput(
    _ g: Reference, _ weight: Reference, _ form: ConvolutionForm, to shape: [Int]
  ) -> Reference {
    var result = Reference.filled(shape, 0)
    let loops = ConvolutionLoops(form, x: shape, weight: weight.shape, counts: Array(g.shape[2...]))
    result.data.withUnsafeMutableBufferPointer { x in
      loops.each { x[$0] += g.data[$2] * weight.data[$1] }
    }
    return result
  }

  /// Its adjoint for the weight.
  static func convolutionWeight(
    _ x: Reference, _ g: Reference, _ form: ConvolutionForm, to shape: [Int]
  ) -> Reference {
    var result = Reference.filled(shape, 0)
    let loops = ConvolutionLoops(form, x: x.shape, weight: shape, counts: Array(g.shape[2...]))
    result.data.withUnsafeMutableBufferPointer { w in
      loops.each { w[$1] += x.data[$0] * g.data[$2] }
    }
    return result
  }
}
