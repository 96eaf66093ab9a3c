import Foundation
import LTMIR
import LTMKernels

/// Evaluates a kernel point by point in f64, rounding at stores and casts: slow and obvious.
struct Judge {
  let kernel: Kernel
  var buffers: [[Double]]
  private var locals: [Int: Double] = [:]
  private var pending: [(buffer: Int, place: Int, value: Double)] = []
  private var rows: [Int: [Double]] = [:]
  /// What folds have combined, by buffer and place.
  private var folded: [Int: [Int: Double]] = [:]
  private var axes: [Int]
  /// For each load, its place as strides of the axes; a debug build is slow enough without recomputing them.
  private let places: [(strides: [Int], offset: Int)]

  init(_ kernel: Kernel, _ buffers: [[Double]]) {
    self.kernel = kernel
    self.buffers = buffers
    axes = [Int](repeating: 0, count: kernel.axes.count)
    places = kernel.expressions.map { expression in
      var place = (strides: [Int](repeating: 0, count: kernel.axes.count), offset: 0)
      guard case .load(let buffer, let index, _, _) = expression else { return place }
      var step = 1
      for (part, size) in zip(index, kernel[buffer].shape).reversed() {
        if case .affine(let form) = part {
          form.terms.forEach { place.strides[$0.axis.index] += step * $0.stride }
          place.offset += step * form.offset
        }
        step *= size
      }
      return place
    }
  }

  /// The buffers after the launch.
  static func run(_ kernel: Kernel, _ buffers: [[Double]]) -> [[Double]] {
    var judge = Judge(kernel, buffers)
    judge.each(Array(0..<kernel.domainRank)) { judge in
      for statement in kernel.body { judge.execute(statement) }
      judge.flush()
    }
    for (buffer, values) in judge.folded {
      for (place, value) in values { judge.buffers[buffer][place] = kernel.buffers[buffer].dtype.round(value) }
    }
    return judge.buffers
  }

  private mutating func each(_ over: [Int], _ body: (inout Judge) -> Void) {
    guard let axis = over.first else { return body(&self) }
    for i in 0..<kernel.axes[axis].extent {
      axes[axis] = i
      each(Array(over.dropFirst()), body)
    }
  }

  private mutating func flush() {
    for (buffer, place, value) in pending { buffers[buffer][place] = kernel.buffers[buffer].dtype.round(value) }
    pending = []
  }

  private mutating func execute(_ statement: KernelStatement) {
    switch statement {
    case .store(let store):
      // Writes of one point wait for each other: each reads what was there before.
      pending.append((store.buffer.index, offset(store.buffer, store.index.map { form($0) }), value(store.value)))
    case .fold(let store, let combiner, _):
      let (place, next) = (offset(store.buffer, store.index.map { form($0) }), value(store.value))
      let held = folded[store.buffer.index, default: [:]][place]
      folded[store.buffer.index, default: [:]][place] = held.map { combine(combiner, $0, next) } ?? next
    case .loop(let over, let stores): each(over.map(\.index)) { $0.write(stores) }
    case .reduce(let local, let combiner, let over, let value):
      var sum: Double?
      each(over.map(\.index)) { judge in
        let next = judge.value(value)
        sum = sum.map { judge.combine(combiner, $0, next) } ?? next
      }
      locals[local.index] = sum ?? combiner.identity
    case .contract(let local, let over, let lhs, let rhs):
      var sum = 0.0
      if let inner = over.last?.index, let a = plainLoad(lhs), let b = plainLoad(rhs) {
        each(over.dropLast().map(\.index)) { sum += $0.dot(a, b, inner) }
      } else {
        each(over.map(\.index)) { sum += $0.value(lhs) * $0.value(rhs) }
      }
      locals[local.index] = sum
    case .argReduce(let local, let combiner, let over, let value):
      var best: (Double, Int)?
      each([over.index]) { judge in
        let next = judge.value(value)
        guard let (held, _) = best else { return best = (next, 0) }
        let wins = combiner == .maximum ? next > held : next < held
        if wins || (next.isNaN && !held.isNaN) { best = (next, judge.axes[over.index]) }
      }
      locals[local.index] = Double(best?.1 ?? 0)
    case .scratch(let local, let over, let value):
      var row: [Double] = []
      each([over.index]) { row.append($0.value(value)) }
      rows[local.index] = row
    }
  }

  /// A load of nothing but axes: its buffer and its expression.
  private func plainLoad(_ id: ScalarID) -> (buffer: Int, expression: Int)? {
    guard case .load(let buffer, let index, let guards, _) = kernel[id], guards.isEmpty,
      index.allSatisfy({ if case .affine = $0 { true } else { false } })
    else { return nil }
    return (buffer.index, id.index)
  }

  private mutating func dot(_ a: (buffer: Int, expression: Int), _ b: (buffer: Int, expression: Int), _ inner: Int)
    -> Double
  {
    axes[inner] = 0
    var (i, j) = (place(a.expression), place(b.expression))
    let (di, dj) = (places[a.expression].strides[inner], places[b.expression].strides[inner])
    return buffers[a.buffer].withUnsafeBufferPointer { x in
      buffers[b.buffer].withUnsafeBufferPointer { y in
        var sum = 0.0
        var left = kernel.axes[inner].extent
        while left > 0 {
          sum += x[i] * y[j]
          i += di
          j += dj
          left -= 1
        }
        return sum
      }
    }
  }

  private func place(_ expression: Int) -> Int {
    var sum = places[expression].offset
    for axis in axes.indices { sum += axes[axis] * places[expression].strides[axis] }
    return sum
  }

  private mutating func write(_ stores: [KernelStore]) {
    let values = stores.map { value($0.value) }
    for (store, value) in zip(stores, values) {
      let place = offset(store.buffer, store.index.map { form($0) })
      buffers[store.buffer.index][place] = kernel[store.buffer].dtype.round(value)
    }
  }

  private func combine(_ combiner: Combiner, _ a: Double, _ b: Double) -> Double {
    switch combiner {
    case .add: a + b
    case .multiply: a * b
    case .maximum: a.isNaN || a > b ? a : b
    case .minimum: a.isNaN || a < b ? a : b
    case .and: a != 0 && b != 0 ? 1 : 0
    case .or: a != 0 || b != 0 ? 1 : 0
    }
  }

  private func form(_ form: Affine) -> Int { form.terms.reduce(form.offset) { $0 + axes[$1.axis.index] * $1.stride } }

  private func offset(_ buffer: BufferID, _ index: [Int]) -> Int {
    zip(kernel[buffer].shape, index).reduce(0) { $0 * $1.0 + $1.1 }
  }

  private func value(_ id: ScalarID) -> Double {
    switch kernel[id] {
    case .constant(let value, let dtype): return dtype.round(value)
    case .axis(let axis): return Double(axes[axis.index])
    case .load(let buffer, let index, let guards, let otherwise):
      guard guards.allSatisfy({ 0..<$0.limit ~= form($0.form) }) else { return otherwise }
      var place = place(id.index)
      for (dimension, part) in index.enumerated() {
        guard case .loaded(let id) = part else { continue }
        let step = kernel[buffer].shape[(dimension + 1)...].reduce(1, *)
        place += step * max(0, min(kernel[buffer].shape[dimension] - 1, Int(value(id))))
      }
      return buffers[buffer.index][place]
    case .local(let local): return locals[local.index] ?? .nan
    case .scratch(let local):
      guard
        case .scratch(_, let over, _)? = kernel.body.first(where: {
          if case .scratch(local, _, _) = $0 { true } else { false }
        })
      else { return .nan }
      return rows[local.index]?[axes[over.index]] ?? .nan
    case .apply(let primitive, let operands, _): return primitive.judge(operands.map { value($0) })
    case .convert(let operand, let dtype), .round(let operand, let dtype): return dtype.round(value(operand))
    }
  }
}

extension Primitive {
  /// The primitive in f64.
  func judge(_ x: [Double]) -> Double {
    func bit(_ value: Bool) -> Double { value ? 1 : 0 }
    return switch self {
    case .neg: -x[0]
    case .abs: x[0].magnitude
    case .sqrt: x[0].squareRoot()
    case .exp: Foundation.exp(x[0])
    case .log: Foundation.log(x[0])
    case .sin: Foundation.sin(x[0])
    case .cos: Foundation.cos(x[0])
    case .tanh: Foundation.tanh(x[0])
    case .erf: Foundation.erf(x[0])
    case .expm1: Foundation.expm1(x[0])
    case .log1p: Foundation.log1p(x[0])
    case .floor: x[0].rounded(.down)
    case .ceil: x[0].rounded(.up)
    case .round: x[0].rounded(.toNearestOrEven)
    case .isFinite: bit(x[0].isFinite)
    case .not: bit(x[0] == 0)
    case .add: x[0] + x[1]
    case .sub: x[0] - x[1]
    case .mul: x[0] * x[1]
    case .div: x[0] / x[1]
    case .pow: Foundation.pow(x[0], x[1])
    case .minimum: x[0].isNaN || x[0] < x[1] ? x[0] : x[1]
    case .maximum: x[0].isNaN || x[0] > x[1] ? x[0] : x[1]
    case .equal: bit(x[0] == x[1])
    case .notEqual: bit(x[0] != x[1])
    case .less: bit(x[0] < x[1])
    case .lessEqual: bit(x[0] <= x[1])
    case .greater: bit(x[0] > x[1])
    case .greaterEqual: bit(x[0] >= x[1])
    case .and: bit(x[0] != 0 && x[1] != 0)
    case .or: bit(x[0] != 0 || x[1] != 0)
    case .select: x[0] != 0 ? x[1] : x[2]
    }
  }
}
