import LTMIR
import LTMKernels

/// `offset + sum of stride * axis`: a place in memory, or a guard's form. One stride for each axis of the kernel.
package struct LinearForm: Hashable {
  package var strides: [Int]
  package var offset: Int

  package init(axes: Int) {
    strides = [Int](repeating: 0, count: axes)
    offset = 0
  }

  /// Adds `factor` times a form of the kernel.
  package mutating func add(_ form: Affine, times factor: Int) {
    for term in form.terms { strides[term.axis.index] += term.stride * factor }
    offset += form.offset * factor
  }
}

/// An element's place in its buffer, in elements.
package struct FlatAccess: Hashable {
  /// A data-dependent part: an index, clamped to `0..<limit`, times a stride.
  package struct Dynamic: Hashable {
    package var index: ScalarID
    package var stride: Int
    package var limit: Int
  }
  package struct Guard: Hashable {
    package var form: LinearForm
    package var limit: Int
  }
  /// How far a store lies along one dimension, at run time: an index in `0..<starts`, or one that counts modulo the
  /// dimension's size; `form` is the place along the dimension without it.
  package struct Shift: Hashable {
    package var index: ScalarID
    package var form: LinearForm
    package var starts: Int
    package var size: Int
    package var stride: Int
    package var wraps: Bool
  }
  package var buffer: BufferID
  package var form: LinearForm
  package var dynamic: [Dynamic] = []
  package var shift: Shift?
  package var guards: [Guard] = []
  package var otherwise = 0.0

  package func depends(on axis: Int) -> Bool {
    form.strides[axis] != 0 || guards.contains { $0.form.strides[axis] != 0 }
  }
}

/// A kernel with every access as one linear form, and adjacent axes that all accesses walk as one merged into the inner.
package struct FlatKernel {
  /// Expressions, locals and statements; extents of merged axes here are the merged ones.
  package private(set) var kernel: Kernel
  /// For each expression, its access when it is a load.
  package private(set) var loads: [FlatAccess?]
  /// For each statement, the access of each of its stores.
  package private(set) var stores: [[FlatAccess]]
  /// For each statement, the access of what it writes when it is an epilogue reduction.
  package private(set) var epilogueReductions: [FlatAccess?]
  /// The domain's axes that remain, outermost first: no merged ones, none of extent 1.
  package private(set) var domain: [Int]
  /// For each expression, the axes that its value depends on, scratch axes included; the domain's where it reads a local.
  package private(set) var dependencies: [Set<Int>]

  package init(_ kernel: Kernel) {
    self.kernel = kernel
    let axes = kernel.axes.count
    loads = kernel.expressions.map { expression in
      guard case .load(let buffer, let index, let guards, let otherwise) = expression else { return nil }
      var access = Self.access(buffer, index, kernel)
      access.guards = guards.map { condition in
        var form = LinearForm(axes: axes)
        form.add(condition.form, times: 1)
        return FlatAccess.Guard(form: form, limit: condition.limit)
      }
      access.otherwise = otherwise
      return access
    }
    stores = kernel.body.map { statement in
      statement.stores.map { store in
        var access = Self.access(store.buffer, store.index.map(KernelIndex.affine), kernel)
        access.shift = store.shift.map { Self.shift($0, store, kernel) }
        return access
      }
    }
    epilogueReductions = kernel.body.map { statement in
      guard case .epilogue(let store, _, _) = statement else { return nil }
      return Self.access(store.buffer, store.index.map(KernelIndex.affine), kernel)
    }
    domain = (0..<kernel.domainRank).filter { kernel.axes[$0].extent != 1 }
    dependencies = []
    mergeAxes()
    dependencies = findDependencies()
  }

  package func extent(_ axis: Int) -> Int { kernel.axes[axis].extent }

  /// The number of points of some axes.
  package func points(_ axes: some Sequence<Int>) -> Int { axes.reduce(1) { $0 * extent($1) } }

  private static func access(_ buffer: BufferID, _ index: [KernelIndex], _ kernel: Kernel) -> FlatAccess {
    var access = FlatAccess(buffer: buffer, form: LinearForm(axes: kernel.axes.count))
    var stride = 1
    for (dimension, part) in zip(kernel[buffer].shape, index).reversed() {
      switch part {
      case .affine(let form): access.form.add(form, times: stride)
      case .loaded(let id): access.dynamic.append(.init(index: id, stride: stride, limit: dimension))
      }
      stride *= dimension
    }
    return access
  }

  private static func shift(_ shift: KernelStore.Shift, _ store: KernelStore, _ kernel: Kernel) -> FlatAccess.Shift {
    let (shape, own) = (kernel[store.buffer].shape, store.index[shift.dimension])
    var form = LinearForm(axes: kernel.axes.count)
    form.add(own, times: 1)
    let (size, last) = (shape[shift.dimension], own.range(kernel.axes)?.upperBound ?? 0)
    return FlatAccess.Shift(
      index: shift.by, form: form, starts: size - last, size: size,
      stride: shape[(shift.dimension + 1)...].reduce(1, *), wraps: shift.wraps)
  }

  // MARK: Merging

  private mutating func mergeAxes() {
    while let (outer, inner) = mergeablePairs().first(where: { canMerge($0.0, $0.1) }) { merge(outer, inner) }
  }

  private func mergeablePairs() -> [(Int, Int)] {
    var pairs = Array(zip(domain, domain.dropFirst()))
    for statement in kernel.body {
      let over = statement.innerAxes.map(\.index)
      pairs += zip(over, over.dropFirst())
    }
    return pairs
  }

  private func canMerge(_ outer: Int, _ inner: Int) -> Bool {
    let walksAsOne = { (form: LinearForm) in form.strides[outer] == form.strides[inner] * extent(inner) }
    let accesses = loads.compactMap { $0 } + stores.joined() + epilogueReductions.compactMap { $0 }
    guard accesses.allSatisfy({ walksAsOne($0.form) && ($0.shift.map { !$0.wraps || walksAsOne($0.form) } ?? true) }),
      accesses.allSatisfy({ $0.guards.allSatisfy { $0.form.strides[outer] == 0 && $0.form.strides[inner] == 0 } })
    else { return false }
    let namesAxis = kernel.expressions.contains { $0 == .axis(AxisID(outer)) || $0 == .axis(AxisID(inner)) }
    return !namesAxis
      && kernel.body.allSatisfy { statement in
        let reduced = statement.epilogueAxes
        guard reduced.contains(AxisID(outer)) == reduced.contains(AxisID(inner)) else { return false }
        let over = statement.innerAxes.map(\.index)
        guard over.contains(outer) || over.contains(inner) else { return true }
        guard let place = over.firstIndex(of: outer) else { return false }
        return statement.takesSeveralAxes && place + 1 < over.count && over[place + 1] == inner
      }
  }

  private mutating func merge(_ outer: Int, _ inner: Int) {
    kernel.axes[inner].extent *= kernel.axes[outer].extent
    kernel.axes[outer].extent = 1
    domain.removeAll { $0 == outer }
    for index in loads.indices { loads[index]?.form.strides[outer] = 0 }
    for index in stores.indices {
      for store in stores[index].indices {
        stores[index][store].form.strides[outer] = 0
        stores[index][store].shift?.form.strides[outer] = 0
      }
      epilogueReductions[index]?.form.strides[outer] = 0
    }
    kernel.body = kernel.body.map { $0.removing(AxisID(outer)) }
  }

  // MARK: Dependencies

  private func findDependencies() -> [Set<Int>] {
    var found: [Set<Int>] = []
    for (index, expression) in kernel.expressions.enumerated() {
      var axes: Set<Int>
      switch expression {
      case .constant: axes = []
      case .axis(let axis): axes = [axis.index]
      case .local(let local): axes = Set(domain).union(productAxes(local))
      case .scratch(let local): axes = Set(domain).union(scratchAxis(local).map { [$0] } ?? [])
      case .load:
        let access = loads[index]
        axes = Set(kernel.axes.indices.filter { access?.depends(on: $0) ?? false })
        for part in access?.dynamic ?? [] { axes.formUnion(found[part.index.index]) }
      case .apply(_, let operands, _): axes = operands.reduce(into: []) { $0.formUnion(found[$1.index]) }
      case .convert(let operand, _), .round(let operand, _): axes = found[operand.index]
      }
      found.append(axes)
    }
    return found
  }

  /// The inner axes that the product of an attention depends on.
  private func productAxes(_ local: LocalID) -> [Int] {
    guard case .attention(let attention) = kernel.form, attention.product == local else { return [] }
    return [attention.keys.index]
  }

  /// The axis along which a local is kept as a row.
  func scratchAxis(_ local: LocalID) -> Int? { row(local)?.axis }

  /// The axis of a row scratch, and what its elements are.
  func row(_ local: LocalID) -> (axis: Int, value: ScalarID)? {
    for case .scratch(local, let axis, let value) in kernel.body { return (axis.index, value) }
    return nil
  }

  /// Every expression that `roots` need, operands first.
  package func closure(of roots: [ScalarID]) -> [Int] {
    var needed = Set<Int>()
    var pending = roots.map(\.index)
    while let next = pending.popLast() {
      guard needed.insert(next).inserted else { continue }
      pending += operands(next)
    }
    return needed.sorted()
  }

  /// How many loads of the statements over inner axes step over elements where neighbours are those of the inner axes
  /// (rows), and where they are those of the domain's innermost axis (columns).
  package var strayLoads: (rows: Int, columns: Int) {
    var (rows, columns) = (0, 0)
    for statement in kernel.body {
      guard let inner = statement.innerAxes.last?.index else { continue }
      for access in closure(of: statement.roots).compactMap({ loads[$0] }) {
        if !(0...1 ~= access.form.strides[inner]) { rows += 1 }
        if let column = domain.last, !(0...1 ~= access.form.strides[column]) { columns += 1 }
      }
    }
    return (rows, columns)
  }

  /// Bytes that inner axes read for each point of the domain's innermost axis, the same at all points of the other axes.
  var sharedColumnBytes: Int {
    guard let column = domain.last else { return 0 }
    let others = Set(domain.dropLast())
    return kernel.body.reduce(0) { sum, statement in
      let inner = Set(statement.innerAxes.map(\.index))
      return closure(of: statement.roots).reduce(sum) { sum, id in
        guard case .load(let buffer, _, _, _) = kernel.expressions[id], case let axes = dependencies[id],
          axes.contains(column), axes.isDisjoint(with: others), !axes.isDisjoint(with: inner)
        else { return sum }
        return sum + points(axes.intersection(inner)) * kernel[buffer].dtype.byteCount
      }
    }
  }

  private func operands(_ index: Int) -> [Int] {
    switch kernel.expressions[index] {
    case .constant, .axis, .local, .scratch: []
    case .load: loads[index]?.dynamic.map(\.index.index) ?? []
    case .apply(_, let operands, _): operands.map(\.index)
    case .convert(let operand, _), .round(let operand, _): [operand.index]
    }
  }
}

extension KernelStatement {
  fileprivate var takesSeveralAxes: Bool {
    switch self {
    case .reduce, .contract, .loop: true
    case .argReduce, .scratch, .store, .epilogue, .line, .attention: false
    }
  }

  /// The statement without a merged axis.
  fileprivate func removing(_ axis: AxisID) -> KernelStatement {
    switch self {
    case .reduce(let local, let combiner, let over, let value):
      .reduce(local, combiner, over: over.filter { $0 != axis }, value: value)
    case .contract(let local, let over, let lhs, let rhs):
      .contract(local, over: over.filter { $0 != axis }, lhs: lhs, rhs: rhs)
    case .loop(let over, let stores): .loop(over: over.filter { $0 != axis }, stores: stores)
    case .epilogue(let store, let combiner, let over): .epilogue(store, combiner, over: over.filter { $0 != axis })
    case .argReduce, .scratch, .store, .line, .attention: self
    }
  }
}
