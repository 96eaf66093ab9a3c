import LTMIR

// Operators that read by index, order and search.

extension OperatorTable {
  static let indexing: [String: OperatorRow] = [
    "Gather": .one { call throws in
      let x = try call.input(0)
      let axis = try call.axis(call.int("axis", 0), rank: x.rank)
      let given = try call.input(1)
      // Rows of a table are read as they are asked for: an index outside is said when the model runs.
      if axis == 0, x.isKnown, x.rank == 2, !given.isKnown, given.dtype == .i64 || given.dtype == .i32 {
        return try call.apply(.gather, [x, given], ["axis": .int(axis)])
      }
      let indices = try call.fromFront(given, x.shape[axis])
      if !x.isKnown, let place = indices.sizes?.first, indices.rank == 0 {
        return try call.element(of: x, axis, place)
      }
      return try call.apply(.gather, [x, indices], ["axis": .int(axis)])
    },
    "GatherElements": .one { call throws in
      let x = try call.input(0)
      let axis = try call.axis(call.int("axis", 0), rank: x.rank)
      let indices = try call.fromFront(try call.input(1), x.shape[axis])
      guard indices.rank == x.rank else { throw ImportProblem("its indices are \(shapeText(indices.shape))") }
      var cut = x
      for other in 0..<x.rank where other != axis {
        cut = try call.slice(cut, axis: other, from: 0, to: indices.shape[other])
      }
      return try call.apply(.takeAlongAxis, [cut, indices], ["axis": .int(axis)])
    },
    "GatherND": .one { call throws in try call.gatherND() },
    "ScatterND": .one { call throws in try call.scatterND() },
    "ScatterElements": .one { call throws in try call.scatterElements() },
    "Scatter": .one { call throws in try call.scatterElements() },
    "OneHot": .one { call throws in try call.oneHot() },
    "ReverseSequence": .one { call throws in try call.reverseSequence() },
    "Trilu": .one { call throws in
      let x = try call.input(0)
      let k = Double(try call.integers(1, "k")?.first ?? 0)
      guard x.rank >= 2 else { throw ImportProblem("its operand has no rows and columns") }
      let shape = Array(x.shape.suffix(2))
      let rows = try call.add(try call.iota(shape, axis: 0), k)
      let columns = try call.iota(shape, axis: 1)
      let keeps = try call.apply(call.flag("upper", true) ? .greaterEqual : .lessEqual, [columns, rows])
      return try call.choose(keeps, x, call.number(0, like: x))
    },
    "EyeLike": .one { call throws in
      let x = try call.input(0)
      let element = call.int("dtype").flatMap { ElementType(rawValue: Int32(clamping: $0)) } ?? x.element
      guard x.rank == 2 else { throw ImportProblem("its operand is no matrix") }
      let rows = try call.add(try call.iota(x.shape, axis: 0), Double(call.int("k", 0)))
      return try call.cast(try call.apply(.equal, [try call.iota(x.shape, axis: 1), rows]), element)
    },
    "Compress": .one { call throws in
      var x = try call.input(0)
      guard let kept = try call.integers(1, "condition") else { throw ImportProblem("operand 1 is missing") }
      if call.int("axis") == nil { x = try call.reshape(x, [try call.product(x.shape)]) }
      let places = kept.indices.filter { kept[$0] != 0 }
      guard !places.isEmpty else { throw ImportProblem("nothing is kept, and a dimension is 1 or more") }
      let indices = Value(sizes: places.map { Dim($0) }, shape: [places.count]).settled
      return try call.apply(.gather, [x, indices], ["axis": .int(try call.axis(call.int("axis", 0), rank: x.rank))])
    },
  ]

  static let selections: [String: OperatorRow] = [
    "ArgMax": .one { call throws in try call.place(.argmax) },
    "ArgMin": .one { call throws in try call.place(.argmin) },
    "TopK": OperatorRow { call throws in
      let x = try call.input(0)
      guard let k = try call.int("k") ?? call.integers(1, "k")?.first else { throw ImportProblem("'k' is missing") }
      let axis = try call.axis(call.int("axis", -1), rank: x.rank)
      let largest = call.flag("largest", true)
      let indices = call.named(
        try call.apply(
          .argsort, [x], ["axis": .int(axis), "descending": .bool(largest), "count": .int(k)], element: .int32))
      let values = try call.apply(.takeAlongAxis, [x, indices], ["axis": .int(axis)])
      return [values, try call.cast(indices, .int64)]
    },
    "CumSum": .one { call throws in
      let x = call.named(try call.input(0))
      let axis = try call.axis(try call.integers(1, "axis")?.first ?? 0, rank: x.rank)
      let sum = try call.apply(
        .cumsum, [x], ["axis": .int(axis), "reversed": .bool(call.flag("reverse"))], element: x.element)
      return call.flag("exclusive") ? try call.sub(sum, x) : sum
    },
    "Hardmax": .one { call throws in
      let x = try call.input(0)
      let axis = try call.axis(call.int("axis", call.opset < 13 ? 1 : -1), rank: x.rank)
      let best = try call.apply(.argmax, [x], ["axis": .int(axis), "keep": .bool(true)])
      return try call.cast(try call.apply(.equal, [try call.iota(x.shape, axis: axis, .int32), best]), x.element)
    },
  ]
}

extension NodeCall {
  /// Indices counted from the front: those that are known, or the others by a comparison.
  func fromFront(_ indices: Value, _ size: Dim) throws -> Value {
    if let known = indices.sizes, let shape = indices.staticShape {
      let moved = known.compactMap { ($0.constant ?? 0) < 0 ? $0.adding(size) : $0 }
      guard moved.count == known.count else { throw ImportProblem("an index overflows") }
      let indices = Value(sizes: moved, shape: shape, indices.element).settled
      guard size.constant.map({ size in moved.allSatisfy { ($0.constant ?? 0) < size } }) ?? true else {
        throw ImportProblem("an index lies outside of an axis of \(size)")
      }
      return indices
    }
    // Positions that a model computes are seldom negative, but no rule of ONNX says so.
    if builder.counts(indices) { return indices }
    let indices = named(try indices.dtype == .i64 || indices.dtype == .i32 ? indices : cast(indices, .int64))
    let moved = try add(indices, Value(sizes: [size], shape: [], indices.element).settled)
    return try choose(try compare(.less, indices, 0), moved, indices)
  }

  /// `x[..<, 0]`
  fileprivate func element(of x: Value, _ axis: Int, _ place: Dim) throws -> Value {
    var shape = x.shape
    shape.remove(at: axis)
    let parts = [Expression.Part](repeating: .all, count: axis) + [.index(.size(place))]
    return Value(TensorType(x.dtype, shape), x.element, .expression(.part(try builder.expression(x), parts)))
  }

  fileprivate func place(_ op: Op) throws -> Value {
    let x = try input(0)
    let axis = try axis(int("axis", 0), rank: x.rank)
    let attributes: Attributes = ["axis": .int(axis), "keep": .bool(flag("keepdims", true))]
    guard flag("select_last_index") else { return try cast(try apply(op, [x], attributes), .int64) }
    let fromEnd = try apply(op, [try reversed(x, axis: axis)], attributes)
    let last = Value(sizes: [try dim(x.shape[axis].subtracting(1))], shape: []).settled
    return try sub(last, try cast(fromEnd, .int64))
  }

  fileprivate func oneHot() throws -> Value {
    guard let depth = try sizes(1, "depth")?.first ?? number(1, "depth").flatMap({ Int(exactly: $0).map { Dim($0) } })
    else {
      throw ImportProblem("'depth' is missing")
    }
    let values = try input(2)
    let indices = try cast(try input(0), .int64)
    let rank = indices.rank + 1
    let axis = try axis(int("axis", -1), rank: rank)
    var shape = [Dim](repeating: 1, count: rank)
    shape[axis] = depth
    let classes = try reshape(try iota([depth], axis: 0), shape)
    var wide = indices.shape
    wide.insert(1, at: axis)
    let spread = named(try reshape(indices, wide))
    let depthValue = Value(sizes: [depth], shape: []).settled
    let labels = try choose(try compare(.less, spread, 0), try add(spread, depthValue), spread)
    let off = try reshape(try slice(values, axis: 0, from: 0, to: 1), [])
    let on = try reshape(try slice(values, axis: 0, from: 1, to: 2), [])
    return try choose(try apply(.equal, [labels, classes]), on, off)
  }

  /// Rows are read from the leading axes made one.
  fileprivate func gatherND() throws -> Value {
    let (x, indices) = (try input(0), named(try input(1)))
    let batch = int("batch_dims", 0)
    guard let depth = indices.shape.last?.constant, batch >= 0, batch + depth <= x.rank, batch < indices.rank else {
      throw ImportProblem("its indices are \(shapeText(indices.shape)) for \(shapeText(x.shape))")
    }
    let place = named(try flatPlace(indices, Array(x.shape[batch..<batch + depth])))
    let rest = Array(x.shape[(batch + depth)...])
    let rows = try product(x.shape[batch..<batch + depth])
    let outer = Array(indices.shape.dropLast())
    guard batch > 0 else {
      return try apply(.gather, [try reshape(x, [rows] + rest), place], ["axis": .int(0)])
    }
    // Each index of the batch has rows of its own.
    let count = try product(x.shape[..<batch])
    var lead = [Dim](repeating: 1, count: outer.count)
    for axis in 0..<batch { lead[axis] = x.shape[axis] }
    let numbers = try mul(
      try iota([count], axis: 0, place.element), Value(sizes: [rows], shape: [], place.element).settled)
    let flat = try add(try reshape(numbers, lead), place)
    return try apply(.gather, [try reshape(x, [try product([count, rows])] + rest), flat], ["axis": .int(0)])
  }

  /// Indices of several axes, the last dimension of a tensor, as one index into these axes made one.
  private func flatPlace(_ indices: Value, _ axes: [Dim]) throws -> Value {
    var total: Value?
    for (number, size) in axes.enumerated() {
      let one = try slice(indices, axis: indices.rank - 1, from: Dim(number), to: Dim(number + 1))
      let column = try fromFront(try reshape(one, Array(indices.shape.dropLast())), size)
      let scale = Value(sizes: [try product(axes[(number + 1)...])], shape: [], column.element).settled
      let step = scale.uniform == 1 ? column : try mul(column, scale)
      total = try total.map { total throws in try add(total, step) } ?? step
    }
    guard let total else { throw ImportProblem("its indices have no axis") }
    return total
  }

  fileprivate func scatterND() throws -> Value {
    let (x, indices, updates) = (named(try input(0)), named(try input(1)), try input(2))
    guard let depth = indices.shape.last?.constant, depth <= x.rank else {
      throw ImportProblem("its indices are \(shapeText(indices.shape)) for \(shapeText(x.shape))")
    }
    let rest = Array(x.shape[depth...])
    let count = try product(indices.shape.dropLast())
    let place = named(try reshape(try flatPlace(indices, Array(x.shape[..<depth])), [count]))
    let rows = [try product(x.shape[..<depth])] + rest
    return try reshape(try scatter(try reshape(updates, [count] + rest), at: place, of: try reshape(x, rows)), x.shape)
  }

  /// Each index with its place on the other axes, as a place among all elements.
  fileprivate func scatterElements() throws -> Value {
    let (x, indices) = (named(try input(0)), try input(1))
    let axis = try axis(int("axis", 0), rank: x.rank)
    guard indices.rank == x.rank else { throw ImportProblem("its indices are \(shapeText(indices.shape))") }
    var total: Value?
    for other in 0..<x.rank {
      let scale = Value(sizes: [try product(x.shape[(other + 1)...])], shape: [], .int64).settled
      let column =
        other == axis
        ? try cast(try fromFront(indices, x.shape[axis]), .int64) : try iota(indices.shape, axis: other)
      let step = scale.uniform == 1 ? column : try mul(column, scale)
      total = try total.map { try add($0, step) } ?? step
    }
    guard let total else { throw ImportProblem("its operand has no axis") }
    let count = try product(indices.shape)
    let all = [try product(x.shape)]
    let flat = try scatter(
      try reshape(try input(2), [count]), at: named(try reshape(total, [count])), of: try reshape(x, all))
    return try reshape(flat, x.shape)
  }

  /// Rows put in place of others, or added to them. What is written over is taken away: the new rows are added to zeros, and
  /// chosen where one of them is.
  private func scatter(_ new: Value, at place: Value, of data: Value) throws -> Value {
    let reduction = string("reduction", "none")
    guard reduction == "none" || reduction == "add", data.dtype != .bool else {
      throw ImportProblem("scattering by '\(reduction.shownSafely)' is not imported")
    }
    if reduction == "add" { return try apply(.scatterAdd, [data, place, new], ["axis": .int(0)]) }
    let rows = data.shape
    let added = try apply(.scatterAdd, [try full(rows, 0, like: data), place, new], ["axis": .int(0)])
    let ones = try full(place.shape, 1, like: data)
    let counts = try apply(.scatterAdd, [try full([rows[0]], 0, like: data), place, ones], ["axis": .int(0)])
    let seen = try reshape(counts, [rows[0]] + rows.dropFirst().map { _ in 1 })
    return try choose(try compare(.greater, seen, 0), added, data)
  }

  fileprivate func reverseSequence() throws -> Value {
    let x = try input(0)
    let (time, batch) = (int("time_axis", 0), int("batch_axis", 1))
    guard x.rank >= 2, Set([time, batch]) == [0, 1] else { throw ImportProblem("its axes are \(time) and \(batch)") }
    let shape = Array(x.shape[..<2])
    let lengths = named(try reshape(try cast(try input(1), .int64), batch == 1 ? [1, shape[1]] : [shape[0], 1]))
    let step = named(try iota(shape, axis: time))
    let back = try sub(try sub(lengths, step), 1)
    let place = try choose(try apply(.less, [step, lengths]), back, step)
    var wide = place
    for axis in 2..<x.rank {
      wide = try reshape(wide, wide.shape + [1])
      wide = try broadcast(wide, to: Array(x.shape[...axis]))
    }
    return try apply(.takeAlongAxis, [x, wide], ["axis": .int(time)])
  }
}
