import LTMIR
import LTMSupport

/// What a kernel does: `let`, `scratch`, loops, reductions, contractions, stores, epilogue reductions.
extension KernelParser {
  mutating func statement() throws(DiagnosticSet) -> KernelStatement? {
    if try take(word: "let") {
      try define()
      return nil
    }
    if try take(word: "scratch") { return try scratch() }
    if try take(word: "for") {
      let over = try axisList()
      var stores: [KernelStore] = []
      while !(try take("}")) { stores.append(try store()) }
      return .loop(over: over, stores: stores)
    }
    if try take(word: "attention") { return try attention() }
    if case .local = token { return try binding() }
    return try write()
  }

  /// `$name = value`
  mutating func define() throws(DiagnosticSet) {
    guard case .shared(let name) = token else { return try fail("`$name` is expected here") }
    try advance()
    try expect("=")
    shared[name] = try expression()
  }

  private mutating func scratch() throws(DiagnosticSet) -> KernelStatement {
    let name = try local()
    try expect("[")
    let axis = try axisID()
    try expect("]")
    try expect(":")
    let dtype = try dtype()
    try expect("=")
    let value = try expression()
    return .scratch(bind(name, dtype), over: axis, value: value)
  }

  mutating func bind(_ name: String, _ dtype: DType) -> LocalID {
    kernel.locals.append(KernelLocal(name: name, dtype: dtype))
    return LocalID(kernel.locals.count - 1)
  }

  /// `k, j {`
  mutating func axisList() throws(DiagnosticSet) -> [AxisID] {
    var over = [try axisID()]
    while try take(",") { over.append(try axisID()) }
    try expect("{")
    return over
  }

  private mutating func combiner() throws(DiagnosticSet) -> Combiner {
    guard case .word(let name) = token, let combiner = Combiner(rawValue: name) else {
      return try fail("a combining operation is expected here")
    }
    try advance()
    return combiner
  }

  private mutating func binding() throws(DiagnosticSet) -> KernelStatement {
    let name = try local()
    try expect(":")
    let dtype = try dtype()
    try expect("=")
    let kind = try word("`reduce`, `argreduce` or `contract`")
    switch kind {
    case "reduce", "argreduce":
      let combiner = try combiner()
      let over = try axisList()
      let value = try expression()
      try expect("}")
      let local = bind(name, dtype)
      return kind == "reduce"
        ? .reduce(local, combiner, over: over, value: value) : .argReduce(local, combiner, over: over[0], value: value)
    case "contract":
      let over = try axisList()
      let lhs = try expression()
      try expect(",")
      let rhs = try expression()
      try expect("}")
      return .contract(bind(name, dtype), over: over, lhs: lhs, rhs: rhs)
    default: return try fail("`reduce`, `argreduce` or `contract` is expected before this")
    }
  }

  mutating func bufferID() throws(DiagnosticSet) -> BufferID {
    guard case .word(let name) = token, let index = kernel.buffers.firstIndex(where: { $0.name == name }) else {
      return try fail("a buffer is expected here")
    }
    try advance()
    return BufferID(index)
  }

  private mutating func store() throws(DiagnosticSet) -> KernelStore {
    var store = try target()
    store.value = try expression()
    return store
  }

  /// A store, an epilogue reduction, or lines.
  private mutating func write() throws(DiagnosticSet) -> KernelStatement {
    var store = try target()
    if let op = try lineOp() {
      let over = try axisID()
      let to = try take(word: "to") ? try axisID() : over
      try expect("{")
      store.value = try expression()
      try expect("}")
      return .line(store, op, over: over, to: to)
    }
    guard try take(word: "epilogue") else {
      store.value = try expression()
      return .store(store)
    }
    let combiner = try combiner()
    let over = try axisList()
    store.value = try expression()
    try expect("}")
    return .epilogue(store, combiner, over: over)
  }

  /// `prefix add`, `order descending`; `nil` where something else stands.
  private mutating func lineOp() throws(DiagnosticSet) -> LineOp? {
    if try take(word: "prefix") {
      let combiner = try combiner()
      return .prefix(combiner, isReversed: try take(word: "reversed"))
    }
    guard try take(word: "order") else { return nil }
    switch try word("`ascending` or `descending`") {
    case "ascending": return .order(isDescending: false)
    case "descending": return .order(isDescending: true)
    default: return try fail("`ascending` or `descending` is expected before this")
    }
  }

  /// `buffer[index] =`, of a store whose value follows.
  private mutating func target() throws(DiagnosticSet) -> KernelStore {
    var store = KernelStore(try bufferID(), [], ScalarID(0))
    try expect("[")
    try list(until: "]") { (parser) throws(DiagnosticSet) in
      if let shift = try parser.shift(dimension: store.index.count) { store.shift = shift }
      store.index.append(try parser.affine())
    }
    try expect("=")
    return store
  }

  /// `at {start}`, `around {start}`; `nil` where something else stands.
  private mutating func shift(dimension: Int) throws(DiagnosticSet) -> KernelStore.Shift? {
    guard case .word(let word) = token, word == "at" || word == "around",
      !kernel.axes.contains(where: { $0.name == word })
    else { return nil }
    try advance()
    try expect("{")
    let by = try expression()
    try expect("}")
    return KernelStore.Shift(dimension: dimension, by: by, wraps: word == "around")
  }
}
