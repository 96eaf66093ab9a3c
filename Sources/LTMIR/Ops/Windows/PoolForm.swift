import LTMSupport

// What a pool's attributes say, and the windows that follow from them.

/// How a pool's windows slide over its spatial axes.
struct PoolForm {
  var kernel: [Int]
  var stride: [Int]
  var padding: [Int]
  var dilation: [Int]
  /// Whether a last window that begins inside counts, though it ends outside.
  var ceils = false

  var rank: Int { kernel.count }

  /// Windows side by side, `lengths` apart.
  init(sideBySide lengths: [Int]) {
    (kernel, stride) = (lengths, lengths)
    padding = lengths.map { _ in 0 }
    dilation = lengths.map { _ in 1 }
  }

  /// Reads the attributes of an op over so many axes.
  init(_ attributes: Attributes, rank: Int) throws(OpError) {
    func ints(_ name: String, _ values: [Int]?, atLeast least: Int) throws(OpError) -> [Int] {
      let values = try attributes.required(name, values)
      guard values.count == rank else {
        throw OpError(
          "\(name) has \(values.count) numbers, and there \(rank == 1 ? "is one axis" : "are \(rank) axes")")
      }
      guard let wrong = values.first(where: { $0 < least || $0 >= 1 << 31 }) else { return values }
      throw OpError("\(name) is \(wrong), and it is \(least) or more")
    }
    kernel = try ints("kernel", attributes.ints("kernel"), atLeast: 1)
    stride = try ints("stride", attributes.ints("stride") ?? kernel, atLeast: 1)
    padding = try ints("padding", attributes.ints("padding"), atLeast: 0)
    dilation = try ints("dilation", attributes.ints("dilation") ?? kernel.map { _ in 1 }, atLeast: 1)
    ceils = attributes.bool("ceil_mode") ?? false
    for axis in 0..<rank where 2 * padding[axis] > reach(axis) {
      throw OpError(
        "padding is \(padding[axis]), more than half of the \(reach(axis)) elements that the kernel spans",
        note: "a window of padding alone has no value; pad first, with the value that it shall have")
    }
  }

  /// Reads those of a node that the verifier has seen.
  init(proved attributes: Attributes, rank: Int) {
    do { self = try PoolForm(attributes, rank: rank) } catch { internalFailure("graph", "pool: \(error.message)") }
  }

  /// How many elements of an axis the kernel spans.
  func reach(_ axis: Int) -> Int { dilation[axis] * (kernel[axis] - 1) + 1 }

  /// The windows along an axis.
  func window(_ axis: Int) -> WindowForm {
    WindowForm(size: kernel[axis], stride: stride[axis], dilation: dilation[axis], low: padding[axis])
  }

  /// How many windows an axis has. With `ceils`, each begins inside, or in the padding before.
  func count(_ length: Dim, _ axis: Int) throws(OpError) -> Dim {
    let (p, s) = (padding[axis], stride[axis])
    let place = [(index: 0, dim: Optional(axis + 2))]
    if let length = length.constant, length + 2 * p < reach(axis) {
      let padded = p > 0 ? " and \(2 * p) of padding" : ""
      throw OpError(
        "the kernel spans \(reach(axis)) elements of dimension \(axis + 2), which has \(length)\(padded)",
        operands: place,
        note: "use a smaller kernel")
    }
    let steps = length.adding(Dim(2 * p - reach(axis) + (ceils ? s - 1 : 0)))?.dividedDown(by: Dim(s))
    let count = try checkedDim(steps?.adding(1))
    guard ceils, reach(axis) < s + p else { return count }
    guard let number = count.constant, let length = length.constant else {
      throw OpError(
        "how many windows of this ceil_mode there are cannot be said of a size \(length)", operands: place,
        note: "make the size a number, or leave ceil_mode out")
    }
    return Dim((number - 1) * s >= length + p ? number - 1 : number)
  }

  /// The shape of the pool of `[batch, channels, sizes...]`.
  func shape(_ x: [Dim]) throws(OpError) -> [Dim] {
    try requirePooled(x, rank)
    var shape = Array(x[..<2])
    for axis in 0..<rank { shape.append(try count(x[axis + 2], axis)) }
    return shape
  }

  /// For each window of an axis of a bound length, the elements in it.
  func members(_ length: Int, _ axis: Int, count: Int) -> [[Int]] {
    (0..<count).map { o in
      (0..<kernel[axis]).map { o * stride[axis] + $0 * dilation[axis] - padding[axis] }.filter { (0..<length) ~= $0 }
    }
  }

  /// What an average of each window of an axis divides by: its elements, those of the padding too where they count.
  func divisors(_ length: Int, _ axis: Int, count: Int, countsPadding: Bool) -> [Int] {
    let border = countsPadding ? padding[axis] : 0
    return (0..<count).map { o in
      let start = o * stride[axis] - padding[axis]
      return min(start + kernel[axis], length + border) - max(start, -border)
    }
  }
}

/// Throws unless the shape is `[batch, channels, sizes...]`.
func requirePooled(_ x: [Dim], _ rank: Int) throws(OpError) {
  guard x.count != rank + 2 else { return }
  throw OpError(
    "the input is [batch, channels\(String(repeating: ", size", count: rank))], not \(shapeText(x))",
    operands: [(0, nil)])
}

extension Reference {
  /// For each window, `members` of each spatial axis, a number made of its elements.
  func pooled(_ members: [[[Int]]], _ function: (_ elements: [Double], _ window: [Int]) -> Double) -> Reference {
    let sizes = Array(shape[2...])
    let area = sizes.reduce(1, *)
    var places: [(window: [Int], elements: [Int])] = [([], [0])]
    for (axis, windows) in members.enumerated() {
      places = places.flatMap { place in
        windows.enumerated().map { number, inside in
          (place.window + [number], place.elements.flatMap { base in inside.map { base * sizes[axis] + $0 } })
        }
      }
    }
    let planes = shape[0] * shape[1]
    let numbers = (0..<planes).flatMap { plane in
      places.map { place in function(place.elements.map { data[plane * area + $0] }, place.window) }
    }
    return Reference(shape: shape[..<2] + members.map(\.count), data: numbers)
  }
}

/// The largest of some numbers; NaN wins.
func largest(_ values: [Double]) -> Double {
  values.reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.max($0, $1) }
}
