import Foundation
import LTMIR

/// Computes what is known at import: sizes exactly, with symbolic dimensions in them, and small constants by the op table's own
/// reference.
enum Fold {
  /// The result of an op on values that are all known; `nil` where it is left to the model.
  static func apply(
    _ op: Op, _ operands: [Value], _ attributes: Attributes, _ type: TensorType, _ element: ElementType
  ) -> Value? {
    guard operands.allSatisfy(\.isKnown), let shape = type.staticShape, let count = elementCount(shape),
      count <= Value.foldLimit
    else { return nil }
    // What counts is shorter than its numbers.
    if op == .iota, count > 16 { return nil }
    if !type.dtype.isFloating, let sizes = sizes(op, operands, attributes, type) {
      return Value(sizes: sizes, shape: shape, element).settled
    }
    return constant(op, operands, attributes, type, element)
  }

  // MARK: Constants

  private static func constant(
    _ op: Op, _ operands: [Value], _ attributes: Attributes, _ type: TensorType, _ element: ElementType
  ) -> Value? {
    var references: [Reference] = []
    for operand in operands {
      guard let numbers = operand.numbers, let shape = operand.staticShape else { return nil }
      references.append(Reference(shape: shape, data: numbers))
    }
    guard let result = evaluate(op, operands.map(\.type), references, attributes, type) else { return nil }
    let rounding = type.dtype.stored
    return Constant(name: "", element, result.data.map(rounding.round), shape: result.shape).map { Value($0) }
  }

  private static func evaluate(
    _ op: Op, _ types: [TensorType], _ operands: [Reference], _ attributes: Attributes, _ type: TensorType
  ) -> Reference? {
    let row = op.definition
    guard type.staticShape != nil else { return nil }
    var operands = operands
    if op.isElementwise {
      guard let shape = type.staticShape else { return nil }
      operands = operands.map { spread($0, over: shape) }
    }
    return row.evaluate(operands, row.complete?(types, attributes) ?? attributes, type)
  }

  /// NumPy's broadcasting.
  private static func spread(_ x: Reference, over shape: [Int]) -> Reference {
    if x.shape == shape { return x }
    let axes = x.shape.indices.map { Attribute.int($0 + shape.count - x.shape.count) }
    let places = axes.compactMap { if case .int(let axis) = $0 { axis } else { nil } }
    let type = TensorType(.f64, shape.map { Dim($0) })
    return Op.broadcast.definition.evaluate([x], ["shape": .dims(type.shape), "axes": .ints(places)], type)
  }

  // MARK: Sizes

  /// Integers that may hold dimensions: moved by ops that move, computed by ops that compute.
  private static func sizes(_ op: Op, _ operands: [Value], _ attributes: Attributes, _ type: TensorType) -> [Dim]? {
    switch op {
    case .add, .sub, .mul, .maximum, .minimum, .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual:
      return pairwise(op, operands, type)
    case .neg: return operands[0].sizes.flatMap { all($0) { $0.multiplied(by: -1) } }
    case .cast: return operands[0].dtype.isFloating || type.dtype == .bool ? nil : operands[0].sizes
    case .reshape, .transpose, .slice, .concat, .broadcast, .pad:
      if op == .pad { return nil }
      return moved(op, operands, attributes, type)
    case .gather:
      guard operands[1].integers != nil else { return nil }
      return moved(op, operands, attributes, type)
    case .where: return chosen(operands, type)
    case .prod, .sum: return reduced(op, operands, attributes)
    default: return nil
    }
  }

  private static func all(_ sizes: [Dim], _ body: (Dim) -> Dim?) -> [Dim]? {
    let results = sizes.compactMap(body)
    return results.count == sizes.count ? results : nil
  }

  private static func pairwise(_ op: Op, _ operands: [Value], _ type: TensorType) -> [Dim]? {
    guard let shape = type.staticShape, let a = spreadSizes(operands[0], over: shape),
      let b = spreadSizes(operands[1], over: shape)
    else { return nil }
    let results = zip(a, b).compactMap { combined(op, $0, $1) }
    return results.count == a.count ? results : nil
  }

  private static func spreadSizes(_ value: Value, over shape: [Int]) -> [Dim]? {
    guard let sizes = value.sizes, let own = value.staticShape else { return nil }
    let places = Reference(shape: own, data: sizes.indices.map(Double.init))
    return spread(places, over: shape).data.map { sizes[Int($0)] }
  }

  /// What two sizes make; comparisons give 0 or 1, where the difference decides them. A dimension is 1 or more.
  private static func combined(_ op: Op, _ a: Dim, _ b: Dim) -> Dim? {
    switch op {
    case .add: return a.adding(b)
    case .sub: return a.subtracting(b)
    case .mul: return a.multiplied(by: b)
    case .maximum, .minimum:
      guard let sign = a.sign(against: b) else { return nil }
      return (sign >= 0) == (op == .maximum) ? a : b
    case .equal: return a.sign(against: b).map { $0 == 0 ? 1 : 0 }
    case .notEqual: return a.sign(against: b).map { $0 != 0 ? 1 : 0 }
    case .less: return a.sign(against: b).map { $0 < 0 ? 1 : 0 }
    case .lessEqual: return a.sign(against: b).map { $0 <= 0 ? 1 : 0 }
    case .greater: return a.sign(against: b).map { $0 > 0 ? 1 : 0 }
    case .greaterEqual: return a.sign(against: b).map { $0 >= 0 ? 1 : 0 }
    default: return nil
    }
  }

  /// Ops that move elements are run on the elements' numbers.
  private static func moved(_ op: Op, _ operands: [Value], _ attributes: Attributes, _ type: TensorType) -> [Dim]? {
    var pool: [Dim] = []
    var references: [Reference] = []
    for (index, operand) in operands.enumerated() {
      guard let sizes = operand.sizes, let shape = operand.staticShape else { return nil }
      if op == .gather, index == 1 {
        references.append(Reference(shape: shape, data: operand.numbers ?? []))
      } else {
        references.append(Reference(shape: shape, data: sizes.indices.map { Double($0 + pool.count) }))
        pool += sizes
      }
    }
    guard let result = evaluate(op, operands.map(\.type), references, attributes, type) else { return nil }
    return result.data.map { pool[Int($0)] }
  }

  private static func chosen(_ operands: [Value], _ type: TensorType) -> [Dim]? {
    guard let shape = type.staticShape, let condition = spreadSizes(operands[0], over: shape),
      let a = spreadSizes(operands[1], over: shape), let b = spreadSizes(operands[2], over: shape)
    else { return nil }
    let choices = condition.indices.compactMap {
      condition[$0].constant.map { [index = $0] in $0 != 0 ? a[index] : b[index] }
    }
    return choices.count == condition.count ? choices : nil
  }

  private static func reduced(_ op: Op, _ operands: [Value], _ attributes: Attributes) -> [Dim]? {
    guard operands[0].rank <= 1, attributes.ints("axes")?.count == operands[0].rank, let sizes = operands[0].sizes
    else {
      return nil
    }
    let total = sizes.reduce(Dim?.some(op == .prod ? 1 : 0)) { result, size in
      result.flatMap { op == .prod ? $0.multiplied(by: size) : $0.adding(size) }
    }
    return total.map { [$0] }
  }
}

extension Op {
  /// Whether its operands are spread over one shape: elementwise ops of two operands or more.
  var isElementwise: Bool {
    let row = definition
    guard case .primitive = row.lowering else { return false }
    return row.signature.count >= 2 && row.signature.allSatisfy { $0.kind == .tensor }
  }
}

extension Dim {
  /// The sign of `self - other`, where it is the same for every size of the symbolic dimensions, which are 1 or more.
  func sign(against other: Dim) -> Int? {
    guard let difference = subtracting(other) else { return nil }
    if let number = difference.constant { return number.signum() }
    let ones = Dictionary(uniqueKeysWithValues: difference.symbols.map { ($0, 1) })
    // A sum that grows with every symbol is least where all are 1: one above 0 there is above 0 everywhere.
    guard difference.symbols.allSatisfy({ (difference.line(in: $0)?.slope.constant ?? 0) > 0 }),
      let least = difference.bound(ones)?.constant, least > 0
    else {
      guard difference.symbols.allSatisfy({ (difference.line(in: $0)?.slope.constant ?? 0) < 0 }),
        let most = difference.bound(ones)?.constant, most < 0
      else { return nil }
      return -1
    }
    return 1
  }
}

extension Value {
  /// The same value as a constant, where all of its sizes are numbers.
  var settled: Value {
    guard case .sizes = content, let integers, let shape = staticShape,
      let constant = Constant(name: "", element, integers: integers, shape: shape)
    else { return self }
    return Value(constant)
  }
}
