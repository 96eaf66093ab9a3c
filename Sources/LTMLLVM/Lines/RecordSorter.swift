internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

/// Sorts the records of a line: chunks by a bitonic network over whole vectors, in which every comparison puts the lesser
/// record first, so that what would lie beyond the end need not be there; then sorted chunks are merged, two at a time.
struct RecordSorter {
  let ir: IRBuilder
  let numbers: Schedule.Order
  /// All records, those that fill up the last vector too.
  let count: Int
  /// One record.
  let scalar: LLVMTypeRef
  private let base: LLVMValueRef
  private let other: LLVMValueRef
  private var lanes: Int { numbers.lanes }
  private var type: LLVMTypeRef { ir.vector(scalar, lanes) }

  init(_ ir: IRBuilder, _ numbers: Schedule.Order, count: Int, at scratch: LLVMValueRef) {
    guard let wide = LLVMIntTypeInContext(ir.context, 128) else { internalFailure("emission", "no i128") }
    self.ir = ir
    self.numbers = numbers
    self.count = count
    scalar = numbers.isWide ? wide : ir.i64
    base = scratch
    other = ir.address(scratch, ir.i8, ir.index(roundUp(count * numbers.recordBytes, 64)))
  }

  /// Elements that become records together.
  var elements: Int { numbers.isWide ? 1 : ir.profile.floatLanes }

  // MARK: Records

  /// The key above the index.
  func record(_ key: Lanes, _ index: Lanes) -> Lanes {
    let type = ir.vector(scalar, key.count)
    let high = LLVMBuildShl(
      ir.ref, LLVMBuildSExt(ir.ref, key.ref, type, ""), constant(numbers.isWide ? 64 : 32, type), "")
    return Lanes(LLVMBuildOr(ir.ref, high, LLVMBuildZExt(ir.ref, index.ref, type, ""), ""), ir)
  }

  /// What comes after every record.
  func last(_ lanes: Int) -> Lanes {
    let type = ir.vector(scalar, lanes)
    return Lanes(LLVMBuildLShr(ir.ref, LLVMConstAllOnes(type), constant(1, type), ""), ir)
  }

  private func constant(_ value: Int, _ type: LLVMTypeRef) -> LLVMValueRef { ir.constant(bits: value, type) }

  func address(_ base: LLVMValueRef, _ place: LLVMValueRef) -> LLVMValueRef { ir.address(base, scalar, place) }

  private func load(_ base: LLVMValueRef, _ place: LLVMValueRef) -> LLVMValueRef {
    ir.load(type, address(base, place), align: numbers.recordBytes)
  }

  private func store(_ value: LLVMValueRef, _ base: LLVMValueRef, _ place: LLVMValueRef) {
    ir.store(value, address(base, place), align: numbers.recordBytes)
  }

  /// The lesser and the greater, lane by lane.
  private func ordered(_ a: LLVMValueRef, _ b: LLVMValueRef) -> (low: LLVMValueRef, high: LLVMValueRef) {
    if numbers.isWide {
      let isOrdered = ir.less(a, b)
      return (ir.select(isOrdered, a, b), ir.select(isOrdered, b, a))
    }
    return (ir.call(intrinsic: "llvm.smin", [type], [a, b]), ir.call(intrinsic: "llvm.smax", [type], [a, b]))
  }

  // MARK: All of it

  /// Sorts; gives where the sorted records lie.
  func sort() -> LLVMValueRef {
    let whole = count / numbers.chunk * numbers.chunk
    ir.loop(0..<whole, step: numbers.chunk) { first, _ in
      sort(address(base, first), numbers.chunk)
      return []
    }
    if whole < count { sort(address(base, ir.index(whole)), count - whole) }
    var (from, to, width) = (base, other, numbers.chunk)
    while width < count {
      merge(from, into: to, width)
      (from, to, width) = (to, from, width * 2)
    }
    return from
  }

  // MARK: Networks

  func sort(_ base: LLVMValueRef, _ length: Int) {
    eachVector(length) { place in store(sorted(load(base, place)), base, place) }
    var size = 2 * lanes
    while size / 2 < length {
      mergeHalves(base, length, size)
      size *= 2
    }
  }

  private func eachVector(_ length: Int, _ body: (LLVMValueRef) -> Void) {
    ir.loop(0..<length, step: lanes) { place, _ in
      body(place)
      return []
    }
  }

  /// Blocks of `size` whose halves are sorted become sorted: the second half is read backwards, then what is left to
  /// compare lies within ever smaller parts.
  private func mergeHalves(_ base: LLVMValueRef, _ length: Int, _ size: Int) {
    let (half, rest) = (size / 2, length % size)
    let backwards = Array((0..<lanes).reversed())
    eachBlock(length, size, 0..<half, rest > half ? size - rest..<half : 0..<0) { start, i in
      let (first, second) = (ir.add(start, i), ir.subtract(ir.add(start, ir.index(size - lanes)), i))
      let (low, high) = ordered(load(base, first), turned(load(base, second), backwards))
      store(low, base, first)
      store(turned(high, backwards), base, second)
    }
    var distance = half / 2
    while distance >= 2 * lanes {
      compareTwice(base, length, distance)
      distance /= 4
    }
    if distance == lanes, lanes * 2 <= half { compare(base, length, distance) }
    if lanes > 1 { eachVector(length) { place in store(merged(load(base, place)), base, place) } }
  }

  /// Compares what lies `distance` apart.
  private func compare(_ base: LLVMValueRef, _ length: Int, _ distance: Int) {
    let rest = length % (2 * distance)
    eachBlock(length, 2 * distance, 0..<distance, 0..<max(0, rest - distance)) { start, i in
      let first = ir.add(start, i)
      let second = ir.add(first, ir.index(distance))
      let (low, high) = ordered(load(base, first), load(base, second))
      store(low, base, first)
      store(high, base, second)
    }
  }

  /// Compares at a distance and then at half of it, of whole blocks in one pass.
  private func compareTwice(_ base: LLVMValueRef, _ length: Int, _ distance: Int) {
    let whole = length / (2 * distance) * (2 * distance)
    eachBlock(whole, 2 * distance, 0..<distance / 2, 0..<0) { start, i in
      let places = (0..<4).map { ir.add(ir.add(start, i), ir.index($0 * distance / 2)) }
      let (a, c) = ordered(load(base, places[0]), load(base, places[2]))
      let (b, d) = ordered(load(base, places[1]), load(base, places[3]))
      let (low, high) = (ordered(a, b), ordered(c, d))
      for (value, place) in zip([low.low, low.high, high.low, high.high], places) { store(value, base, place) }
    }
    guard whole < length else { return }
    let rest = address(base, ir.index(whole))
    compare(rest, length - whole, distance)
    compare(rest, length - whole, distance / 2)
  }

  /// Visits the vectors in `inside` of each whole block, and those in `last` of the one that is not whole.
  private func eachBlock(
    _ length: Int, _ size: Int, _ inside: Range<Int>, _ last: Range<Int>,
    _ body: (_ start: LLVMValueRef, _ i: LLVMValueRef) -> Void
  ) {
    let whole = length / size * size
    func visit(_ start: LLVMValueRef, _ range: Range<Int>) {
      ir.loop(range, step: lanes) { i, _ in
        body(start, i)
        return []
      }
    }
    ir.loop(0..<whole, step: size) { start, _ in
      visit(start, inside)
      return []
    }
    if !last.isEmpty { visit(ir.index(whole), last) }
  }

  // MARK: Within a vector

  private func turned(_ value: LLVMValueRef, _ picks: [Int]) -> LLVMValueRef {
    lanes == 1 ? value : ir.shuffle(value, value, picks)
  }

  /// Compares each lane with a partner.
  private func compared(_ value: LLVMValueRef, _ partner: (Int) -> Int) -> LLVMValueRef {
    let (low, high) = ordered(value, turned(value, (0..<lanes).map(partner)))
    return ir.shuffle(low, high, (0..<lanes).map { $0 < partner($0) ? $0 : lanes + $0 })
  }

  private func sorted(_ value: LLVMValueRef) -> LLVMValueRef {
    var (value, size) = (value, 2)
    while size <= lanes {
      let mask = size - 1
      value = compared(value) { $0 ^ mask }
      value = merged(value, below: size / 2)
      size *= 2
    }
    return value
  }

  private func merged(_ value: LLVMValueRef) -> LLVMValueRef { merged(value, below: lanes) }

  /// Compares at all distances below one.
  private func merged(_ value: LLVMValueRef, below limit: Int) -> LLVMValueRef {
    var (value, distance) = (value, limit / 2)
    while distance >= 1 {
      let apart = distance
      value = compared(value) { $0 ^ apart }
      distance /= 2
    }
    return value
  }

  // MARK: Merging

  private func merge(_ from: LLVMValueRef, into to: LLVMValueRef, _ width: Int) {
    let whole = count / (2 * width) * (2 * width)
    ir.loop(0..<whole, step: 2 * width) { start, _ in
      mergeEqual(from, to, start, width)
      return []
    }
    if whole < count { mergeRest(from, to, whole, min(width, count - whole), count - whole) }
  }

  private func one(_ from: LLVMValueRef, _ place: LLVMValueRef) -> LLVMValueRef {
    ir.load(scalar, address(from, place), align: numbers.recordBytes)
  }

  private func put(_ value: LLVMValueRef, _ to: LLVMValueRef, _ place: LLVMValueRef) {
    ir.store(value, address(to, place), align: numbers.recordBytes)
  }

  private func asIndex(_ bit: LLVMValueRef) -> LLVMValueRef { LLVMBuildZExt(ir.ref, bit, ir.i64, "") }

  /// Two runs of one length, from both ends at once: in so many steps neither end runs out of either, and nothing branches.
  private func mergeEqual(_ from: LLVMValueRef, _ to: LLVMValueRef, _ start: LLVMValueRef, _ width: Int) {
    let middle = ir.add(start, ir.index(width))
    let end = ir.add(middle, ir.index(width))
    let one = ir.index(1)
    ir.loop(
      0..<width, carrying: [start, middle, ir.subtract(middle, one), ir.subtract(end, one)]
    ) { step, places in
      let (a, b) = (self.one(from, places[0]), self.one(from, places[1]))
      let takesA = ir.less(a, b)
      put(ir.select(takesA, a, b), to, ir.add(start, step))
      let (c, d) = (self.one(from, places[2]), self.one(from, places[3]))
      let takesD = ir.less(c, d)
      put(ir.select(takesD, d, c), to, ir.subtract(ir.subtract(end, one), step))
      let (stepA, stepD) = (asIndex(takesA), asIndex(takesD))
      return [
        ir.add(places[0], stepA), ir.add(places[1], ir.subtract(one, stepA)),
        ir.subtract(places[2], ir.subtract(one, stepD)), ir.subtract(places[3], stepD),
      ]
    }
  }

  /// A run of `length` records and the shorter one after it, up to `total`, which may be none.
  private func mergeRest(_ from: LLVMValueRef, _ to: LLVMValueRef, _ start: Int, _ length: Int, _ total: Int) {
    let (first, middle, end) = (ir.index(start), ir.index(start + length), ir.index(start + total))
    ir.loop(0..<total, carrying: [first, middle]) { step, places in
      let (hasA, hasB) = (ir.less(places[0], middle), ir.less(places[1], end))
      let a = one(from, ir.minimum(places[0], ir.index(start + length - 1)))
      let b = one(from, ir.minimum(places[1], ir.index(start + total - 1)))
      let isLess = LLVMBuildOr(ir.ref, LLVMBuildNot(ir.ref, hasB, ""), ir.less(a, b), "")
      guard let takesA = LLVMBuildAnd(ir.ref, hasA, isLess, "") else { internalFailure("emission", "no condition") }
      put(ir.select(takesA, a, b), to, ir.add(first, step))
      let stepA = asIndex(takesA)
      return [ir.add(places[0], stepA), ir.add(places[1], ir.subtract(ir.index(1), stepA))]
    }
  }
}
