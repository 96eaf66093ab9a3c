import LTMIR

// Parts of an axis: from a place on, with steps, backwards.

extension NodeCall {
  func sliced() throws -> Value {
    var x = try input(0)
    let starts = try ints("starts")?.map { Dim($0) } ?? sizes(1, "starts") ?? []
    let ends = try ints("ends")?.map { Dim($0) } ?? sizes(2, "ends") ?? []
    let axes = try axes(try ints("axes", orInput: 3) ?? Array(starts.indices), rank: x.rank)
    let steps = try integers(4, "steps") ?? [Int](repeating: 1, count: starts.count)
    guard starts.count == ends.count, axes.count == starts.count, steps.count == starts.count else {
      throw ImportProblem("its starts, ends, axes and steps differ in number")
    }
    for (index, axis) in axes.enumerated() {
      let (start, limit) = (starts[index], ends[index])
      x =
        steps[index] == 1
        ? try plainSlice(x, axis, start, limit) : try stepped(x, axis, start, limit, steps[index])
    }
    return x
  }

  private func plainSlice(_ x: Value, _ axis: Int, _ start: Dim, _ end: Dim) throws -> Value {
    let size = x.shape[axis]
    let (low, high) = (try place(start, in: size), try place(end, in: size))
    if high.sign(against: low).map({ $0 <= 0 }) ?? false { return try empty(x, axis, low, high) }
    return try slice(x, axis: axis, from: low, to: high)
  }

  /// No elements: what is joined with others, or is a shape of nothing, goes on; a model that reads it is not imported.
  private func empty(_ x: Value, _ axis: Int, _ low: Dim, _ high: Dim) throws -> Value {
    var shape = x.shape
    shape[axis] = 0
    if x.rank == 1, x.sizes != nil { return Value(sizes: [], shape: [0], x.element).settled }
    guard let numbers = Value(sizes: shape, shape: [shape.count]).integers,
      let constant = Constant(name: "", x.element, [], shape: numbers)
    else { throw ImportProblem("the slice \(low)..<\(high) is empty, and a dimension is 1 or more") }
    return Value(constant)
  }

  /// A place on an axis: from the end where it is negative, and no further than the axis goes. Where a symbolic size leaves that
  /// open, the number stands.
  private func place(_ index: Dim, in size: Dim) throws -> Dim {
    guard let number = index.constant else {
      if let length = size.constant, index.sign(against: Dim(length)).map({ $0 > 0 }) ?? false { return size }
      return index
    }
    if let length = size.constant { return Dim(clamped(number, length)) }
    // Exporters say "to the end" by a large number.
    if number >= 1 << 20 { return size }
    if number <= -(1 << 20) { return 0 }
    return number < 0 ? try dim(size.adding(index)) : index
  }

  /// Every so many elements, or backwards: rows picked by their index.
  private func stepped(
    _ x: Value, _ axis: Int, _ start: Dim, _ end: Dim, _ step: Int
  ) throws -> Value {
    guard step != 0 else { throw ImportProblem("its step is 0") }
    let size = x.shape[axis]
    if step == -1, start == -1 || (start.constant ?? 0) >= Int(Int32.max),
      (end.constant ?? 0) <= -Int(Int32.max) || end == size.multiplied(by: -1)?.subtracting(1)
    {
      return try reversed(x, axis: axis)
    }
    guard let length = size.constant, let first = start.constant, let last = end.constant else {
      throw ImportProblem("steps of \(step) along an axis of \(size) are not imported; --dim may settle the size")
    }
    let low = step > 0 ? clamped(first, length) : min(max(first < 0 ? first + length : first, -1), length - 1)
    let high = step > 0 ? clamped(last, length) : max(last < 0 ? last + length : last, -1)
    let span = step > 0 ? min(high, length) - low : low - high
    guard span > 0 else { return try empty(x, axis, Dim(low), Dim(high)) }
    let count = (span - 1) / Int(clamping: step.magnitude) + 1
    return try picked(x, axis: axis, first: Dim(low), step: count == 1 ? 1 : step, count: Dim(count))
  }

  func reversed(_ x: Value, axis: Int) throws -> Value {
    let last = try dim(x.shape[axis].subtracting(1))
    return try picked(x, axis: axis, first: last, step: -1, count: x.shape[axis])
  }

  /// `count` elements of an axis from one on, each `step` further.
  func picked(
    _ x: Value, axis: Int, first: Dim, step: Int, count: Dim
  ) throws -> Value {
    if step == 1 { return try slice(x, axis: axis, from: first, to: try dim(first.adding(count))) }
    var places = try iota([count], axis: 0)
    if step == -1 {
      places = try sub(Value(sizes: [first], shape: []).settled, places)
    } else {
      if step != 1 { places = try mul(places, Double(step)) }
      if first != 0 { places = try add(Value(sizes: [first], shape: []).settled, places) }
    }
    return try apply(.gather, [x, places], ["axis": .int(axis)])
  }
}
