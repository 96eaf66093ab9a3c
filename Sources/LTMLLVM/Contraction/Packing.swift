internal import CLLVM
import LTMIR
import LTMKernels

/// Copies an operand into panels `[panel][depth][width]`, as the micro-kernel reads them. Whatever the operand is (a half
/// buffer, a transposed view, a body over several loads), the evaluator computes its vectors.
///
/// A vector may reach beyond the panel's width: what it writes there, the next point of the depth overwrites.
struct Packing {
  let ir: IRBuilder
  let evaluator: Evaluator
  let lanes: Int
  /// Contracted points in an element.
  let points: Int
  /// Elements of the depth that the micro-kernel takes at once.
  let stepsTogether: Int
  let element: LLVMTypeRef

  var elementBytes: Int { element == ir.double ? 8 : 4 }
  /// Panels that are filled side by side, so that whole cache lines are read.
  private static let group = 4
  /// How many points of the depth before their use elements are asked for.
  private static let ahead = 16

  /// The contracted points to pack: a part of the first axis, all of the others.
  struct Run {
    let axes: ArraySlice<Int>
    let start: LLVMValueRef
    let count: LLVMValueRef
    /// How many points come before it in the panel, in units of its first axis; elements, where that is the last.
    var before: LLVMValueRef?
  }

  /// Packs the panels `from..<to`; `base` is the first one's place.
  func pack(_ side: PackedSide, from: LLVMValueRef, to: LLVMValueRef, _ run: Run, into base: LLVMValueRef) {
    let place = { (panel: LLVMValueRef) in
      ir.address(base, element, ir.multiply(ir.subtract(panel, from), side.stride))
    }
    let isTransposed = runsAlongDepth(side, run.axes.last ?? 0)
    let end = ir.minimum(to, ir.index(side.roomyPanels))
    ir.loop(from: from, to: end, step: isTransposed ? 1 : Self.group) { panel, _ in
      let last = isTransposed ? panel : ir.minimum(ir.add(panel, ir.index(Self.group)), end)
      eachRun(run) { run in
        if isTransposed {
          transposed(side, panel, run, live: side.width, into: place(panel))
        } else {
          straight(side, panel, to: last, run, live: nil, place)
        }
      }
      return []
    }
    for index in side.roomyPanels..<side.panels {
      let panel = ir.index(index)
      let live = min(side.width, side.extent - index * side.width)
      ir.when(ir.less(panel, to)) {
        ir.when(LLVMBuildNot(ir.ref, ir.less(panel, from), "")) {
          eachRun(run) { run in
            if isTransposed {
              transposed(side, panel, run, live: live, into: place(panel))
            } else {
              straight(side, panel, to: ir.index(index + 1), run, live: live, place)
            }
          }
        }
      }
    }
    fill(side, from: from, to: to, run, place)
  }

  /// Visits the points of all axes but the last.
  func eachRun(_ run: Run, _ body: (Run) -> Void) {
    guard let axis = run.axes.first else { return }
    let before = run.before ?? ir.index(0)
    guard let inner = run.axes.dropFirst().first else {
      return evaluator.scope { body(Run(axes: run.axes, start: run.start, count: run.count, before: before)) }
    }
    let extent = evaluator.kernel.extent(inner)
    let elements = run.axes.count == 2 ? (extent + points - 1) / points : extent
    ir.loop(from: ir.index(0), to: run.count) { i, _ in
      evaluator.at(axis, ir.add(run.start, i)) {
        let linear = ir.multiply(ir.add(before, i), elements)
        eachRun(
          Run(axes: run.axes.dropFirst(), start: ir.index(0), count: ir.index(extent), before: linear), body)
      }
      return []
    }
  }

  /// Whether the operand's neighbours in memory follow each other along the contracted axis.
  func runsAlongDepth(_ side: PackedSide, _ depthAxis: Int) -> Bool {
    let accesses = evaluator.kernel.closure(of: [side.operand]).compactMap { evaluator.kernel.loads[$0] }
    let stray = { (axis: Int) in accesses.filter { !(0...1 ~= $0.form.strides[axis]) }.count }
    return stray(depthAxis) < stray(side.axis)
  }

  /// Lanes along the panels' width; `live` elements of it, or all and what follows them in memory.
  private func straight(
    _ side: PackedSide, _ first: LLVMValueRef, to last: LLVMValueRef, _ run: Run, live: Int?,
    _ place: (LLVMValueRef) -> LLVMValueRef
  ) {
    guard let axis = run.axes.first, let before = run.before else { return }
    func element(_ k: LLVMValueRef, points: Int) {
      let row = ir.multiply(ir.add(before, ir.divide(k, self.points)), side.width)
      let depths = (0..<points).map { ir.add(run.start, ir.add(k, ir.index($0))) }
      ir.loop(from: first, to: last) { panel, _ in
        let target = place(panel)
        for depth in depths { prefetch(side, panel, axis, ir.add(depth, ir.index(Self.ahead))) }
        for start in stride(from: 0, to: side.width, by: lanes) {
          let column = ir.add(ir.multiply(panel, side.width), ir.index(start))
          let values = depths.map { depth in
            evaluator.at(axis, depth) {
              vector(side.operand, side.axis, column, live: live.map { min(lanes, $0 - start) } ?? lanes)
            }
          }
          ir.store(joined(values), ir.address(target, self.element, ir.add(row, ir.index(start))), align: elementBytes)
        }
        return []
      }
    }
    let rest = evaluator.kernel.extent(axis) % points
    let whole = rest == 0 ? run.count : ir.subtract(run.count, ir.remainder(run.count, points))
    ir.loop(from: ir.index(0), to: whole, step: points) { k, _ in
      element(k, points: points)
      return []
    }
    if rest != 0 { ir.when(ir.less(whole, run.count)) { element(whole, points: rest) } }
  }

  /// Prefetches the panel's elements at a later point of the depth: its neighbours lie too far apart for the processor to guess.
  private func prefetch(_ side: PackedSide, _ panel: LLVMValueRef, _ axis: Int, _ depth: LLVMValueRef) {
    evaluator.at(axis, depth) {
      evaluator.at(side.axis, ir.multiply(panel, side.width)) {
        evaluator.prefetch(side.operand, elements: side.width)
      }
    }
  }

  /// The operand's lanes along an axis; zeros where none is live.
  func vector(_ operand: ScalarID, _ axis: Int, _ start: LLVMValueRef, live: Int) -> LLVMValueRef {
    if live <= 0 { return LLVMConstNull(ir.vector(element, lanes)) }
    let vector = VectorAxis(axis: axis, lanes: lanes, live: live)
    return evaluator.at(axis, start, vector: vector) { evaluator.value(operand, lanes: lanes).ref }
  }

  /// Lanes along the contracted axis, transposed in squares; where the panel's width is no multiple of these, as many lines at a
  /// time as a block of 16 bytes has elements: transposed block by block, each goes to its place in the panel.
  private func transposed(
    _ side: PackedSide, _ panel: LLVMValueRef, _ run: Run, live: Int, into target: LLVMValueRef
  ) {
    guard let axis = run.axes.first, let before = run.before else { return }
    let words = words(side, axis)
    let length = words == nil ? lanes : lanes * points
    let rest = evaluator.kernel.extent(axis) % length
    let whole = ir.subtract(run.count, ir.remainder(run.count, length))
    let unit = side.width % lanes == 0 ? lanes : blockLanes
    func turn(_ k: LLVMValueRef, depthLive: Int, _ start: LLVMValueRef, live: Int) {
      let first = ir.add(ir.multiply(panel, side.width), start)
      let depth = ir.add(run.start, k)
      let lines = (0..<unit).map { line -> LLVMValueRef in
        guard line < live else { return LLVMConstNull(ir.vector(element, lanes)) }
        return evaluator.at(side.axis, ir.add(first, ir.index(line))) {
          evaluator.at(axis, ir.add(depth, ir.index(Self.squaresAhead * length))) {
            evaluator.prefetch(side.operand, elements: length)
          }
          if let words { return load(words, axis, depth, live: depthLive) }
          return vector(side.operand, axis, depth, live: depthLive)
        }
      }
      let transposed = unit == lanes ? transpose(lines) : ir.interleave(lines[...], blocks: unit)
      let columns =
        words == nil
        ? stride(from: 0, to: unit, by: points).map { joined(Array(transposed[$0..<$0 + points])) } : transposed
      let row = ir.add(before, ir.divide(k, points))
      for block in 0..<lanes / unit {
        for (place, column) in columns.enumerated() where (block * columns.count + place) * points < depthLive {
          let number = block * columns.count + place
          let line = ir.multiply(ir.add(row, ir.index(number)), side.width)
          var value = ir.slice(column, block * unit, unit)
          if (number + 1) * points > depthLive { value = firstPoint(value) }
          ir.store(value, ir.address(target, element, ir.add(line, start)), align: elementBytes)
        }
      }
    }
    func eachDepth(_ body: (LLVMValueRef, Int) -> Void) {
      ir.loop(from: ir.index(0), to: whole, step: length) { k, _ in
        body(k, length)
        return []
      }
      if rest != 0 { ir.when(ir.less(whole, run.count)) { body(whole, rest) } }
    }
    // From the last lines to the first: what reaches beyond the panel's width, the first lines of the next point overwrite.
    func eachStart(_ body: (LLVMValueRef, Int) -> Void) {
      for start in stride(from: 0, to: side.width, by: unit).reversed() where start + unit > live {
        body(ir.index(start), live - start)
      }
      let whole = live / unit * unit
      if whole == 0 { return }
      // As many as there are: a number that is unknown here, or the loop would become four times as much code.
      let count = ir.minimum(
        ir.index(whole), ir.subtract(ir.index(side.extent), ir.multiply(panel, side.width)))
      ir.loop(from: ir.index(0), to: count, step: unit) { line, _ in
        body(ir.subtract(ir.index(whole - unit), line), unit)
        return []
      }
    }
    // Squares fill cache lines of the panel: each reads on along its own lines of the operand.
    if unit == lanes {
      eachStart { start, live in eachDepth { k, depthLive in turn(k, depthLive: depthLive, start, live: live) } }
    } else {
      eachDepth { k, depthLive in eachStart { start, live in turn(k, depthLive: depthLive, start, live: live) } }
    }
  }

  /// How many squares before their use elements are asked for.
  private static let squaresAhead = 8

  /// An operand of bf16 in memory that is neighbours along the depth: an element's two points are a word of it.
  private func words(_ side: PackedSide, _ axis: Int) -> FlatAccess? {
    guard points == 2, let access = evaluator.kernel.loads[side.operand.index], access.form.strides[axis] == 1,
      access.dynamic.isEmpty, access.guards.isEmpty
    else { return nil }
    return access
  }

  /// So many points along the depth, as words; zeros where none is live.
  private func load(_ access: FlatAccess, _ axis: Int, _ depth: LLVMValueRef, live: Int) -> LLVMValueRef {
    evaluator.at(axis, depth) {
      let place = evaluator.address(access, mayLieOutside: false)
      var words = ir.load(ir.i32, place, lanes: lanes, live: live / 2, align: 2)
      if live % 2 != 0 {
        let last = ir.load(ir.i16, ir.address(place, ir.i16, ir.index(live - 1)), align: 2)
        words = ir.insert(Lanes(last, ir).extended(to: ir.i32).ref, into: words, lane: live / 2)
      }
      return LLVMBuildBitCast(ir.ref, words, ir.vector(element, lanes), "")
    }
  }

  /// The values of an element's points: as they are, or the upper halves of two, the later one above; a zero, where the depth
  /// ends before it.
  func joined(_ values: [LLVMValueRef]) -> LLVMValueRef {
    guard points == 2 else { return values[0] }
    let bits = values.map { Lanes($0, ir).cast(to: ir.i32) }
    let first = bits[0].shiftedRight(16)
    return values.count == 1 ? first.ref : first.or(bits[1].and(bits[1].bits(-0x10000))).ref
  }

  /// Elements of two points without the later one.
  private func firstPoint(_ elements: LLVMValueRef) -> LLVMValueRef {
    let bits = Lanes(elements, ir).cast(to: ir.i32)
    return bits.and(bits.bits(0xFFFF)).ref
  }

  /// Elements in 16 bytes, or in a register that is shorter.
  private var blockLanes: Int { min(16 / elementBytes, lanes) }

  /// Rows become columns.
  func transpose(_ rows: [LLVMValueRef]) -> [LLVMValueRef] { ir.transpose(rows, elementBytes: elementBytes) }
}
