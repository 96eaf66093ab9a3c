import LTMIR

extension Kernel {
  /// What is wrong, each with its rule; empty for a legal kernel.
  ///
  /// - kernel_c1: ids are in range, and operands stand before their users.
  /// - kernel_c2: names are identifiers and differ; shapes and extents are positive.
  /// - kernel_c3: each primitive has its number of operands, of one dtype, and gives the dtype that follows from them.
  /// - kernel_c4: scalars are f32, f64, i32, i64 or bool: no expression and no accumulator is half.
  /// - kernel_c5: an index has its buffer's rank, its forms stay inside for the whole of the axes, or under a guard.
  /// - kernel_c6: only readable buffers are loaded from, only writable ones stored to, each of them by one store.
  /// - kernel_c7: an inner axis occurs only inside of a statement over it.
  /// - kernel_c8: a local is bound once, before it is read; a scratch is read only over its own axis.
  /// - kernel_c9: a `read_write` buffer is read only at the element that the same point writes.
  /// - kernel_c10: a store's map from points to elements is one to one; a shift is an index that does not depend on axes of
  ///   the dimension that it shifts along, and the buffer is read_write, since the rest of it stays.
  /// - kernel_c11: whatever is accumulated has the local's dtype; what comes from half buffers accumulates in f32.
  /// - kernel_c12: an epilogue reduction stands in a kernel of one contraction, stores and epilogue reductions, goes over axes of the domain, and writes
  ///   a buffer that is not read, at an index without these axes.
  /// - kernel_c14: an attention stands alone in a kernel, its parts depend on their axes alone and have one dtype, and it writes
  ///   what goes its way, into buffers that are not read.
  /// - kernel_c13: lines stand alone in a kernel and write a buffer that is not read; prefixes are sums of numbers.
  package func verify() -> [String] {
    var check = KernelCheck(self)
    return check.run()
  }
}

private struct KernelCheck {
  private let kernel: Kernel
  private var found: [String] = []

  init(_ kernel: Kernel) { self.kernel = kernel }

  mutating func run() -> [String] {
    checkIDs()
    if found.isEmpty { checkNames() }
    // The other rules index by what the first two have shown to be there.
    guard found.isEmpty else { return found }
    for id in kernel.expressions.indices { checkExpression(ScalarID(id)) }
    checkStatements()
    checkStores()
    for (rule, message) in kernel.epilogueViolations() + kernel.lineViolations() + kernel.attentionViolations() {
      report(rule, message)
    }
    return found
  }

  private mutating func report(_ rule: Int, _ message: String) {
    found.append("kernel_c\(rule): @\(kernel.name): \(message)")
  }

  private mutating func require(_ condition: Bool, _ rule: Int, _ message: String) {
    if !condition { report(rule, message) }
  }

  // MARK: Names and numbers

  private mutating func checkIDs() {
    require(
      (0...kernel.axes.count).contains(kernel.domainRank), 1,
      "the domain has \(kernel.domainRank) axes of \(kernel.axes.count)")
    for (id, expression) in kernel.expressions.enumerated() {
      require(expression.operands.allSatisfy { (0..<id).contains($0.index) }, 1, "expression \(id) reads a later one")
      require(hasValidIDs(expression), 1, "expression \(id) names what does not exist")
    }
    for statement in kernel.body {
      let isValid =
        statement.roots.allSatisfy { kernel.expressions.indices.contains($0.index) }
        && (statement.innerAxes + statement.epilogueAxes).allSatisfy { kernel.axes.indices.contains($0.index) }
        && statement.definition.map { kernel.locals.indices.contains($0.index) } ?? true
        && statement.writes.allSatisfy {
          kernel.buffers.indices.contains($0.buffer.index) && $0.index.allSatisfy(hasValidAxes)
        }
      require(isValid, 1, "a statement names what does not exist")
    }
  }

  private func hasValidAxes(_ form: Affine) -> Bool {
    form.terms.allSatisfy { kernel.axes.indices.contains($0.axis.index) }
  }

  private func hasValidIDs(_ expression: ScalarExpr) -> Bool {
    switch expression {
    case .axis(let axis): kernel.axes.indices.contains(axis.index)
    case .local(let local), .scratch(let local): kernel.locals.indices.contains(local.index)
    case .load(let buffer, let index, let guards, _):
      kernel.buffers.indices.contains(buffer.index) && guards.allSatisfy { hasValidAxes($0.form) }
        && index.allSatisfy { if case .affine(let form) = $0 { hasValidAxes(form) } else { true } }
    case .constant, .apply, .convert, .round: true
    }
  }

  private mutating func checkNames() {
    for names in [kernel.buffers.map(\.name), kernel.axes.map(\.name), kernel.locals.map(\.name)] {
      require(Set(names).count == names.count, 2, "a name is given twice in \(names)")
      for name in names + [kernel.name] { require(isIdentifier(name), 2, "`\(name)` is no identifier") }
    }
    for buffer in kernel.buffers {
      require(!reservedNames.contains(buffer.name), 2, "`\(buffer.name)` is a word of the text form")
    }
    for axis in kernel.axes { require(axis.extent > 0, 2, "axis \(axis.name) has extent \(axis.extent)") }
    for buffer in kernel.buffers {
      let isSized = buffer.shape.allSatisfy { $0 > 0 } && elementCount(buffer.shape) != nil && buffer.dtype != .float
      require(isSized, 2, "buffer \(buffer.name) has no size")
    }
  }

  // MARK: Expressions

  private mutating func checkExpression(_ id: ScalarID) {
    switch kernel[id] {
    case .constant(_, let dtype): checkScalar(dtype)
    case .axis, .local, .scratch: break
    case .load(let buffer, let index, let guards, _): checkLoad(buffer, index, guards)
    case .apply(let primitive, let operands, let dtype): checkApply(primitive, operands.map { kernel.dtype($0) }, dtype)
    case .convert(_, let dtype): checkScalar(dtype)
    case .round(let operand, let dtype):
      let source = kernel.dtype(operand)
      let narrows = dtype.isHalf && source != .bool || dtype == .f32 && source == .f64
      require(narrows, 3, "round_\(dtype) of \(source)")
    }
  }

  private mutating func checkScalar(_ dtype: DType) { require(dtype == dtype.loaded, 4, "a scalar of dtype \(dtype)") }

  private mutating func checkApply(_ primitive: Primitive, _ operands: [DType], _ dtype: DType) {
    checkScalar(dtype)
    guard operands.count == primitive.arity, let last = operands.last else {
      return report(3, "\(primitive.rawValue) of \(operands.count) operands")
    }
    let values = primitive == .select ? Array(operands.dropFirst()) : operands
    let isLogical = [.not, .and, .or].contains(primitive)
    let agree =
      values.allSatisfy { $0 == last } && (primitive != .select || operands[0] == .bool)
      && (!isLogical || last == .bool) && (primitive != .philox || last == .i32)
      && dtype == (primitive.isPredicate ? .bool : last)
    require(agree, 3, "\(primitive.rawValue) of \(operands) gives \(dtype)")
  }

  private mutating func checkLoad(_ buffer: BufferID, _ index: [KernelIndex], _ guards: [KernelGuard]) {
    let target = kernel[buffer]
    require(target.access != .write, 6, "\(target.name) is loaded from")
    guard index.count == target.shape.count else {
      return report(5, "\(target.name) has rank \(target.shape.count), not \(index.count)")
    }
    for (part, size) in zip(index, target.shape) {
      switch part {
      case .affine(let form): require(stays(form, in: size, guards), 5, "\(target.name) is read outside of \(size)")
      case .loaded(let value):
        let dtype = kernel.dtype(value)
        require(dtype == .i32 || dtype == .i64, 5, "\(target.name) is indexed by \(dtype)")
      }
    }
  }

  private func stays(_ form: Affine, in size: Int, _ guards: [KernelGuard]) -> Bool {
    let ranges = [form.range(kernel.axes)] + guards.map { rangeOf(form, under: $0) }
    return ranges.contains { range in range.map { $0.lowerBound >= 0 && $0.upperBound < size } ?? false }
  }

  /// The least and greatest value of a multiple of a guarded form, with a constant added: a slice of what is guarded.
  private func rangeOf(_ form: Affine, under condition: KernelGuard) -> ClosedRange<Int>? {
    if form == condition.form, condition.limit > 0 { return 0...condition.limit - 1 }
    guard let term = condition.form.terms.first, term.stride != 0, term.stride != -1,
      let factor = form.terms.first(where: { $0.axis == term.axis }).map({ $0.stride / term.stride }),
      let first = condition.form.scaled(by: factor)?.scaled(by: -1)?.adding(form)?.constant
    else { return nil }
    return Affine([Affine.Term(AxisID(0), factor)], offset: first)
      .range([KernelAxis(name: "guarded", extent: max(condition.limit, 1))])
  }

  // MARK: Statements

  private mutating func checkStatements() {
    var bound: Set<Int> = []
    for statement in kernel.body {
      let over = statement.innerAxes
      for axis in over {
        require(axis.index >= kernel.domainRank, 7, "a statement runs over the domain's axis \(kernel[axis].name)")
      }
      let needed = kernel.reachable(from: statement.roots)
      let allowed = Set(over.map(\.index))
      // What it binds is read by its own bodies.
      if case .attention(let attention) = statement {
        bound.formUnion(kernel.bound(by: attention).map(\.index))
      }
      var used = kernel.axesUsed(by: needed)
      for store in statement.writes { used.formUnion(store.index.flatMap(\.terms).map(\.axis.index)) }
      for axis in used where axis >= kernel.domainRank && !allowed.contains(axis) {
        report(7, "axis \(kernel.axes[axis].name) is used outside of a statement over it")
      }
      for index in needed { checkLocalUse(kernel.expressions[index], bound, over) }
      if let local = statement.definition {
        if case .attention = statement { continue }
        require(bound.insert(local.index).inserted, 8, "%\(kernel[local].name) is bound twice")
      }
      checkAccumulator(statement)
    }
  }

  private mutating func checkLocalUse(_ expression: ScalarExpr, _ bound: Set<Int>, _ over: [AxisID]) {
    let definitions = kernel.body
    switch expression {
    case .local(let local):
      let isScratch = definitions.contains { if case .scratch(local, _, _) = $0 { true } else { false } }
      require(bound.contains(local.index) && !isScratch, 8, "%\(kernel[local].name) is read before it is bound")
    case .scratch(let local):
      let matches = definitions.contains {
        if case .scratch(local, let axis, _) = $0 { over.contains(axis) } else { false }
      }
      require(bound.contains(local.index) && matches, 8, "scratch %\(kernel[local].name) is read outside of its axis")
    case .constant, .axis, .load, .apply, .convert, .round: break
    }
  }

  private mutating func checkAccumulator(_ statement: KernelStatement) {
    guard let local = statement.definition else { return }
    let dtype = kernel[local].dtype
    require(dtype == dtype.loaded, 4, "%\(kernel[local].name) accumulates in \(dtype)")
    let operands = statement.roots.map { kernel.dtype($0) }
    switch statement {
    case .argReduce: require(dtype == .i32, 11, "%\(kernel[local].name) is an index in \(dtype)")
    case .reduce(_, let combiner, _, _):
      let fits = (combiner == .and || combiner == .or) == (dtype == .bool)
      require(operands == [dtype] && fits, 11, "%\(kernel[local].name), \(dtype), accumulates \(operands)")
    case .contract:
      require(
        operands == [dtype, dtype] && dtype != .bool, 11, "%\(kernel[local].name), \(dtype), accumulates \(operands)")
    case .scratch: require(operands == [dtype], 11, "%\(kernel[local].name), \(dtype), keeps \(operands)")
    case .loop, .store, .epilogue, .line, .attention: break
    }
    checkHalfAccumulation(statement, dtype)
  }

  /// The proof that half operands accumulate in f32, independent of how dtypes are computed.
  private mutating func checkHalfAccumulation(_ statement: KernelStatement, _ dtype: DType) {
    guard dtype.isFloating else { return }
    let readsHalf = kernel.reachable(from: statement.roots).contains { index in
      if case .load(let buffer, _, _, _) = kernel.expressions[index] { kernel[buffer].dtype.isHalf } else { false }
    }
    require(!readsHalf || dtype == .f32 || dtype == .f64, 11, "half operands accumulate in \(dtype)")
  }

  // MARK: Stores

  private mutating func checkStores() {
    var written: [BufferID: [Affine]] = [:]
    for statement in kernel.body {
      let points = (0..<kernel.domainRank).map { AxisID($0) }.filter { !statement.epilogueAxes.contains($0) }
      for store in statement.writes {
        let buffer = kernel[store.buffer]
        require(buffer.access.writes, 6, "\(buffer.name) is stored to")
        require(written[store.buffer] == nil, 6, "\(buffer.name) is stored to twice")
        written[store.buffer] = store.index
        let value = statement.written(kernel.dtype(store.value))
        require(value == buffer.dtype.loaded, 3, "\(buffer.name), \(buffer.dtype), stores \(value)")
        checkMap(store, from: kernel.attentionAxes(of: store, in: statement) ?? points + statement.storedAxes)
      }
    }
    for (index, buffer) in kernel.buffers.enumerated() where buffer.access.writes {
      require(written[BufferID(index)] != nil, 6, "\(buffer.name) is never stored to")
    }
    for case .load(let buffer, let index, let guards, _) in kernel.expressions where kernel[buffer].access == .readWrite
    {
      let same = guards.isEmpty && written[buffer].map { isSameElement(index, $0, kernel[buffer].shape) } ?? false
      require(same, 9, "\(kernel[buffer].name) is read at another element than is written")
    }
  }

  /// Whether two indices are of one element at every point; an axis of one value is 0.
  private func isSameElement(_ index: [KernelIndex], _ written: [Affine], _ shape: [Int]) -> Bool {
    let forms = index.compactMap { part in if case .affine(let form) = part { form } else { nil } }
    guard forms.count == index.count, let read = flatten(forms, shape: shape), let flat = flatten(written, shape: shape)
    else { return false }
    return read.droppingUnitAxes(kernel.axes) == flat.droppingUnitAxes(kernel.axes)
  }

  private mutating func checkMap(_ store: KernelStore, from axes: [AxisID]) {
    let buffer = kernel[store.buffer]
    guard store.index.count == buffer.shape.count else {
      return report(5, "\(buffer.name) has rank \(buffer.shape.count), not \(store.index.count)")
    }
    for (form, size) in zip(store.index, buffer.shape) {
      require(stays(form, in: size, []), 5, "\(buffer.name) is written outside of \(size)")
    }
    require(isOneToOne(store, axes, buffer.shape), 10, "two points write one element of \(buffer.name)")
    if let shift = store.shift { checkShift(shift, store) }
  }

  private mutating func checkShift(_ shift: KernelStore.Shift, _ store: KernelStore) {
    let name = kernel[store.buffer].name
    guard store.index.indices.contains(shift.dimension) else { return report(10, "\(name) has no such dimension") }
    let dtype = kernel.dtype(shift.by)
    require(dtype == .i32 || dtype == .i64, 10, "\(name) is written at \(dtype)")
    let own = Set(store.index[shift.dimension].terms.map(\.axis.index))
    let depends = kernel.axesUsed(by: kernel.reachable(from: [shift.by]))
    require(own.isDisjoint(with: depends), 10, "\(name) is written at a place that its own axis changes")
    require(kernel[store.buffer].access == .readWrite, 10, "\(name) is written in part, and not read_write")
  }

  /// Each axis of more than one value occurs, with a stride beyond the reach of all shorter ones together.
  private func isOneToOne(_ store: KernelStore, _ axes: [AxisID], _ shape: [Int]) -> Bool {
    guard let flat = flatten(store.index, shape: shape) else { return false }
    guard axes.allSatisfy({ axis in kernel[axis].extent == 1 || flat.terms.contains { $0.axis == axis } }) else {
      return false
    }
    var reach = 0
    for term in flat.terms.sorted(by: { abs($0.stride) < abs($1.stride) }) where kernel[term.axis].extent > 1 {
      if abs(term.stride) <= reach { return false }
      reach += abs(term.stride) * (kernel[term.axis].extent - 1)
    }
    return true
  }
}
