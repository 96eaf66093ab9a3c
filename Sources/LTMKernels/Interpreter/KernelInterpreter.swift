import Foundation
import LTMIR

// The reference interpreter of kernels, which the emitters are compared with: arrays of doubles, one iteration after another.

/// What the interpretation of a kernel rounds.
package enum KernelRounding: Sendable {
  /// Nothing: every value stays in f64.
  case none
  /// What the kernel narrows, constants, casts and stores; arithmetic is in f64.
  case narrowing
  /// Arithmetic too, each expression to its dtype.
  case everyOp
}

extension Kernel {
  /// Runs the kernel on its buffers' elements, in the order of `buffers`. The kernel must be verified, and each array as
  /// long as its buffer.
  package func interpret(_ memory: inout [[Double]], rounding: KernelRounding = .everyOp) {
    var run = KernelRun(self, rounding: rounding)
    run.execute(&memory)
  }
}

/// The state of one run.
private struct KernelRun {
  fileprivate let kernel: Kernel
  private let rounding: KernelRounding
  private let loads: [CompiledLoad?]
  private let isInner: [Bool]
  /// For each statement, what it evaluates at the point and what at each step of its inner axes, in order.
  private let outerSteps: [[Int]], innerSteps: [[Int]]
  private let targets: [[CompiledStore]]
  fileprivate var position: [Int]
  private var values: [Double]
  fileprivate var locals: [Double]
  private var scratch: [[Double]]
  private var tables: [LocalID: ContractionTables] = [:]
  /// For each statement, what an epilogue reduction has combined so far, by place in its buffer.
  private var reduced: [[Double]] = []
  /// What attention has summed up, by buffer.
  fileprivate var attended: [Int: [Double]] = [:]

  init(_ kernel: Kernel, rounding: KernelRounding) {
    self.kernel = kernel
    self.rounding = rounding
    loads = kernel.expressions.map { expression in
      guard case .load(let buffer, let index, let guards, let otherwise) = expression else { return nil }
      return CompiledLoad(kernel, buffer, index, guards, otherwise)
    }
    let inner = kernel.dependsOnInnerAxis()
    isInner = inner
    // What an earlier statement found at the point still holds.
    var found: Set<Int> = []
    var outer: [[Int]] = []
    var innerSteps: [[Int]] = []
    for statement in kernel.body {
      // All that the stores at the point need is found before the first of them writes.
      let needed: [Int] =
        switch statement {
        case .store, .epilogue: kernel.reachable(from: kernel.pointStoreRoots)
        // Its operands are tabulated before the first point: nothing of them is known at one.
        case .contract, .attention: []
        case .loop, .scratch, .reduce, .argReduce, .line: kernel.reachable(from: statement.roots)
        }
      outer.append(needed.filter { !inner[$0] && !found.contains($0) })
      innerSteps.append(needed.filter { inner[$0] })
      found.formUnion(needed.filter { !inner[$0] })
    }
    (outerSteps, self.innerSteps) = (outer, innerSteps)
    targets = kernel.body.map { $0.writes.map { CompiledStore(kernel, $0) } }
    position = [Int](repeating: 0, count: kernel.axes.count)
    values = [Double](repeating: 0, count: kernel.expressions.count)
    locals = [Double](repeating: 0, count: kernel.locals.count)
    scratch = [[Double]](repeating: [], count: kernel.locals.count)
    for case .scratch(let local, let axis, _) in kernel.body {
      scratch[local.index] = [Double](repeating: 0, count: kernel[axis].extent)
    }
  }

  mutating func execute(_ memory: inout [[Double]]) {
    for case .contract(let local, let over, let lhs, let rhs) in kernel.body {
      tables[local] = ContractionTables(lhs: tabulate(lhs, over, memory), rhs: tabulate(rhs, over, memory))
    }
    reduced = kernel.body.map { statement in
      guard case .epilogue(let store, let combiner, _) = statement else { return [] }
      return [Double](repeating: combiner.identity, count: memory[store.buffer.index].count)
    }
    for case .attention(let attention) in kernel.body {
      for store in attention.stores {
        attended[store.buffer.index] = [Double](repeating: 0, count: memory[store.buffer.index].count)
      }
    }
    let domain = (0..<kernel.domainRank).map { $0 }
    repeat {
      for index in kernel.body.indices { perform(index, &memory) }
    } while advance(domain)
    for (buffer, sums) in attended {
      let dtype = kernel.buffers[buffer].dtype
      memory[buffer] = sums.map { narrowed(rounded($0, dtype.loaded), dtype) }
    }
    for case (let index, .epilogue(let store, _, _)) in kernel.body.enumerated() {
      let dtype = kernel[store.buffer].dtype
      let sums = reduced[index].map { rounded($0, kernel.dtype(store.value)) }
      memory[store.buffer.index] = sums.map { narrowed($0, dtype) }
    }
  }

  /// Steps the axes like an odometer; false when it is back at the start.
  private mutating func advance(_ axes: [Int]) -> Bool {
    for axis in axes.reversed() {
      position[axis] += 1
      if position[axis] < kernel.axes[axis].extent { return true }
      position[axis] = 0
    }
    return false
  }

  private mutating func perform(_ index: Int, _ memory: inout [[Double]]) {
    let statement = kernel.body[index]
    if case .attention(let attention) = statement {
      var place = Attending(run: self, attention: attention, memory: memory)
      attention.interpret(at: &place)
      return attended = place.run.attended
    }
    if case .contract(let local, _, _, _) = statement {
      locals[local.index] = rounded(tables[local]?.product(at: position) ?? 0, kernel[local].dtype)
      return
    }
    for step in outerSteps[index] { values[step] = evaluate(step, memory) }
    let axes = statement.innerAxes.map(\.index)
    for axis in axes { position[axis] = 0 }
    switch statement {
    case .store: write(index, &memory)
    case .epilogue(_, let combiner, _):
      for target in targets[index] {
        let place = target.address.at(position)
        reduced[index][place] = combiner.apply(reduced[index][place], values[target.value])
      }
    case .loop:
      repeat {
        for step in innerSteps[index] { values[step] = evaluate(step, memory) }
        write(index, &memory)
      } while advance(axes)
    case .scratch(let local, let axis, let value):
      repeat {
        for step in innerSteps[index] { values[step] = evaluate(step, memory) }
        scratch[local.index][position[axis.index]] = values[value.index]
      } while advance(axes)
    case .reduce(let local, let combiner, _, let value):
      var sum = combiner.identity
      repeat {
        for step in innerSteps[index] { values[step] = evaluate(step, memory) }
        sum = combiner.apply(sum, values[value.index])
      } while advance(axes)
      locals[local.index] = rounded(sum, kernel[local].dtype)
    case .argReduce(let local, let combiner, let axis, let value):
      locals[local.index] = argReduce(index, combiner, axis, value, memory)
    case .line(let store, let op, let over, let to): line(index, store, op, over, to, &memory)
    case .contract, .attention: break
    }
  }

  private mutating func line(
    _ index: Int, _ store: KernelStore, _ op: LineOp, _ axis: AxisID, _ to: AxisID, _ memory: inout [[Double]]
  ) {
    let line = (0..<kernel[axis].extent).map { step in
      position[axis.index] = step
      for inner in innerSteps[index] { values[inner] = evaluate(inner, memory) }
      return values[store.value.index]
    }
    let dtype = kernel.dtype(store.value)
    for (step, result) in op.apply(line, round: { rounded($0, dtype) }).prefix(kernel[to].extent).enumerated() {
      position[to.index] = step
      for target in targets[index] {
        memory[target.buffer][target.address.at(position)] = narrowed(result, kernel.buffers[target.buffer].dtype)
      }
    }
  }

  private mutating func argReduce(
    _ index: Int, _ combiner: Combiner, _ axis: AxisID, _ value: ScalarID, _ memory: [[Double]]
  ) -> Double {
    var best = 0
    var bestValue = Double.nan
    for step in 0..<kernel[axis].extent {
      position[axis.index] = step
      for inner in innerSteps[index] { values[inner] = evaluate(inner, memory) }
      let candidate = values[value.index]
      let beats = candidate.isNaN || (combiner == .maximum ? candidate > bestValue : candidate < bestValue)
      if step == 0 || (!bestValue.isNaN && beats) { (best, bestValue) = (step, candidate) }
    }
    return Double(best)
  }

  private func write(_ index: Int, _ memory: inout [[Double]]) {
    for target in targets[index] {
      let value = values[target.value]
      memory[target.buffer][target.place(at: position, values)] =
        narrowed(value, kernel.buffers[target.buffer].dtype)
    }
  }

  // MARK: Expressions

  /// A value at the current place, with all that it needs.
  fileprivate mutating func current(_ id: ScalarID, _ memory: [[Double]]) -> Double {
    for step in kernel.reachable(from: [id]) { values[step] = evaluate(step, memory) }
    return values[id.index]
  }

  private func evaluate(_ index: Int, _ memory: [[Double]]) -> Double {
    switch kernel.expressions[index] {
    case .constant(let value, let dtype): return narrowed(value, dtype)
    case .axis(let axis): return Double(position[axis.index])
    case .load: return loads[index].map { load($0, memory) } ?? 0
    case .local(let local): return locals[local.index]
    case .scratch(let local):
      guard let axis = scratchAxis(local) else { return 0 }
      return scratch[local.index][position[axis]]
    case .apply(let primitive, let operands, let dtype):
      if primitive == .philox { return primitive.apply(operands.map { values[$0.index] }) }
      let a = values[operands[0].index]
      let b = operands.count > 1 ? values[operands[1].index] : 0
      let c = operands.count > 2 ? values[operands[2].index] : 0
      return rounded(primitive.apply(a, b, c, integral: dtype == .i32 || dtype == .i64), dtype)
    case .convert(let operand, let dtype): return converted(values[operand.index], dtype)
    case .round(let operand, let dtype): return narrowed(values[operand.index], dtype)
    }
  }

  private func scratchAxis(_ local: LocalID) -> Int? {
    for case .scratch(local, let axis, _) in kernel.body { return axis.index }
    return nil
  }

  private func load(_ load: CompiledLoad, _ memory: [[Double]]) -> Double {
    for condition in load.guards {
      let value = condition.form.at(position)
      if value < 0 || value >= condition.limit { return load.otherwise }
    }
    var address = load.address.at(position)
    for part in load.gathered {
      address += Int(max(0, min(values[part.value], Double(part.size - 1)))) * part.stride
    }
    return memory[load.buffer][address]
  }

  private func rounded(_ value: Double, _ dtype: DType) -> Double {
    rounding == .everyOp && dtype == .f32 ? Double(Float(value)) : value
  }

  private func narrowed(_ value: Double, _ dtype: DType) -> Double { rounding == .none ? value : dtype.round(value) }

  private func converted(_ value: Double, _ dtype: DType) -> Double {
    dtype.isFloating ? narrowed(value, dtype) : dtype.round(value)
  }

  // MARK: Contractions

  /// The operand's values over the axes that it depends on, the contracted ones innermost.
  private mutating func tabulate(_ root: ScalarID, _ over: [AxisID], _ memory: [[Double]]) -> OperandTable {
    let needed = kernel.reachable(from: [root])
    let used = kernel.axesUsed(by: needed)
    let outer = (0..<kernel.domainRank).filter { used.contains($0) }
    let axes = outer + over.map(\.index)
    var table = OperandTable(
      axes: outer, extents: outer.map { kernel.axes[$0].extent }, length: over.reduce(1) { $0 * kernel[$1].extent })
    for axis in position.indices { position[axis] = 0 }
    repeat {
      for step in needed { values[step] = evaluate(step, memory) }
      table.values.append(values[root.index])
    } while advance(axes)
    return table
  }
}

/// The place of an attention in a run.
private struct Attending: AttentionPlace {
  var run: KernelRun
  let attention: KernelAttention
  let memory: [[Double]]

  mutating func value(_ id: ScalarID) -> Double { run.current(id, memory) }
  mutating func move(_ axis: AxisID, to index: Int) { run.position[axis.index] = index }
  mutating func bind(_ local: LocalID, _ value: Double) { run.locals[local.index] = value }
  func extent(_ axis: AxisID) -> Int { run.kernel[axis].extent }

  mutating func write(_ result: KernelAttention.Result, _ value: Double, adds: Bool) {
    guard let store = attention.results[result] else { return }
    let form = AddressForm(flatten(store.index, shape: run.kernel[store.buffer].shape) ?? .zero)
    let place = form.at(run.position)
    if adds {
      run.attended[store.buffer.index]?[place] += value
    } else {
      run.attended[store.buffer.index]?[place] = value
    }
  }
}

extension Kernel {
  /// The expressions that some need, operands first.
  package func reachable(from roots: [ScalarID]) -> [Int] {
    var needed = [Bool](repeating: false, count: expressions.count)
    for root in roots { needed[root.index] = true }
    for index in expressions.indices.reversed() where needed[index] {
      for operand in expressions[index].operands { needed[operand.index] = true }
    }
    return expressions.indices.filter { needed[$0] }
  }

  fileprivate var pointStoreRoots: [ScalarID] {
    body.filter(\.isEpilogue).flatMap(\.roots)
  }

  /// The axes that expressions name.
  package func axesUsed(by expressions: [Int]) -> Set<Int> {
    expressions.reduce(into: Set<Int>()) { axes, index in
      switch self.expressions[index] {
      case .axis(let axis): axes.insert(axis.index)
      case .load(_, let index, let guards, _):
        for case .affine(let form) in index { axes.formUnion(form.terms.map(\.axis.index)) }
        for condition in guards { axes.formUnion(condition.form.terms.map(\.axis.index)) }
      case .constant, .local, .scratch, .apply, .convert, .round: break
      }
    }
  }
}
