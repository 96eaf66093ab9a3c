import LTMIR
import LTMKernels

// The value of one node at a place, from its operands at the places that its index map gives.

extension KernelBuilder {
  mutating func expand(_ node: Int, at place: Place) throws(EmissionFailure) -> ScalarID {
    let operands = lowered.nodes[node].operands.map(\.index)
    let type = lowered.nodes[node].type
    switch lowered.kinds[node] {
    case .constant(let value):
      return pool.add(.constant(type.dtype.round(value), type.dtype.loaded))
    case .elementwise(let primitive):
      var values: [ScalarID] = []
      for operand in operands {
        let wide = try value(operand, at: place)
        let dtype = lowered.nodes[operand].type.dtype
        values.append(dtype.isHalf && primitive.decides ? rounded(wide, to: dtype) : wide)
      }
      return pool.add(.apply(primitive, values, type.dtype.loaded))
    case .cast(let rounds):
      let operand = try value(operands[0], at: place)
      let from = lowered.nodes[operands[0]].type.dtype
      if !rounds, from.loaded == .f32, type.dtype.loaded == .f32 { return operand }
      return cast(operand, from: from, to: type.dtype)
    case .identity, .reshape:
      return try value(operands[0], at: place)
    case .iota(let axis):
      return try iota(node, axis, at: place)
    case .broadcast, .transpose, .slice, .pad, .window, .concat, .gather:
      return try expandView(node, at: place)
    case .foldKey(let stream): return try foldedKey(node, stream, at: place)
    case .randomBits(let form): return try randomBits(node, form, at: place)
    case .input, .scatterAdd, .writeAt, .reduce, .argReduce, .contract, .line, .attention, .body, .result, .collective:
      throw .needsBuffer(node)
    }
  }

  private mutating func expandView(_ node: Int, at place: Place) throws(EmissionFailure) -> ScalarID {
    let operands = lowered.nodes[node].operands.map(\.index)
    let shape = lowered.shapes[operands[0]]
    if case .broadcast = lowered.kinds[node], lowered.counts[operands[0]] == 1 {
      let zeros = [KernelIndex](repeating: .affine(.zero), count: shape.count)
      return try value(operands[0], at: Place(shape: shape, index: zeros, guards: place.guards))
    }
    var own = try ownPlace(node, place)
    switch lowered.kinds[node] {
    case .broadcast(let axes):
      let index = axes.enumerated().map { shape[$0.offset] == 1 ? .affine(.zero) : own.index[$0.element] }
      return try value(operands[0], at: Place(shape: shape, index: index, guards: own.guards))
    case .transpose(let permutation):
      var index = own.index
      for (axis, source) in permutation.enumerated() { index[source] = own.index[axis] }
      return try value(operands[0], at: Place(shape: shape, index: index, guards: own.guards))
    case .slice(let axis, let start, let stride):
      let form = try affine(own, axis, node).scaled(by: stride)?.adding(Affine(constant: start))
      own.index[axis] = .affine(try required(form))
      return try value(operands[0], at: Place(shape: shape, index: own.index, guards: own.guards))
    case .pad(let axis, let low, let number):
      return try padded(node, axis, low, number, at: own)
    case .window(let axis, let form, let number):
      return try windowed(node, axis, form, number, at: own)
    case .concat(let axis): return try concatenated(node, axis, at: own)
    case .gather(let axis): return try gathered(node, axis, at: own)
    case .input, .constant, .iota, .elementwise, .cast, .identity, .reshape, .scatterAdd, .writeAt, .reduce, .argReduce,
      .contract, .line, .attention, .body, .result, .collective, .foldKey, .randomBits:
      throw .needsBuffer(node)
    }
  }

  /// The place under the node's own shape.
  private func ownPlace(_ node: Int, _ place: Place) throws(EmissionFailure) -> Place {
    let shape = lowered.shapes[node]
    if place.shape == shape { return place }
    guard let flat = place.flat(space.axes), let index = unflatten(flat, shape: shape, axes: space.axes) else {
      throw .needsBuffer(node)
    }
    return Place(shape: shape, index: index.map { .affine($0) }, guards: place.guards)
  }

  private func affine(_ place: Place, _ axis: Int, _ node: Int) throws(EmissionFailure) -> Affine {
    guard case .affine(let form) = place.index[axis] else { throw .needsBuffer(node) }
    return form
  }

  private func required(_ form: Affine?) throws(EmissionFailure) -> Affine {
    guard let form else { throw .notFusible(.index) }
    return form
  }

  // MARK: Index maps with conditions

  private mutating func iota(_ node: Int, _ axis: Int, at place: Place) throws(EmissionFailure) -> ScalarID {
    let type = lowered.nodes[node].type
    let index = try scalar(try affine(try ownPlace(node, place), axis, node))
    return cast(index, from: .i32, to: type.dtype)
  }

  private mutating func padded(
    _ node: Int, _ axis: Int, _ low: Int, _ number: Double, at own: Place
  ) throws(EmissionFailure) -> ScalarID {
    let operand = lowered.nodes[node].operands[0].index
    let shape = lowered.shapes[operand]
    let form = try required(try affine(own, axis, node).adding(Affine(constant: -low)))
    let place = Place(shape: shape, index: own.index.replacing(axis..<axis + 1, form), guards: own.guards)
    return try guarded(operand, KernelGuard(form, limit: shape[axis]), number, at: place)
  }

  private mutating func windowed(
    _ node: Int, _ axis: Int, _ window: WindowForm, _ number: Double, at own: Place
  ) throws(EmissionFailure) -> ScalarID {
    let operand = lowered.nodes[node].operands[0].index
    let shape = lowered.shapes[operand]
    let start = try affine(own, axis, node).scaled(by: window.stride)?.adding(Affine(constant: -window.low))
    let inside = try affine(own, axis + 1, node).scaled(by: window.dilation)
    let form = try required(start.flatMap { start in inside.flatMap(start.adding) })
    let place = Place(shape: shape, index: own.index.replacing(axis..<axis + 2, form), guards: own.guards)
    if let range = form.range(space.axes), range.lowerBound >= 0, range.upperBound < shape[axis] {
      return try value(operand, at: place)
    }
    return try guarded(operand, KernelGuard(form, limit: shape[axis]), number, at: place)
  }

  /// A value where a condition holds, else a number. What guards an element in memory becomes part of its load.
  private mutating func guarded(
    _ operand: Int, _ condition: KernelGuard, _ number: Double, at place: Place
  ) throws(EmissionFailure) -> ScalarID {
    var place = place
    place.guards.append(condition)
    let value = try value(operand, at: place)
    let dtype = lowered.nodes[operand].type.dtype
    let otherwise = dtype.round(number)
    // Guards behind these are of paddings further in, with numbers of their own.
    if case .load(let buffer, let index, let guards, let other) = pool.expressions[value.index],
      guards == place.guards || guards.starts(with: place.guards) && other == otherwise
    {
      return pool.add(.load(buffer, index, guards: guards, otherwise: otherwise))
    }
    let outside = pool.add(.constant(otherwise, dtype.loaded))
    return pool.add(.apply(.select, [try holds(condition), value, outside], dtype.loaded))
  }

  private mutating func concatenated(_ node: Int, _ axis: Int, at own: Place) throws(EmissionFailure) -> ScalarID {
    let dtype = lowered.nodes[node].type.dtype.loaded
    let form = try affine(own, axis, node)
    var start = 0
    var result: ScalarID?
    for operand in lowered.nodes[node].operands.map(\.index) {
      let shape = lowered.shapes[operand]
      let shifted = try required(form.adding(Affine(constant: -start)))
      let condition = KernelGuard(shifted, limit: shape[axis])
      var place = Place(shape: shape, index: own.index, guards: own.guards + [condition])
      place.index[axis] = .affine(shifted)
      let value = try value(operand, at: place)
      result =
        try result.map { (other) throws(EmissionFailure) in
          pool.add(.apply(.select, [try holds(condition), value, other], dtype))
        } ?? value
      start += shape[axis]
    }
    guard let result else { throw .notFusible(.index) }
    return result
  }

  private mutating func gathered(_ node: Int, _ axis: Int, at own: Place) throws(EmissionFailure) -> ScalarID {
    let operands = lowered.nodes[node].operands.map(\.index)
    let (data, indices) = (lowered.shapes[operands[0]], lowered.shapes[operands[1]])
    let picked = Array(own.index[axis..<axis + indices.count])
    let row = try value(operands[1], at: Place(shape: indices, index: picked, guards: own.guards))
    let index = Array(own.index[..<axis]) + [.loaded(row)] + Array(own.index[(axis + indices.count)...])
    return try value(operands[0], at: Place(shape: data, index: index, guards: own.guards))
  }

  /// An index form as an i32.
  mutating func scalar(_ form: Affine) throws(EmissionFailure) -> ScalarID {
    var sum: ScalarID?
    for term in form.terms {
      var part = pool.add(.axis(term.axis))
      if term.stride != 1 {
        part = pool.add(.apply(.mul, [part, pool.add(.constant(Double(term.stride), .i32))], .i32))
      }
      sum = sum.map { pool.add(.apply(.add, [$0, part], .i32)) } ?? part
    }
    let offset = pool.add(.constant(Double(form.offset), .i32))
    guard let sum else { return offset }
    return form.offset == 0 ? sum : pool.add(.apply(.add, [sum, offset], .i32))
  }

  private mutating func holds(_ condition: KernelGuard) throws(EmissionFailure) -> ScalarID {
    let index = try scalar(condition.form)
    let low = pool.add(.apply(.greaterEqual, [index, pool.add(.constant(0, .i32))], .bool))
    let high = pool.add(.apply(.less, [index, pool.add(.constant(Double(condition.limit), .i32))], .bool))
    return pool.add(.apply(.and, [low, high], .bool))
  }

  // MARK: Casts

  /// Rounds where a half enters or leaves: a cast is a barrier.
  mutating func cast(_ value: ScalarID, from: DType, to: DType) -> ScalarID {
    let source = from.isHalf ? rounded(value, to: from) : value
    switch to.format.numbers {
    case .float:
      guard to.isHalf else { return converted(source, to.loaded) }
      if dtype(source) == .f64 { return converted(rounded(source, to: to), .f32) }
      // By way of f32 they would be rounded twice.
      if !from.isFloating, from.format.bits >= 32 { return rounded(source, to: to) }
      return rounded(converted(source, .f32), to: to)
    case .signed, .unsigned:
      let whole = converted(source, to.loaded)
      if to == to.loaded { return whole }
      let limits = to.format.range
      let low = pool.add(.apply(.maximum, [whole, pool.add(.constant(limits.lowerBound, to.loaded))], to.loaded))
      return pool.add(.apply(.minimum, [low, pool.add(.constant(limits.upperBound, to.loaded))], to.loaded))
    case .truth:
      let dtype = dtype(source)
      return dtype == .bool ? source : pool.add(.apply(.notEqual, [source, pool.add(.constant(0, dtype))], .bool))
    }
  }

  private mutating func converted(_ value: ScalarID, _ dtype: DType) -> ScalarID {
    self.dtype(value) == dtype ? value : pool.add(.convert(value, dtype))
  }

  /// The value as `dtype` holds it; what comes from a buffer of that dtype, or was rounded before, is that already. What
  /// stands in for a guarded element need not be.
  mutating func rounded(_ value: ScalarID, to dtype: DType) -> ScalarID {
    switch pool.expressions[value.index] {
    case .load(let buffer, _, let guards, let otherwise)
    where buffers[buffer.index].dtype == dtype && (guards.isEmpty || dtype.round(otherwise) == otherwise):
      value
    case .round(_, dtype): value
    case .constant(let number, let own): pool.add(.constant(dtype.round(number), own.isFloating ? own : .f32))
    case .load, .round, .axis, .local, .scratch, .apply, .convert: pool.add(.round(value, dtype))
    }
  }
}

extension Primitive {
  /// Whether the result tells values apart: then it must see them as they are stored. An f16 that overflows where it is
  /// stored is no longer finite, and equals a stored maximum only once it is rounded like it.
  fileprivate var decides: Bool {
    switch self {
    case .isFinite, .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual: true
    case .neg, .abs, .sqrt, .exp, .log, .sin, .cos, .tanh, .erf, .floor, .ceil, .round, .not, .expm1, .log1p, .log2,
      .timesSigmoid, .timesNormalCDF, .timesGaussian, .add, .sub, .mul, .div, .pow, .minimum, .maximum, .and, .or,
      .bitAnd, .bitOr, .bitXor, .shiftLeft, .shiftRight, .select, .philox, .after:
      false
    }
  }
}

extension [KernelIndex] {
  /// One index in place of those of some axes.
  fileprivate func replacing(_ axes: Range<Int>, _ form: Affine) -> [KernelIndex] {
    self[..<axes.lowerBound] + [.affine(form)] + self[axes.upperBound...]
  }
}
