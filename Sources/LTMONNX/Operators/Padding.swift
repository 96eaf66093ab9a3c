import LTMIR

// Padding by a number, by what lies at the border, reflected or repeated.

extension NodeCall {
  func padded() throws -> Value {
    var x = try input(0)
    let pads = try ints("pads", orInput: 1) ?? []
    let axes = try axes(try integers(3, "axes") ?? Array(0..<x.rank), rank: x.rank)
    guard pads.count == 2 * axes.count, pads.allSatisfy({ $0.magnitude < 1 << 31 }) else {
      throw ImportProblem("it has \(pads.count) pads for \(axes.count) axes")
    }
    let value = try number(2, "constant_value") ?? float("value", 0)
    for (index, axis) in axes.enumerated() {
      let (low, high) = (pads[index], pads[index + axes.count])
      if low < 0 || high < 0 {
        let limit = try dim(x.shape[axis].adding(Dim(min(high, 0))))
        x = try slice(x, axis: axis, from: Dim(max(0, -low)), to: limit)
      }
      x = try padded(x, axis, max(low, 0), max(high, 0), value)
    }
    return x
  }

  func padded(
    _ x: Value, _ axis: Int, _ low: Int, _ high: Int, _ value: Double
  ) throws -> Value {
    if low == 0, high == 0 { return x }
    if x.dtype == .bool { return try cast(try padded(try cast(x, .int32), axis, low, high, value), .bool) }
    let mode = string("mode", "constant")
    switch mode {
    case "constant":
      return try apply(
        .pad, [x], ["axis": .int(axis), "low": .int(low), "high": .int(high), "value": .float(value)])
    case "reflect", "edge", "wrap":
      let x = named(x)
      let size = x.shape[axis]
      var parts = [x]
      if low > 0 {
        let start: (first: Dim, step: Int) =
          mode == "reflect"
          ? (Dim(low), -1) : mode == "edge" ? (0, 0) : (try dim(size.subtracting(Dim(low))), 1)
        parts.insert(try run(x, axis, start.first, start.step, low), at: 0)
      }
      if high > 0 {
        let last = try dim(size.subtracting(1))
        let start: (first: Dim, step: Int) =
          mode == "reflect" ? (try dim(last.subtracting(1)), -1) : mode == "edge" ? (last, 0) : (0, 1)
        parts.append(try run(x, axis, start.first, start.step, high))
      }
      return try apply(.concat, parts, ["axis": .int(axis)])
    default: throw ImportProblem("padding by '\(mode.shownSafely)' is not imported")
    }
  }

  /// What a padding of more than a constant is made of: elements in order, backwards, or one of them repeated.
  private func run(
    _ x: Value, _ axis: Int, _ first: Dim, _ step: Int, _ count: Int
  ) throws -> Value {
    if step == 1 {
      return try slice(x, axis: axis, from: first, to: try dim(first.adding(Dim(count))))
    }
    if step == -1 { return try picked(x, axis: axis, first: first, step: -1, count: Dim(count)) }
    let one = try slice(x, axis: axis, from: first, to: try dim(first.adding(1)))
    return try apply(.concat, [Value](repeating: one, count: count), ["axis": .int(axis)])
  }
}
