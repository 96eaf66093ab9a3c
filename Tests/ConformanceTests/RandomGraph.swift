import LTMIR
import OpCases
import TestSupport

/// A legal graph made by chance, with its inputs: elementwise work, views, reductions, products, indices, updates.
///
/// In an exact graph every value is a whole number that bf16 holds, so that every right compilation gives the same bits. In
/// a smooth one values are of the size of 1, and no op is steep.
struct RandomGraph {
  enum Kind: String, CaseIterable, Sendable {
    case exact, smooth
  }
  let kind: Kind
  let dtypes: [DType]
  private(set) var inputs: [String: Tensor] = [:]
  private var random: SeededGenerator
  private var b: GraphBuilder
  private var values: [ValueID] = []
  private static let sizes = [1, 2, 3, 4, 5, 8, 9, 16, 17]
  private static let elementLimit = 3000
  /// Sums of so many clamped numbers are exact in bf16.
  private static let sumLimit = 60

  var graph: Graph { b.graph }

  init(seed: UInt64, _ kind: Kind, dtypes: [DType]) {
    self.kind = kind
    self.dtypes = dtypes
    random = SeededGenerator(seed: seed)
    b = GraphBuilder(name: "random\(seed)")
    addInputs()
    let count = Int.random(in: 6..<22, using: &random)
    for _ in 0..<count { if let value = try? node() { values.append(value) } }
    addOutputs()
    fillInputs()
  }

  // MARK: Choices

  private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
  private mutating func pick<T>(_ choices: [T]) -> T { choices[Int.random(in: 0..<choices.count, using: &random)] }
  /// Later values more often, so that graphs are deep.
  private mutating func pickValue() -> ValueID { chance(50) ? pick(Array(values.suffix(4))) : pick(values) }
  private func shape(_ value: ValueID) -> [Int] { b.type(value).staticShape ?? [] }
  private func count(_ shape: [Int]) -> Int { shape.reduce(1, *) }
  private func dims(_ shape: [Int]) -> Attribute { .dims(shape.map { Dim($0) }) }

  // MARK: Ends

  private mutating func addInputs() {
    // Few sizes, so that shapes meet.
    let sizes = [pick(Self.sizes), pick(Self.sizes), pick(Self.sizes)]
    for index in 0..<4 {
      let rank = Int.random(in: 1...3, using: &random)
      let shape = (0..<rank).map { _ in Dim(pick(sizes)) }
      values.append(b.input("x\(index)", TensorType(pick(dtypes), shape), role: .argument))
    }
  }

  private mutating func addOutputs() {
    var targets = b.graph.inputs.filter { b.type($0.value).dtype.isFloating }
    for (index, value) in (values.suffix(3) + [pick(values)]).enumerated() {
      let target = targets.firstIndex { b.type($0.value) == b.type(value) }
      if let target, chance(60) {
        b.output("y\(index)", value, updates: targets.remove(at: target).name)
      } else {
        b.output("y\(index)", value)
      }
    }
  }

  private mutating func fillInputs() {
    for input in b.graph.inputs {
      let type = b.type(input.value)
      let shape = type.staticShape ?? []
      let numbers: [Double] = (0..<count(shape)).map { _ in
        if !type.dtype.isFloating { return Double(Int.random(in: -1...12, using: &random)) }
        return kind == .exact
          ? Double(Int.random(in: -4...4, using: &random)) : Double.random(in: -1...1, using: &random)
      }
      inputs[input.name] = Tensor(numbers, shape: shape, dtype: type.dtype)
    }
  }

  // MARK: Nodes

  private mutating func node() throws -> ValueID {
    let x = pickValue()
    switch Int.random(in: 0..<20, using: &random) {
    case 0, 1, 2: return try unary(x)
    case 3, 4, 5, 6: return try binary(x)
    case 7: return b.cast(x, to: pick(dtypes))
    case 8, 9: return try view(x)
    case 10, 11: return try part(x)
    case 12, 13, 14: return try reduction(x)
    case 15, 16: return try product(x)
    case 17: return try indexed(x)
    case 18: return try row(x)
    default: return try choice(x)
    }
  }

  /// Back to a number that later ops can take.
  private mutating func tame(_ value: ValueID) -> ValueID {
    guard kind == .exact else { return b.make(.tanh, [value]) }
    let low = b.make(.maximum, [value, b.fill(-4, like: value)])
    return b.make(.minimum, [low, b.fill(4, like: value)])
  }

  private mutating func unary(_ x: ValueID) throws -> ValueID {
    let exact: [Op] = [.neg, .abs, .sign, .relu, .floor, .round]
    let smooth: [Op] = [.neg, .abs, .relu, .tanh, .sigmoid, .sin, .cos, .erf, .gelu, .silu]
    return b.make(pick(kind == .exact ? exact : smooth), [x])
  }

  private mutating func binary(_ x: ValueID) throws -> ValueID {
    let y = partner(x)
    if chance(40) { return b.make(pick([.minimum, .maximum]), [x, y]) }
    let value = b.make(pick([.add, .sub, .mul]), [x, y])
    return kind == .exact ? tame(value) : b.scale(value, by: 0.5)
  }

  /// A value of the type of `x`: one there is, one that can be broadcast, or a number.
  private mutating func partner(_ x: ValueID) -> ValueID {
    let shape = shape(x)
    let fitting = values.filter { value in
      let other = self.shape(value)
      return other.count <= shape.count && zip(other.reversed(), shape.reversed()).allSatisfy { $0 == $1 || $0 == 1 }
    }
    guard !fitting.isEmpty, !chance(15) else { return b.fill(kind == .exact ? pick([-2, 0, 3]) : 0.3, like: x) }
    let y = b.cast(pick(fitting), to: b.type(x).dtype)
    return b.broadcast(y, to: b.type(x).shape)
  }

  private mutating func view(_ x: ValueID) throws -> ValueID {
    let shape = shape(x)
    switch Int.random(in: 0..<3, using: &random) {
    case 0:
      return try b.apply(.transpose, [x], ["permutation": .ints(Array(shape.indices).shuffled(using: &random))])
    case 1:
      let total = count(shape)
      let divisors = (1...total).filter { total % $0 == 0 }
      let first = pick(divisors)
      return try b.apply(.reshape, [x], ["shape": dims(chance(30) ? [total] : [first, total / first])])
    default:
      let size = pick([2, 3])
      guard count(shape) * size <= Self.elementLimit, shape.count < 4 else { return x }
      let axis = Int.random(in: 0...shape.count, using: &random)
      let axes = shape.indices.map { $0 < axis ? $0 : $0 + 1 }
      return try b.apply(
        .broadcast, [x], ["shape": dims(shape[..<axis] + [size] + shape[axis...]), "axes": .ints(axes)])
    }
  }

  private mutating func part(_ x: ValueID) throws -> ValueID {
    let shape = shape(x)
    guard !shape.isEmpty else { return x }
    let axis = Int.random(in: 0..<shape.count, using: &random)
    switch Int.random(in: 0..<3, using: &random) {
    case 0:
      let start = Int.random(in: 0..<shape[axis], using: &random)
      let limit = Int.random(in: start + 1...shape[axis], using: &random)
      return try b.apply(
        .slice, [x],
        ["axis": .int(axis), "start": .dim(Dim(start)), "limit": .dim(Dim(limit)), "stride": .int(pick([1, 1, 2, 3]))])
    case 1:
      guard count(shape) * 3 <= Self.elementLimit else { return x }
      return try b.apply(
        .pad, [x],
        [
          "axis": .int(axis), "low": .int(pick([0, 1, 3])), "high": .int(pick([0, 2])), "value": .float(pick([0, 1])),
        ])
    default:
      let fitting = values.filter { value in
        let other = self.shape(value)
        return b.type(value).dtype == b.type(x).dtype && other.count == shape.count
          && other.indices.allSatisfy { $0 == axis || other[$0] == shape[$0] }
      }
      guard count(shape) * 4 <= Self.elementLimit else { return x }
      return try b.apply(.concat, [x, pick(fitting + [x])], ["axis": .int(axis)])
    }
  }

  private mutating func reduction(_ x: ValueID) throws -> ValueID {
    let shape = shape(x)
    let axes = shape.indices.filter { _ in chance(50) }
    guard !axes.isEmpty else { return x }
    let keep = chance(40)
    let attributes: Attributes = ["axes": .ints(axes), "keep": .bool(keep)]
    let length = axes.reduce(1) { $0 * shape[$1] }
    let result: ValueID
    if chance(40) || kind == .exact && length > Self.sumLimit {
      result = try b.apply(pick([.max, .min]), [x], attributes)
    } else {
      let value = try b.apply(kind == .exact ? .sum : .mean, [x], attributes)
      result = kind == .exact ? tame(value) : value
    }
    // Often back to where it came from, as in a softmax.
    guard chance(50) else { return result }
    let kept = shape.indices.filter { keep || !axes.contains($0) }
    let spread = try b.apply(.broadcast, [result], ["shape": dims(shape), "axes": .ints(kept)])
    return kind == .exact ? tame(b.sub(x, spread)) : b.scale(b.sub(x, spread), by: 0.5)
  }

  private mutating func product(_ x: ValueID) throws -> ValueID {
    let left = shape(x)
    var choices: [(ValueID, Int, Int)] = []
    for y in values where b.type(y).dtype == b.type(x).dtype {
      let right = shape(y)
      for i in left.indices {
        for j in right.indices where left[i] == right[j] && left[i] <= 16 {
          let size = count(left) / left[i] * (count(right) / right[j])
          if size <= Self.elementLimit, left.count + right.count <= 6 { choices.append((y, i, j)) }
        }
      }
    }
    guard !choices.isEmpty else { return x }
    let (y, i, j) = pick(choices)
    let value = try b.apply(
      .contract, [x, y],
      ["lhs_batch": .ints([]), "rhs_batch": .ints([]), "lhs_contract": .ints([i]), "rhs_contract": .ints([j])])
    return kind == .exact ? tame(value) : b.scale(value, by: 1 / Double(left[i]))
  }

  private mutating func indices(_ shape: [Int]) -> ValueID {
    b.input("i\(b.graph.inputs.count)", TensorType(.i32, shape.map { Dim($0) }), role: .argument)
  }

  private mutating func indexed(_ x: ValueID) throws -> ValueID {
    let shape = shape(x)
    guard !shape.isEmpty else { return x }
    let axis = Int.random(in: 0..<shape.count, using: &random)
    guard count(shape) / shape[axis] * 7 <= Self.elementLimit else { return x }
    let index: ValueID
    if chance(30) {
      let top = try b.apply(pick([.argmax, .argmin]), [x], ["axis": .int(axis), "keep": .bool(false)])
      guard kind == .exact else { return x }
      index = try b.apply(.reshape, [top], ["shape": dims([count(self.shape(top))])])
      guard count(shape) / shape[axis] * count(self.shape(index)) <= Self.elementLimit else {
        return b.cast(top, to: b.type(x).dtype)
      }
    } else {
      index = indices(chance(30) ? [2, 3] : [pick([1, 5, 7])])
    }
    let picked = try b.apply(.gather, [x, index], ["axis": .int(axis)])
    guard chance(50) else { return picked }
    return tame(try b.apply(.scatterAdd, [x, index, picked], ["axis": .int(axis)]))
  }

  private mutating func row(_ x: ValueID) throws -> ValueID {
    let shape = shape(x)
    guard let size = shape.last, kind == .smooth else { return try reduction(x) }
    switch Int.random(in: 0..<3, using: &random) {
    case 0: return try b.apply(.softmax, [x], ["axis": .int(Int.random(in: 0..<shape.count, using: &random))])
    case 1: return try b.apply(.logsumexp, [x], ["axes": .ints([shape.count - 1]), "keep": .bool(true)])
    default:
      let weight = b.constant(1, TensorType(b.type(x).dtype, [Dim(size)]))
      return try b.apply(.rmsNorm, [x, weight], ["eps": .float(0.5)])
    }
  }

  /// A choice that is continuous in a smooth graph.
  private mutating func choice(_ x: ValueID) throws -> ValueID {
    let y = partner(x)
    let condition = b.make(kind == .exact ? pick([.less, .equal, .notEqual, .greaterEqual]) : .less, [x, y])
    return kind == .exact && chance(50) ? b.select(condition, y, b.neg(x)) : b.select(condition, x, y)
  }
}
