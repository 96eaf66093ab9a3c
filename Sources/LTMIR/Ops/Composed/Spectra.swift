import Foundation

// Rows: spectra of signals, as products with matrices.

extension OpDefinition {
  static let stft = composed(
    "The short-time Fourier transform of signals `[..., length]`: `[..., n_fft / 2 + 1, frames, 2]`, real and imaginary parts of "
      + "frames of `n_fft` samples each `hop_length` after the other, times `window`. With `center` the signal is reflected at both "
      + "ends, so that frames lie around their places.",
    signature: [
      OpParameter("x", .tensor), OpParameter("n_fft", .int), OpParameter("hop_length", .int, isOptional: true),
      OpParameter("window", .optionalTensor), OpParameter("center", .bool, default: .bool(true)),
    ], precision: .float32,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...2)
      try requireRank(types, 0, atLeast: 1)
      let dtype = try joinedDType([types[0]], .floats)
      let form = try FrameForm(attributes)
      let length = types[0].shape[types[0].rank - 1]
      if types.count == 2 {
        guard types[1].dtype.isFloating, types[1].shape == [Dim(form.size)] else {
          throw OpError("the window is \(types[1]), and a frame has \(form.size) samples", operands: [(1, nil)])
        }
      }
      if form.isCentred, let number = length.constant, number <= form.size / 2 {
        throw OpError("\(number) samples are too few to be reflected by \(form.size / 2)", operands: [(0, nil)])
      }
      let count = try form.count(length)
      guard (count.constant ?? 1) >= 1 else {
        throw OpError("\(length) samples are less than a frame of \(form.size)", operands: [(0, nil)])
      }
      return TensorType(dtype, types[0].shape.dropLast() + [Dim(form.size / 2 + 1), count, 2])
    },
    examples: [
      OpExample(
        [([2, 16], .any), ([8], .positive)], ["n_fft": .int(8), "hop_length": .int(3), "center": .bool(true)]),
      OpExample([([11], .any)], ["n_fft": .int(5), "center": .bool(false)]),
    ]
  ) { b, x, attributes, result in
    let form = FrameForm(proved: attributes)
    var signal = b.wide(x[0])
    let axis = b.type(signal).rank - 1
    if form.isCentred {
      let half = form.size / 2
      signal = b.make(
        .padAround, [signal],
        ["axis": .int(axis), "low": .int(half), "high": .int(half), "mode": .word("reflect")])
    }
    let window = WindowForm(size: form.size, stride: form.hop)
    var frames = b.windows(signal, axis: axis, window, count: result.shape[axis + 1])
    if form.size == 1 { frames = b.reshape(frames, to: b.type(frames).shape + [1]) }
    if x.count == 2 {
      let weights = b.broadcast(b.cast(x[1], to: b.type(frames).dtype), to: b.type(frames).shape)
      frames = b.mul(frames, weights)
    }
    let waves = fourierWaves(&b, form.size, b.type(frames).dtype)
    let parts = b.make(
      .contract, [frames, waves],
      [
        "lhs_batch": .ints([]), "rhs_batch": .ints([]), "lhs_contract": .ints([axis + 1]), "rhs_contract": .ints([2]),
      ])
    // [..., frames, part, frequency]
    let order = Array(0..<axis) + [axis + 2, axis, axis + 1]
    return b.cast(b.transpose(parts, order), to: result.dtype)
  }

  static let melScale = composed(
    "A spectrogram `[..., frequencies, frames]` in `n_mels` bands `[..., n_mels, frames]`: triangles that are as wide as pitches are "
      + "apart, from `f_min` to `f_max`, half of `sample_rate` where it is left out. With `norm` \"slaney\" each has the area 1.",
    signature: [
      OpParameter("x", .tensor), OpParameter("n_mels", .int), OpParameter("sample_rate", .float),
      OpParameter("f_min", .float, default: .float(0)), OpParameter("f_max", .float, isOptional: true),
      OpParameter("norm", .word(["none", "slaney"]), default: .word("none")),
      OpParameter("mel_scale", .word(["htk", "slaney"]), default: .word("htk")),
    ], precision: .float32,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 1...1)
      try requireRank(types, 0, atLeast: 2)
      let dtype = try joinedDType(types, .floats)
      let mels = try attributes.required("n_mels", attributes.int("n_mels"))
      let rate = try attributes.required("sample_rate", attributes.float("sample_rate"))
      let low = try attributes.required("f_min", attributes.float("f_min"))
      let high = attributes.float("f_max") ?? rate / 2
      guard 1...(1 << 16) ~= mels, rate > 0, rate.isFinite, 0 <= low, low < high, high.isFinite else {
        throw OpError("there are no \(mels) bands from \(low) to \(high) at \(rate) samples a second")
      }
      var shape = types[0].shape
      shape[shape.count - 2] = Dim(mels)
      return TensorType(dtype, shape)
    },
    examples: [
      OpExample([([2, 9, 3], .any)], melExample("none", "htk")),
      OpExample([([17, 2], .any)], melExample("slaney", "slaney")),
    ]
  ) { b, x, attributes, result in
    let wide = b.wide(x[0])
    let axis = b.type(wide).rank - 2
    let bands = melBands(&b, frequencies: b.type(wide).shape[axis].constant ?? 1, attributes, b.type(wide).dtype)
    let product = b.make(
      .contract, [wide, bands],
      ["lhs_batch": .ints([]), "rhs_batch": .ints([]), "lhs_contract": .ints([axis]), "rhs_contract": .ints([1])])
    return b.cast(b.transpose(product, Array(0..<axis) + [axis + 1, axis]), to: result.dtype)
  }

  private static func melExample(_ norm: String, _ scale: String) -> Attributes {
    [
      "n_mels": .int(4), "sample_rate": .float(8000), "f_min": .float(20), "norm": .word(norm),
      "mel_scale": .word(scale),
    ]
  }
}

/// How frames lie in a signal.
private struct FrameForm {
  let size, hop: Int
  let isCentred: Bool

  init(proved attributes: Attributes) {
    size = attributes[int: "n_fft"]
    hop = attributes.int("hop_length") ?? max(size / 4, 1)
    isCentred = attributes[bool: "center"]
  }

  init(_ attributes: Attributes) throws(OpError) {
    _ = try attributes.required("center", attributes.bool("center"))
    let size = try attributes.required("n_fft", attributes.int("n_fft"))
    // Angles are exact in f32 up to here.
    guard 1...4096 ~= size, 1...(1 << 24) ~= attributes.int("hop_length") ?? 1 else {
      throw OpError("n_fft is from 1 to 4096, and hop_length 1 or more")
    }
    self.init(proved: attributes)
  }

  func count(_ length: Dim) throws(OpError) -> Dim {
    let room = try checkedDim(length.adding(Dim((isCentred ? 2 * (size / 2) : 0) - size)))
    return try checkedDim(room.dividedDown(by: Dim(hop))?.adding(1))
  }
}

/// `[2, frequencies, size]`: the cosines, and the sines turned over, of whole turns in `size` samples.
private func fourierWaves(_ b: inout GraphBuilder, _ size: Int, _ dtype: DType) -> ValueID {
  let shape = [Dim(size / 2 + 1), Dim(size)]
  let products = b.mul(b.numbers(shape, axis: 0, .i32), b.numbers(shape, axis: 1, .i32))
  let number = b.cast(products, to: dtype)
  let turns = b.make(.floor, [b.div(number, b.fill(Double(size), like: number))])
  let angle = b.scale(b.sub(number, b.scale(turns, by: Double(size))), by: 2 * .pi / Double(size))
  let parts = [b.make(.cos, [angle]), b.neg(b.make(.sin, [angle]))].map { b.reshape($0, to: [1] + shape) }
  return b.make(.concat, parts, ["axis": .int(0)])
}

/// `[n_mels, frequencies]`: each band rises from the pitch before its own, and falls to the next.
private func melBands(
  _ b: inout GraphBuilder, frequencies: Int, _ attributes: Attributes, _ dtype: DType
) -> ValueID {
  let (mels, rate) = (attributes[int: "n_mels"], attributes[float: "sample_rate"])
  let scale = MelScale(isSlaney: attributes[word: "mel_scale"] == "slaney")
  let low = scale.mel(attributes[float: "f_min"])
  let step = (scale.mel(attributes.float("f_max") ?? rate / 2) - low) / Double(mels + 1)
  let shape = [Dim(mels), Dim(frequencies)]
  let number = b.cast(b.numbers(shape, axis: 0, .i32), to: dtype)
  let pitches = (0..<3).map { place in
    scale.frequency(&b, b.offset(b.scale(b.offset(number, by: Double(place)), by: step), by: low))
  }
  let bin = b.cast(b.numbers(shape, axis: 1, .i32), to: dtype)
  let frequency = b.scale(bin, by: rate / 2 / Double(max(frequencies - 1, 1)))
  let rising = b.div(b.sub(frequency, pitches[0]), b.sub(pitches[1], pitches[0]))
  let falling = b.div(b.sub(pitches[2], frequency), b.sub(pitches[2], pitches[1]))
  let band = b.make(.maximum, [b.make(.minimum, [rising, falling]), b.fill(0, like: bin)])
  guard attributes[word: "norm"] == "slaney" else { return band }
  return b.div(b.scale(band, by: 2), b.sub(pitches[2], pitches[0]))
}

/// Pitches as numbers that are heard as evenly spaced.
private struct MelScale {
  let isSlaney: Bool
  /// Where the scale of Slaney turns from lines to logarithms.
  private static let border = (frequency: 1000.0, mel: 15.0, step: 200.0 / 3, growth: 6.4)

  func mel(_ frequency: Double) -> Double {
    guard isSlaney else { return 2595 * Foundation.log10(1 + frequency / 700) }
    let border = Self.border
    if frequency < border.frequency { return frequency / border.step }
    return border.mel + Foundation.log(frequency / border.frequency) * 27 / Foundation.log(border.growth)
  }

  func frequency(_ b: inout GraphBuilder, _ mel: ValueID) -> ValueID {
    guard isSlaney else { return b.scale(b.make(.expm1, [b.scale(mel, by: M_LN10 / 2595)]), by: 700) }
    let border = Self.border
    let above = b.scale(b.offset(mel, by: -border.mel), by: Foundation.log(border.growth) / 27)
    let high = b.scale(b.exp(above), by: border.frequency)
    return b.select(b.compare(.less, mel, border.mel), b.scale(mel, by: border.step), high)
  }
}
