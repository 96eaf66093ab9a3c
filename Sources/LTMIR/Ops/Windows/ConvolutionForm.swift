import LTMSupport

// What a convolution's attributes say, and the sizes that follow from them.

/// How a convolution slides over its spatial axes.
struct ConvolutionForm {
  var stride: [Int]
  /// Zeros before and after each axis.
  var low: [Int]
  var high: [Int]
  var dilation: [Int]
  var groups: Int

  var rank: Int { stride.count }

  /// Reads the attributes of an op over so many axes; `padding` has a number for each, or two, before and after it.
  init(_ attributes: Attributes, rank: Int) throws(OpError) {
    func ints(_ name: String, atLeast least: Int) throws(OpError) -> [Int] {
      let values = try attributes.required(name, attributes.ints(name))
      guard values.count == rank || name == "padding" && values.count == 2 * rank else {
        throw OpError(
          "\(name) has \(values.count) numbers, and there \(rank == 1 ? "is one axis" : "are \(rank) axes")")
      }
      guard let wrong = values.first(where: { $0 < least || $0 >= 1 << 31 }) else { return values }
      throw OpError("\(name) is \(wrong), and it is \(least) or more")
    }
    stride = try ints("stride", atLeast: 1)
    dilation = try ints("dilation", atLeast: 1)
    // A gradient may take away what `output_padding` added: calls give no negative padding.
    let padding = try ints("padding", atLeast: -(1 << 31))
    let isEven = padding.count == rank
    low = (0..<rank).map { isEven ? padding[$0] : padding[2 * $0] }
    high = (0..<rank).map { isEven ? padding[$0] : padding[2 * $0 + 1] }
    groups = try attributes.required("groups", attributes.int("groups"))
    guard groups >= 1 else { throw OpError("groups is \(groups), and it is 1 or more") }
  }

  /// Reads those of a node that the verifier has seen.
  init(proved attributes: Attributes, rank: Int) {
    do { self = try ConvolutionForm(attributes, rank: rank) } catch {
      internalFailure("graph", "convolution: \(error.message)")
    }
  }

  var attributes: Attributes {
    [
      "stride": .ints(stride), "padding": .ints((0..<rank).flatMap { [low[$0], high[$0]] }),
      "dilation": .ints(dilation), "groups": .int(groups),
    ]
  }

  /// How many elements of an axis a window of `size` taps spans.
  func reach(_ axis: Int, _ size: Int) -> Int { dilation[axis] * (size - 1) + 1 }

  /// How many windows an axis has; `nil` where that cannot be said.
  func count(_ length: Dim, _ axis: Int, size: Int) -> Dim? {
    length.adding(Dim(low[axis] + high[axis] - reach(axis, size)))?.dividedDown(by: Dim(stride[axis]))?.adding(1)
  }

  /// The sizes of an axis' windows of a bound length.
  func count(_ length: Int, _ axis: Int, size: Int) -> Int {
    let rest = length + low[axis] + high[axis] - reach(axis, size)
    return rest < 0 ? 0 : rest / stride[axis] + 1
  }

  /// The shape that the convolution of `x` with `weight` `[outputs, inputs / groups, taps...]` has.
  func shape(_ x: [Dim], _ weight: [Dim]) throws(OpError) -> [Dim] {
    let taps = try taps(x, weight)
    guard let inputs = weight[1].multiplied(by: Dim(groups)), inputs == x[1] else { throw channelMismatch(x, weight) }
    try requireGroups(weight[0], "outputs", operand: 1, dim: 0)
    var shape = [x[0], weight[0]]
    for (axis, size) in taps.enumerated() {
      let count = try checkedDim(count(x[axis + 2], axis, size: size))
      if let length = x[axis + 2].constant, length + low[axis] + high[axis] < reach(axis, size) {
        throw OpError(
          "the kernel spans \(reach(axis, size)) elements of dimension \(axis + 2), which has \(length)"
            + (low[axis] + high[axis] > 0 ? " and \(low[axis] + high[axis]) of padding" : ""),
          operands: [(0, axis + 2), (1, axis + 2)], note: "pad more, or use a smaller kernel")
      }
      shape.append(count)
    }
    return shape
  }

  /// The taps along each axis.
  func taps(_ x: [Dim], _ weight: [Dim]) throws(OpError) -> [Int] {
    for (index, shape) in [x, weight].enumerated() where shape.count != rank + 2 {
      let wanted = index == 0 ? "batch, channels" : "outputs, inputs / groups"
      throw OpError(
        "\(index == 0 ? "the input" : "the weight") is [\(wanted)\(String(repeating: ", size", count: rank))], not "
          + shapeText(shape), operands: [(index, nil)])
    }
    var taps: [Int] = []
    for axis in 0..<rank {
      guard let size = weight[axis + 2].constant, size < 1 << 31 else {
        throw OpError("a kernel's size is a number, not \(weight[axis + 2])", operands: [(1, axis + 2)])
      }
      taps.append(size)
    }
    return taps
  }

  func requireGroups(_ channels: Dim, _ what: String, operand: Int, dim: Int) throws(OpError) {
    guard channels.dividedExactly(by: Dim(groups)) == nil else { return }
    throw OpError(
      "\(channels) \(what) cannot be divided into \(groups) groups", operands: [(operand, dim)],
      note: "groups divides the channels on both sides")
  }

  private func channelMismatch(_ x: [Dim], _ weight: [Dim]) -> OpError {
    let of = groups == 1 ? "" : " of \(groups) groups"
    return OpError(
      "shapes \(shapeText(x)) and \(shapeText(weight)) do not fit: the input has \(x[1]) channels, the weight takes "
        + "\(weight[1].multiplied(by: Dim(groups)) ?? weight[1])\(of)", operands: [(0, 1), (1, 1)])
  }
}
