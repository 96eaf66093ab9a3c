import LTMIR

// Sampling at places that a grid gives: the corners around a place, weighed, each a row that is gathered.

extension OperatorTable {
  static let sampling: [String: OperatorRow] = [
    "GridSample": .one(since: 16) { call throws in try call.gridSample() }
  ]
}

extension NodeCall {
  fileprivate func gridSample() throws -> Value {
    let (x, grid) = (try input(0), named(try input(1)))
    let rank = x.rank - 2
    guard (1...3).contains(rank), grid.rank == rank + 2, grid.shape[grid.rank - 1] == Dim(rank) else {
      throw ImportProblem("its operands are \(shapeText(x.shape)) and \(shapeText(grid.shape))")
    }
    let sizes = x.shape[2...].compactMap(\.constant)
    guard sizes.count == rank else { throw ImportProblem("its sizes are not known; --dim may settle them") }
    let mode = string("mode", "linear").replacingBi
    var axes: [[(place: Value, weight: Value?)]] = []
    for axis in 0..<rank {
      // The last axis comes first in a grid.
      let one = try slice(grid, axis: grid.rank - 1, from: Dim(rank - 1 - axis), to: Dim(rank - axis))
      let place = try located(try reshape(one, Array(grid.shape.dropLast())), sizes[axis], isNearest: mode == "nearest")
      axes.append(try corners(place, mode))
    }
    return try gathered(x, grid, sizes, axes)
  }

  /// Where a number from -1 to 1 lies among the elements, and what is done with one beyond them.
  private func located(_ x: Value, _ size: Int, isNearest: Bool) throws -> Value {
    let isAligned = flag("align_corners")
    let scaled =
      isAligned
      ? try mul(try add(x, 1), Double(size - 1) / 2)
      : try mul(try sub(try mul(try add(x, 1), Double(size)), 1), 0.5)
    let place = isNearest ? try unary(.round, scaled) : scaled
    switch string("padding_mode", "zeros") {
    case "border": return named(try within(place, 0, Double(size - 1)))
    case "reflection": return named(try reflected(named(place), size, isAligned))
    default: return named(place)
    }
  }

  private func within(_ x: Value, _ low: Double, _ high: Double) throws -> Value {
    try apply(.minimum, [try apply(.maximum, [x, number(low, like: x)]), number(high, like: x)])
  }

  /// Back and forth between the borders.
  private func reflected(_ x: Value, _ size: Int, _ isAligned: Bool) throws -> Value {
    let (low, width) = isAligned ? (0, Double(size - 1)) : (-0.5, Double(size))
    if width == 0 { return try mul(x, 0) }
    let away = named(try unary(.abs, try sub(x, low)))
    let turns = try unary(.floor, try div(away, 2 * width))
    let rest = named(try sub(away, try mul(turns, 2 * width)))
    let back = try apply(.minimum, [rest, try sub(number(2 * width, like: rest), rest)])
    return try add(back, low)
  }

  /// The elements around a place, with the weight of each.
  private func corners(_ place: Value, _ mode: String) throws -> [(place: Value, weight: Value?)] {
    if mode == "nearest" { return [(place, nil)] }
    let below = named(try unary(.floor, place))
    let t = named(try sub(place, below))
    if mode == "linear" {
      return [(below, try sub(number(1, like: t), t)), (named(try add(below, 1)), t)].map { ($0.0, named($0.1)) }
    }
    let a = -0.75
    func near(_ x: Value) throws -> Value {
      let cubic = try sub(try mul(x, a + 2), a + 3)
      return named(try add(try mul(try mul(cubic, x), x), 1))
    }
    func far(_ x: Value) throws -> Value {
      let cubic = try add(try mul(try sub(x, 5), x), 8)
      return named(try sub(try mul(try mul(cubic, x), a), 4 * a))
    }
    let rest = named(try sub(number(1, like: t), t))
    let weights = [try far(named(try add(t, 1))), try near(t), try near(rest), try far(named(try add(rest, 1)))]
    return try weights.enumerated().map { (named(try add(below, Double($0.offset - 1))), $0.element) }
  }

  private func gathered(
    _ x: Value, _ grid: Value, _ sizes: [Int], _ axes: [[(place: Value, weight: Value?)]]
  ) throws -> Value {
    let rank = sizes.count
    let (batch, channels) = (x.shape[0], x.shape[1])
    let inner = sizes.reduce(1, *)
    let order = [0] + Array(2..<rank + 2) + [1]
    let rows = named(try reshape(try transpose(x, order), [try product([batch, Dim(inner)]), channels]))
    let lead = [batch] + [Dim](repeating: 1, count: rank)
    let first = try mul(try reshape(try iota([batch], axis: 0), lead), Double(inner))
    var total: Value?
    var choice = [Int](repeating: 0, count: rank)
    while true {
      var (place, weight): (Value, Value?) = (first, nil)
      for axis in 0..<rank {
        let corner = axes[axis][choice[axis]]
        let (index, share) = try element(corner.place, sizes[axis])
        place = try add(place, try mul(index, Double(sizes[(axis + 1)...].reduce(1, *))))
        for part in [corner.weight, share].compactMap({ $0 }) { weight = try weight.map { try mul($0, part) } ?? part }
      }
      var values = try apply(.gather, [rows, place], ["axis": .int(0)])
      if let weight { values = try mul(values, try reshape(weight, weight.shape + [1])) }
      total = named(try total.map { try add($0, values) } ?? values)
      guard let axis = choice.indices.last(where: { choice[$0] + 1 < axes[$0].count }) else { break }
      choice[axis] += 1
      for later in choice.indices where later > axis { choice[later] = 0 }
    }
    guard let total else { throw ImportProblem("it samples nothing") }
    return try transpose(total, [0, rank + 1] + Array(1...rank))
  }

  /// The element of a place, and 0 or 1 for whether there is one, where that counts.
  private func element(_ place: Value, _ size: Int) throws -> (index: Value, share: Value?) {
    let last = Double(size - 1)
    switch string("padding_mode", "zeros") {
    case "zeros":
      let inside = try apply(.and, [try compare(.greaterEqual, place, 0), try compare(.lessEqual, place, last)])
      return (try cast(try within(place, 0, last), .int64), try cast(inside, place.element))
    case "reflection":
      let back = try reflected(place, size, flag("align_corners"))
      return (try cast(try within(try unary(.round, back), 0, last), .int64), nil)
    default: return (try cast(try within(place, 0, last), .int64), nil)
    }
  }
}

extension String {
  /// What opset 16 called `bilinear` and `bicubic`.
  fileprivate var replacingBi: String { hasPrefix("bi") ? String(dropFirst(2)) : self }
}
