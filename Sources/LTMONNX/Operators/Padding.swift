import LTMIR

// Padding by a number, or by what lies at the border.

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
      let ours = ["edge": "replicate", "wrap": "circular"][mode] ?? mode
      return try apply(
        .padAround, [x], ["axis": .int(axis), "low": .int(low), "high": .int(high), "mode": .word(ours)])
    default: throw ImportProblem("padding by '\(mode.shownSafely)' is not imported")
    }
  }
}
