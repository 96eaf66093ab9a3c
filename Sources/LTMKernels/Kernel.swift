import LTMIR
import LTMSupport

// A kernel is one launch: a domain, statements that run at each of its points, and nothing about pointers, threads or
// vectors. The same kernel is lowered to x86, to AArch64 and to PTX. Its text form:
//
//     kernel @fc1(%0 x: f16[64, 256] read, %1 w: f16[128, 256] read, %2 b: f16[128] read, %3 y: f16[64, 128] write) {
//       domain m: 64, n: 128
//       axis k: 256
//       %acc: f32 = contract k { x[m, k], w[n, k] }                     // samples/digits.ltm:7:12
//       y[m, n] = maximum(add(%acc, b[n]), 0)
//     }
//     kernel @softmax(%0 x: f16[64, 10] read, %1 y: f16[64, 10] write) {
//       domain r: 64
//       axis k: 10
//       %max: f32 = reduce maximum k { x[r, k] }
//       scratch %e[k]: f32 = exp(sub(x[r, k], %max))
//       %sum: f32 = reduce add k { %e[] }
//       for k {
//         y[r, k] = div(%e[], %sum)
//       }
//     }
//
// What is used twice has a name: `let $0 = ...`. A guarded load is `guarded(x[m-1], m-1 < 5, else 0)`, a loaded index
// `w[{%i}, n]`. A domain without axes is `domain []`. At a point, loads see memory as it was before the point's stores.
//
// What a contraction gives can be reduced on the way, over axes of the domain: the gradient of a bias, of what is stored.
//
//     kernel @bias(%0 g: f16[64, 10] read, %1 w: f16[10, 128] read, %2 y: f16[64, 128] write, %3 b: f16[128] write) {
//       domain m: 64, n: 128
//       axis k: 10
//       %acc: f32 = contract k { g[m, k], w[k, n] }
//       y[m, n] = %acc
//       b[n] = epilogue add m { round_f16(%acc) }
//     }
//
// A line along an axis can be summed up to each place, or put in order (`order` gives the indices):
//
//     y[m, k] = prefix add k { x[m, k] }          y[m, k] = prefix add reversed k { x[m, k] }
//     y[m, k] = order ascending k { x[m, k] }     y[m, j] = order descending k to j { x[m, k] }
//
// A part of a buffer is written at a place known at run time; the rest stays. `around` counts places modulo the dimension:
//
//     y[m, at {start[m]} n, k] = x[m, n, k]       y[m, around {start[m]} n, k] = x[m, n, k]
//
// Scalars are f32, f64, i32, i64 or bool, never half: a load from a half buffer widens, a store to one narrows (to nearest
// even), and `round` narrows and widens again: that is what a cast in the graph becomes. So no accumulator can be half.

/// An axis of a kernel: an index into `Kernel.axes`.
package struct AxisID: Hashable, Sendable {
  package let index: Int
  package init(_ index: Int) { self.index = index }
}

/// An operand of a kernel: an index into `Kernel.buffers`, which is also its place in the launch's argument list.
package struct BufferID: Hashable, Sendable {
  package let index: Int
  package init(_ index: Int) { self.index = index }
}

/// A scalar expression: an index into `Kernel.expressions`. Operands come before their users.
package struct ScalarID: Hashable, Sendable {
  package let index: Int
  package init(_ index: Int) { self.index = index }
}

/// A value bound at a point of the domain by a reduction or a contraction: an index into `Kernel.locals`.
package struct LocalID: Hashable, Sendable {
  package let index: Int
  package init(_ index: Int) { self.index = index }
}

/// A loop variable.
package struct KernelAxis: Hashable, Sendable {
  package var name: String
  package var extent: Int
  package init(name: String, extent: Int) {
    self.name = name
    self.extent = extent
  }
}

/// A memory operand: contiguous, row-major. The shape is this launch's view: any shape with the buffer's element count.
package struct KernelBuffer: Hashable, Sendable {
  package enum Access: String, Hashable, Sendable, CaseIterable {
    case read, write, readWrite = "read_write"
    /// Read, and the same at every launch: what is made of it alone may be kept.
    case constant
    package var writes: Bool { self == .write || self == .readWrite }
  }
  package var name: String
  package var dtype: DType
  package var shape: [Int]
  /// `readWrite`: the same point of the domain reads, then writes, the same element (in-place update); or a part is written.
  package var access: Access
  /// Whether it starts where vectors may; else, as some row of a larger buffer, only where its elements may.
  package var isAligned: Bool
  package init(name: String, dtype: DType, shape: [Int], access: Access, isAligned: Bool = true) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.access = access
    self.isAligned = isAligned
  }
}

/// The index along one dimension of a buffer.
package enum KernelIndex: Hashable, Sendable {
  /// `sum of axis * stride + offset`
  case affine(Affine)
  /// An i32 or i64 scalar (gather). Out-of-range values are clamped by the emitter; the runtime checks data before.
  case loaded(ScalarID)
}

/// An integer-linear form over axes.
package struct Affine: Hashable, Sendable {
  package struct Term: Hashable, Sendable {
    package var axis: AxisID
    package var stride: Int
    package init(_ axis: AxisID, _ stride: Int = 1) {
      self.axis = axis
      self.stride = stride
    }
  }
  /// One term an axis, no zero strides, in axis order.
  package var terms: [Term]
  package var offset: Int
  package init(_ terms: [Term], offset: Int = 0) {
    self.terms = terms
    self.offset = offset
  }
  package init(axis: AxisID) { self.init([Term(axis)]) }
  package init(constant: Int) { self.init([], offset: constant) }
}

/// A condition under which a load happens: `0 <= form < limit`. Padding, concatenation and convolution's edges.
package struct KernelGuard: Hashable, Sendable {
  package var form: Affine
  package var limit: Int
  package init(_ form: Affine, limit: Int) {
    self.form = form
    self.limit = limit
  }
}

/// A scalar computation at one point.
package enum ScalarExpr: Hashable, Sendable {
  case constant(Double, DType)
  /// The index along an axis, as i32.
  case axis(AxisID)
  /// An element, widened to its accumulator's dtype. Where a guard fails, `otherwise`.
  case load(BufferID, [KernelIndex], guards: [KernelGuard], otherwise: Double)
  /// What a reduction or a contraction bound.
  case local(LocalID)
  /// The element of a row scratch at the current value of its axis.
  case scratch(LocalID)
  /// One primitive; its operands have the dtype that the primitive needs, the result has this one.
  case apply(Primitive, [ScalarID], DType)
  /// Between scalar dtypes: i32 to f32, bool to f32 (0 or 1), f32 to i32 (toward zero, saturating), f32 to f64...
  case convert(ScalarID, DType)
  /// Narrows to a half (or f64 to f32) and widens again: a cast's rounding, never folded away. Of an integer, rounded once to
  /// a half, an f32.
  case round(ScalarID, DType)
}

/// A name for what a statement computes.
package struct KernelLocal: Hashable, Sendable {
  package var name: String
  package var dtype: DType
  package init(name: String, dtype: DType) {
    self.name = name
    self.dtype = dtype
  }
}

/// What a kernel does at each point of its domain, in order. Expressions outside any inner axis belong to the point.
package enum KernelStatement: Hashable, Sendable {
  /// `local = combine over axes of value`, in the local's dtype, in a fixed order that depends on shapes only.
  case reduce(LocalID, Combiner, over: [AxisID], value: ScalarID)
  /// `local` (i32) = the first index along the axis whose value is greatest (least); a NaN wins.
  case argReduce(LocalID, Combiner, over: AxisID, value: ScalarID)
  /// `local = sum over axes of lhs * rhs`, accumulated in the local's dtype: f32, or f64. The form that tiles and tensor
  /// cores implement. `lhs` and `rhs` are loads, or short scalar bodies over loads (a prologue), each of which depends on the contracted
  /// axes and some of the domain's.
  case contract(LocalID, over: [AxisID], lhs: ScalarID, rhs: ScalarID)
  /// A row kept at hand: one element for each value of the axis, computed once.
  case scratch(LocalID, over: AxisID, value: ScalarID)
  /// Writes inside an inner axis.
  case loop(over: [AxisID], stores: [KernelStore])
  /// A write at the point.
  case store(KernelStore)
  /// A write for each point of the domain's other axes: `value` combined over these, in its own dtype, in a fixed order that
  /// depends on shapes only. Stands in a kernel of one contraction and stores; nothing in the kernel reads it.
  case epilogue(KernelStore, Combiner, over: [AxisID])
  /// An attention's results. Stands alone.
  case attention(KernelAttention)
  /// A write of a line along the inner axis `to`, each element of which may depend on all values along `over`: the same axis,
  /// or a shorter one for the first of what comes out. Stands alone.
  case line(KernelStore, LineOp, over: AxisID, to: AxisID)
}

/// A write of one element, narrowed to the buffer's dtype. The map from points to elements is one to one.
package struct KernelStore: Hashable, Sendable {
  /// How far all of a store lies along one dimension: a scalar that is known at run time.
  package struct Shift: Hashable, Sendable {
    package var dimension: Int
    /// An i32 or i64. What would lead outside is clamped by the emitter.
    package var by: ScalarID
    /// Whether places count modulo the dimension, and nothing leads outside.
    package var wraps: Bool
    package init(dimension: Int, by: ScalarID, wraps: Bool) {
      self.dimension = dimension
      self.by = by
      self.wraps = wraps
    }
  }
  package var buffer: BufferID
  package var index: [Affine]
  package var value: ScalarID
  /// Where a part of the buffer is written, and the rest stays.
  package var shift: Shift?
  package init(_ buffer: BufferID, _ index: [Affine], _ value: ScalarID, shift: Shift? = nil) {
    self.buffer = buffer
    self.index = index
    self.value = value
    self.shift = shift
  }

  /// The expressions that it evaluates.
  package var roots: [ScalarID] { [value] + (shift.map { [$0.by] } ?? []) }
}

/// One launch.
package struct Kernel: Hashable, Sendable {
  package var name: String
  package var buffers: [KernelBuffer]
  /// The domain's axes first, in loop order (outermost first), then inner axes.
  package var axes: [KernelAxis]
  /// How many of `axes` are the domain's. Every point of the domain may run at the same time as any other.
  package var domainRank: Int
  package var expressions: [ScalarExpr]
  package var locals: [KernelLocal]
  package var body: [KernelStatement]
  /// Where its ops came from, in graph order: for reports, debug info and profiles; no part of its identity.
  package var locations: [Location]
  /// For each expression, the one of `locations` that it computes; empty where that is not known, as in a kernel that was
  /// read from text.
  package var origins: [Int?]

  package init(name: String) {
    self.name = name
    buffers = []
    axes = []
    domainRank = 0
    expressions = []
    locals = []
    body = []
    locations = []
    origins = []
  }

  package subscript(id: ScalarID) -> ScalarExpr { expressions[id.index] }
  package subscript(id: AxisID) -> KernelAxis { axes[id.index] }
  package subscript(id: BufferID) -> KernelBuffer { buffers[id.index] }
  package subscript(id: LocalID) -> KernelLocal { locals[id.index] }

  /// The place in the source that an expression computes.
  package func location(of id: ScalarID) -> Location? {
    guard origins.indices.contains(id.index), let place = origins[id.index] else { return locations.first }
    return locations[place]
  }

  /// The place in the source that a statement computes: of what it binds, else of what it stores.
  package func location(of statement: KernelStatement) -> Location? {
    let bound = statement.definition.flatMap { local in
      expressions.firstIndex(of: .local(local)) ?? expressions.firstIndex(of: .scratch(local))
    }
    return (bound.map { ScalarID($0) } ?? statement.roots.first).flatMap(location)
  }

  /// The dtype of a scalar expression.
  package func dtype(_ id: ScalarID) -> DType { id.dtype(in: expressions, buffers, locals) }
}

extension ScalarID {
  /// The dtype of this expression among those of a kernel, which may still be growing.
  package func dtype(in expressions: [ScalarExpr], _ buffers: [KernelBuffer], _ locals: [KernelLocal]) -> DType {
    switch expressions[index] {
    case .constant(_, let dtype), .apply(_, _, let dtype), .convert(_, let dtype): dtype
    case .axis: .i32
    case .load(let buffer, _, _, _): buffers[buffer.index].dtype.loaded
    case .local(let local), .scratch(let local): locals[local.index].dtype
    case .round(let operand, _):
      operand.dtype(in: expressions, buffers, locals).isFloating
        ? operand.dtype(in: expressions, buffers, locals) : .f32
    }
  }
}
