import LTMIR
import LTMKernels

/// Why a set of nodes is no kernel.
enum EmissionFailure: Error {
  /// This expanded node has to be in memory: its reader asks for it at an index that is not affine.
  case needsBuffer(Int)
  /// The nodes are no one kernel.
  case notFusible(FusionObstacle)
}

/// The element of a value that an expression asks for: the index of a point under some shape with the value's size.
struct Place: Hashable {
  var shape: [Int]
  var index: [KernelIndex]
  /// Conditions under which the element exists.
  var guards: [KernelGuard] = []

  /// The index when no part of it is loaded.
  var affine: [Affine]? {
    var forms: [Affine] = []
    for part in index {
      guard case .affine(let form) = part else { return nil }
      forms.append(form)
    }
    return forms
  }

  /// The position in row-major memory, by which places under different shapes compare.
  func flat(_ axes: [KernelAxis]) -> Affine? {
    affine.flatMap { flatten($0, shape: shape) }?.droppingUnitAxes(axes)
  }
}

/// The iteration space that the nodes of a kernel share: a domain, and for each shape that is reduced, its inner axes.
struct KernelSpace {
  /// Where a node's value lives: one for each point of the domain, or one for each element of a reduced shape.
  enum Level: Hashable { case domain, full(Int) }
  struct Inner {
    /// The shape that is reduced.
    let shape: [Int]
    let reduced: [Int]
    let axes: [AxisID]
    let place: Place
    var isTrailing: Bool { reduced == Array(shape.count - reduced.count..<shape.count) }
    var extent: Int { reduced.reduce(1) { $0 * shape[$1] } }
    var count: Int { shape.reduce(1, *) }
  }
  let domain: [Int]
  private(set) var inners: [Inner] = []
  private(set) var axes: [KernelAxis]
  var domainCount: Int { domain.reduce(1, *) }
  var domainPlace: Place { Place(shape: domain, index: domain.indices.map { .affine(Affine(axis: AxisID($0))) }) }

  init(domain: [Int]) {
    self.domain = domain
    axes = domain.enumerated().map { KernelAxis(name: domainName($0.offset, of: domain.count), extent: $0.element) }
  }

  mutating func addAxis(_ extent: Int) -> AxisID {
    let inner = axes.count - domain.count
    axes.append(KernelAxis(name: inner == 0 ? "k" : "k\(inner)", extent: extent))
    return AxisID(axes.count - 1)
  }

  /// The inner space of a reduction over `reduced` of `shape`; equal ones are shared.
  mutating func inner(_ shape: [Int], _ reduced: [Int]) throws(EmissionFailure) -> Int {
    let extents = reduced.map { shape[$0] }
    let isTrailing = reduced == Array(shape.count - reduced.count..<shape.count)
    if let known = inners.firstIndex(where: {
      $0.shape == shape && $0.reduced == reduced
        || isTrailing && $0.isTrailing && $0.extent == extents.reduce(1, *) && $0.count == shape.reduce(1, *)
    }) {
      return known
    }
    let outer = shape.indices.filter { !reduced.contains($0) }
    guard let flat = domainPlace.flat(axes), outer.reduce(1, { $0 * shape[$1] }) == domainCount,
      let outerIndex = unflatten(flat, shape: outer.map { shape[$0] }, axes: axes)
    else { throw .notFusible(.domain) }
    let own = extents.map { addAxis($0) }
    var index = [KernelIndex](repeating: .affine(.zero), count: shape.count)
    for (dim, form) in zip(outer, outerIndex) { index[dim] = .affine(form) }
    for (dim, axis) in zip(reduced, own) { index[dim] = .affine(Affine(axis: axis)) }
    inners.append(Inner(shape: shape, reduced: reduced, axes: own, place: Place(shape: shape, index: index)))
    return inners.count - 1
  }

  func level(count: Int) throws(EmissionFailure) -> Level {
    if count == domainCount { return .domain }
    guard let inner = inners.firstIndex(where: { $0.count == count }) else { throw .notFusible(.sizes) }
    return .full(inner)
  }

  func place(_ level: Level) -> Place {
    switch level {
    case .domain: domainPlace
    case .full(let inner): inners[inner].place
    }
  }
}

private func domainName(_ index: Int, of rank: Int) -> String {
  let usual = ["m", "n"]
  return rank <= 2 ? usual[index + 2 - max(rank, rank == 1 ? 1 : 2)] : "d\(index)"
}
