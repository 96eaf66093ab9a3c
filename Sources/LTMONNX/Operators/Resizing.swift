import LTMIR

// Interpolation: along each axis the two (or four) neighbours of a place, weighed. Places and weights depend on sizes alone, so that
// they are tables that are made at import.

extension NodeCall {
  func resized() throws -> Value {
    var x = try input(0)
    let plan = try resizePlan(x)
    let mode = string("mode", "nearest")
    guard ["nearest", "linear", "cubic"].contains(mode) else {
      throw ImportProblem("interpolation by '\(mode.shownSafely)' is not imported")
    }
    for step in plan where step.isChange {
      x = mode == "nearest" ? try nearest(x, step) : try interpolated(x, step)
    }
    return x
  }

  /// What happens along one axis.
  private struct Step {
    let axis: Int
    let size: Dim
    let result: Dim
    let scale: Double
    var isChange: Bool { size != result || scale != 1 }
  }

  private func resizePlan(_ x: Value) throws -> [Step] {
    let isOld = node.op == "Upsample" || opset < 11
    let scales =
      isOld
      ? floats("scales") ?? optional(1)?.numbers : optional(2).flatMap { $0.shape == [0] ? nil : $0.numbers }
    let sizes = isOld ? nil : try self.sizes(3, "sizes")
    guard scales != nil || sizes != nil else {
      throw ImportProblem("its scales and sizes are computed when the model runs")
    }
    let axes = try axes(ints("axes") ?? Array(0..<x.rank), rank: x.rank)
    guard string("keep_aspect_ratio_policy", "stretch") == "stretch", !flag("antialias") else {
      throw ImportProblem("its policy or antialias is not imported")
    }
    var steps: [Step] = []
    for (index, axis) in axes.enumerated() {
      let size = x.shape[axis]
      if let scale = scales.flatMap({ $0.indices.contains(index) ? $0[index] : nil }), sizes?.isEmpty ?? true {
        steps.append(Step(axis: axis, size: size, result: try scaled(size, scale), scale: scale))
      } else if let sizes, sizes.indices.contains(index) {
        if let a = size.constant, let b = sizes[index].constant {
          steps.append(Step(axis: axis, size: size, result: Dim(b), scale: Double(b) / Double(a)))
        } else if let ratio = sizes[index].dividedExactly(by: size)?.constant {
          steps.append(Step(axis: axis, size: size, result: sizes[index], scale: Double(ratio)))
        } else {
          throw ImportProblem("the size \(sizes[index]) of \(size) is not known; --dim may settle it")
        }
      } else {
        throw ImportProblem("it has fewer scales than axes")
      }
    }
    return steps
  }

  private func scaled(_ size: Dim, _ scale: Double) throws -> Dim {
    guard scale > 0, scale < 65536 else { throw ImportProblem("its scale is \(scale)") }
    if let whole = Int(exactly: scale) { return try dim(size.multiplied(by: Dim(whole))) }
    guard let length = size.constant, length < 1 << 31 else {
      throw ImportProblem("the size \(size) times \(scale) is not known; --dim may settle it")
    }
    return Dim(Int((Double(length) * scale).rounded(.down)))
  }

  /// Where an element of the result lies in the operand.
  private func source(_ index: Int, _ step: Step, _ length: Int, _ count: Int) throws -> Double {
    let x = Double(index)
    let isOld = node.op == "Upsample" || opset < 11
    switch isOld ? "asymmetric" : string("coordinate_transformation_mode", "half_pixel") {
    case "half_pixel": return (x + 0.5) / step.scale - 0.5
    case "half_pixel_symmetric":
      let adjusted = Double(count) / (step.scale * Double(length))
      let centre = Double(length) / 2
      return centre * (1 - adjusted) + (x + 0.5) / step.scale - 0.5
    case "pytorch_half_pixel": return count > 1 ? (x + 0.5) / step.scale - 0.5 : 0
    case "align_corners": return count > 1 ? x * Double(length - 1) / Double(count - 1) : 0
    case "asymmetric": return x / step.scale
    case let mode: throw ImportProblem("coordinates by '\(mode.shownSafely)' are not imported")
    }
  }

  private func nearest(_ x: Value, _ step: Step) throws -> Value {
    guard let length = step.size.constant, let count = step.result.constant else { return try repeated(x, step) }
    try requireTable(count)
    let rounding = node.op == "Upsample" || opset < 11 ? "floor" : string("nearest_mode", "round_prefer_floor")
    var places: [Dim] = []
    for index in 0..<count {
      let place = try source(index, step, length, count)
      guard place.magnitude < 1e9 else { throw ImportProblem("its scale is \(step.scale)") }
      let whole =
        switch rounding {
        case "floor": place.rounded(.down)
        case "ceil": place.rounded(.up)
        case "round_prefer_ceil": (place + 0.5).rounded(.down)
        default: (place - 0.5).rounded(.up)
        }
      places.append(Dim(min(max(Int(whole), 0), length - 1)))
    }
    let indices = Value(sizes: places, shape: [count]).settled
    return try apply(.gather, [x, indices], ["axis": .int(step.axis)])
  }

  /// A whole multiple of a size that is not known yet: each element several times.
  private func repeated(_ x: Value, _ step: Step) throws -> Value {
    let mode =
      node.op == "Upsample" || opset < 11 ? "asymmetric" : string("coordinate_transformation_mode", "half_pixel")
    let rounding = string("nearest_mode", mode == "asymmetric" ? "floor" : "round_prefer_floor")
    guard let count = Int(exactly: step.scale), count > 0,
      mode == "asymmetric" && rounding == "floor" || mode == "half_pixel" && rounding.hasPrefix("round")
    else { throw ImportProblem("the size \(step.size) is not known, and --dim may settle it") }
    var shape = x.shape
    shape.insert(1, at: step.axis + 1)
    let wide = try reshape(x, shape)
    let all = try apply(.concat, [Value](repeating: wide, count: count), ["axis": .int(step.axis + 1)])
    var result = x.shape
    result[step.axis] = step.result
    return try reshape(all, result)
  }

  /// Neighbours of a place with their weights: two by distance, or four by a cubic.
  private func taps(_ place: Double, _ length: Int) -> [(place: Int, weight: Double)] {
    let below = place.rounded(.down)
    let t = place - below
    var taps: [(place: Int, weight: Double)]
    if string("mode", "nearest") == "linear" {
      taps = [(Int(below), 1 - t), (Int(below) + 1, t)]
    } else {
      let a = float("cubic_coeff_a", -0.75)
      func near(_ x: Double) -> Double { ((a + 2) * x - (a + 3)) * x * x + 1 }
      func far(_ x: Double) -> Double { ((x - 5) * x + 8) * x * a - 4 * a }
      let weights = [far(t + 1), near(t), near(1 - t), far(2 - t)]
      taps = weights.enumerated().map { (Int(below) - 1 + $0.offset, $0.element) }
    }
    if flag("exclude_outside") {
      taps = taps.map { (0..<length).contains($0.place) ? $0 : ($0.place, 0) }
      let sum = taps.reduce(0) { $0 + $1.weight }
      taps = taps.map { ($0.place, $0.weight / sum) }
    }
    return taps.map { (min(max($0.place, 0), length - 1), $0.weight) }
  }

  private func requireTable(_ count: Int) throws {
    guard (1...Value.foldLimit).contains(count) else {
      throw ImportProblem("its result has \(count) places along an axis")
    }
  }

  private func interpolated(_ x: Value, _ step: Step) throws -> Value {
    guard let length = step.size.constant, let count = step.result.constant else {
      throw ImportProblem("the size \(step.size) is not known, and --dim may settle it")
    }
    try requireTable(count)
    let x = named(x)
    let rows = try (0..<count).map { index in
      let place = try source(index, step, length, count)
      guard place.magnitude < 1e9 else { throw ImportProblem("its scale is \(step.scale)") }
      return taps(place, length)
    }
    let shape = [count] + [Int](repeating: 1, count: x.rank - 1 - step.axis)
    var total: Value?
    for number in 0..<(rows.first?.count ?? 0) {
      let places = rows.map { Dim($0[number].place) }
      let values = try apply(.gather, [x, Value(sizes: places, shape: [count]).settled], ["axis": .int(step.axis)])
      guard let weight = Constant(name: "", x.element, rows.map { $0[number].weight }, shape: shape) else {
        throw ImportProblem("tensors of \(x.element.name) are not interpolated")
      }
      let part = try mul(values, Value(weight.with(name: "\(node.outputs[0])_weight")))
      total = try total.map { try add($0, part) } ?? part
    }
    return total ?? x
  }
}
