import LTMIR
import LTMSupport

/// Reads kernels back from their text form. What it accepts is well-formed; whether it is legal, `verify` says.
package func parseKernels(_ file: SourceFile) throws(DiagnosticSet) -> [Kernel] {
  var parser = try KernelParser(file)
  var kernels: [Kernel] = []
  while parser.token != .end { kernels.append(try parser.parseKernel()) }
  return kernels
}

private struct KernelParser {
  private var lexer: KernelLexer
  private(set) var token: KernelToken = .end
  private var span: Span
  private var kernel = Kernel(name: "")
  private var pool = ExpressionPool()
  private var shared: [String: ScalarID] = [:]
  private var depth = 0
  private static let depthLimit = 100
  /// Larger numbers are no sizes.
  private static let sizeLimit = 1e15

  init(_ file: SourceFile) throws(DiagnosticSet) {
    lexer = KernelLexer(file)
    span = Span(file, 0, 0)
    try advance()
  }

  // MARK: Tokens

  private mutating func advance() throws(DiagnosticSet) { (token, span) = try lexer.next() }

  private func fail<T>(_ message: String) throws(DiagnosticSet) -> T {
    throw DiagnosticSet([Diagnostic(.error, message, at: span)])
  }

  private mutating func take(_ symbol: Character) throws(DiagnosticSet) -> Bool {
    guard token == .symbol(symbol) else { return false }
    try advance()
    return true
  }

  private mutating func expect(_ symbol: Character) throws(DiagnosticSet) {
    if !(try take(symbol)) { return try fail("`\(symbol)` is expected here") }
  }

  private mutating func take(word: String) throws(DiagnosticSet) -> Bool {
    guard token == .word(word) else { return false }
    try advance()
    return true
  }

  private mutating func word(_ what: String) throws(DiagnosticSet) -> String {
    guard case .word(let word) = token else { return try fail("\(what) is expected here") }
    try advance()
    return word
  }

  private mutating func local() throws(DiagnosticSet) -> String {
    guard case .local(let name) = token else { return try fail("a local, `%name`, is expected here") }
    try advance()
    return name
  }

  private mutating func integer() throws(DiagnosticSet) -> Int {
    let isNegative = try take("-")
    guard case .number(let value, true) = token, value <= Self.sizeLimit else {
      return try fail("an integer is expected here")
    }
    try advance()
    return isNegative ? -Int(value) : Int(value)
  }

  private mutating func dtype() throws(DiagnosticSet) -> DType {
    guard case .word(let name) = token, let dtype = DType(rawValue: name) else {
      return try fail("a dtype is expected here")
    }
    try advance()
    return dtype
  }

  /// `item, item, ...` up to a closing symbol, which is taken.
  private mutating func list(
    until close: Character, _ item: (inout KernelParser) throws(DiagnosticSet) -> Void
  ) throws(DiagnosticSet) {
    if try take(close) { return }
    repeat { try item(&self) } while try take(",")
    try expect(close)
  }

  // MARK: Kernels

  mutating func parseKernel() throws(DiagnosticSet) -> Kernel {
    guard try take(word: "kernel"), case .function(let name) = token else {
      return try fail("`kernel @name` is expected here")
    }
    try advance()
    kernel = Kernel(name: name)
    pool = ExpressionPool()
    shared = [:]
    try expect("(")
    try list(until: ")") { (parser) throws(DiagnosticSet) in try parser.buffer() }
    try expect("{")
    try locations()
    guard try take(word: "domain") else { return try fail("`domain` is expected here") }
    if try take("[") { try expect("]") } else { try axes() }
    kernel.domainRank = kernel.axes.count
    if try take(word: "axis") { try axes() }
    while !(try take("}")) { if let statement = try statement() { kernel.body.append(statement) } }
    kernel.expressions = pool.expressions
    return kernel.canonicalised()
  }

  private mutating func buffer() throws(DiagnosticSet) {
    _ = try local()
    let name = try word("a name")
    try expect(":")
    let dtype = try dtype()
    try expect("[")
    var shape: [Int] = []
    try list(until: "]") { (parser) throws(DiagnosticSet) in shape.append(try parser.integer()) }
    guard case .word(let text) = token, let access = KernelBuffer.Access(rawValue: text) else {
      return try fail("`read`, `write` or `read_write` is expected here")
    }
    try advance()
    kernel.buffers.append(KernelBuffer(name: name, dtype: dtype, shape: shape, access: access))
  }

  private mutating func locations() throws(DiagnosticSet) {
    while token == .word("at") {
      let parts = lexer.restOfLine().trimmingSpaces.split(separator: ":")
      guard parts.count >= 3, let line = Int(parts[parts.count - 2]), let column = Int(parts[parts.count - 1]) else {
        return try fail("`at path:line:column` is expected here")
      }
      let path = parts.dropLast(2).joined(separator: ":")
      kernel.locations.append(Location(path: path, line: line, column: column))
      try advance()
    }
  }

  private mutating func axes() throws(DiagnosticSet) {
    repeat {
      let name = try word("an axis")
      try expect(":")
      kernel.axes.append(KernelAxis(name: name, extent: try integer()))
    } while try take(",")
  }

  private mutating func axisID() throws(DiagnosticSet) -> AxisID {
    guard case .word(let name) = token, let index = kernel.axes.firstIndex(where: { $0.name == name }) else {
      return try fail("an axis is expected here")
    }
    try advance()
    return AxisID(index)
  }

  // MARK: Statements

  private mutating func statement() throws(DiagnosticSet) -> KernelStatement? {
    if try take(word: "let") {
      guard case .shared(let name) = token else { return try fail("`$name` is expected here") }
      try advance()
      try expect("=")
      shared[name] = try expression()
      return nil
    }
    if try take(word: "scratch") { return try scratch() }
    if try take(word: "for") {
      let over = try axisList()
      var stores: [KernelStore] = []
      while !(try take("}")) { stores.append(try store()) }
      return .loop(over: over, stores: stores)
    }
    if case .local = token { return try binding() }
    return .store(try store())
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

  private mutating func bind(_ name: String, _ dtype: DType) -> LocalID {
    kernel.locals.append(KernelLocal(name: name, dtype: dtype))
    return LocalID(kernel.locals.count - 1)
  }

  /// `k, j {`
  private mutating func axisList() throws(DiagnosticSet) -> [AxisID] {
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

  private mutating func bufferID() throws(DiagnosticSet) -> BufferID {
    guard case .word(let name) = token, let index = kernel.buffers.firstIndex(where: { $0.name == name }) else {
      return try fail("a buffer is expected here")
    }
    try advance()
    return BufferID(index)
  }

  private mutating func store() throws(DiagnosticSet) -> KernelStore {
    let buffer = try bufferID()
    try expect("[")
    var index: [Affine] = []
    try list(until: "]") { (parser) throws(DiagnosticSet) in index.append(try parser.affine()) }
    try expect("=")
    return KernelStore(buffer, index, try expression())
  }

  // MARK: Expressions

  private mutating func affine() throws(DiagnosticSet) -> Affine {
    var form = Affine.zero
    var isFirst = true
    while isFirst || token == .symbol("+") || token == .symbol("-") {
      let isNegative = try take("-")
      if !isNegative && !isFirst { try expect("+") }
      isFirst = false
      var part: Affine
      if case .number = token {
        let number = try integer()
        part = try take("*") ? Affine([Affine.Term(try axisID(), number)]) : Affine(constant: number)
      } else {
        part = Affine(axis: try axisID())
      }
      if isNegative { part = part.scaled(by: -1) ?? part }
      guard let sum = form.adding(part) else { return try fail("the index overflows before this") }
      form = sum
    }
    return form
  }

  private mutating func expression() throws(DiagnosticSet) -> ScalarID {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { return try fail("the expression nests more than \(Self.depthLimit) deep") }
    switch token {
    case .shared(let name):
      guard let known = shared[name] else { return try fail("`$\(name)` is not defined") }
      try advance()
      return known
    case .local(let name): return try localValue(name)
    case .number, .symbol("-"), .word("inf"), .word("nan"): return try constant()
    case .word(let name) where kernel.buffers.contains { $0.name == name }:
      return pool.add(try load())
    case .word(let name): return try call(name)
    case .function, .symbol, .end: return try fail("a value is expected here")
    }
  }

  private mutating func localValue(_ name: String) throws(DiagnosticSet) -> ScalarID {
    guard let index = kernel.locals.lastIndex(where: { $0.name == name }) else {
      return try fail("`%\(name)` is not bound")
    }
    try advance()
    guard try take("[") else { return pool.add(.local(LocalID(index))) }
    try expect("]")
    return pool.add(.scratch(LocalID(index)))
  }

  private mutating func number() throws(DiagnosticSet) -> Double {
    let sign: Double = try take("-") ? -1 : 1
    if try take(word: "inf") { return sign * .infinity }
    if try take(word: "nan") { return .nan }
    guard case .number(let value, _) = token else { return try fail("a number is expected here") }
    try advance()
    return sign * value
  }

  private mutating func constant() throws(DiagnosticSet) -> ScalarID {
    let value = try number()
    guard try take(":") else { return pool.add(.constant(DType.f32.round(value), .f32)) }
    return pool.add(.constant(value, try dtype()))
  }

  private mutating func load() throws(DiagnosticSet) -> ScalarExpr {
    let buffer = try bufferID()
    try expect("[")
    var index: [KernelIndex] = []
    try list(until: "]") { (parser) throws(DiagnosticSet) in
      guard try parser.take("{") else { return index.append(.affine(try parser.affine())) }
      index.append(.loaded(try parser.expression()))
      try parser.expect("}")
    }
    return .load(buffer, index, guards: [], otherwise: 0)
  }

  /// `guarded(x[m-1], m-1 < 5, else 0)`
  private mutating func guarded() throws(DiagnosticSet) -> ScalarID {
    guard case .load(let buffer, let index, _, _) = try load() else {
      return try fail("a load is expected before this")
    }
    var guards: [KernelGuard] = []
    try expect(",")
    while !(try take(word: "else")) {
      let form = try affine()
      try expect("<")
      guards.append(KernelGuard(form, limit: try integer()))
      try expect(",")
    }
    let otherwise = try number()
    try expect(")")
    return pool.add(.load(buffer, index, guards: guards, otherwise: otherwise))
  }

  private mutating func call(_ name: String) throws(DiagnosticSet) -> ScalarID {
    try advance()
    try expect("(")
    if name == "guarded" { return try guarded() }
    if name == "index" {
      let axis = try axisID()
      try expect(")")
      return pool.add(.axis(axis))
    }
    var operands: [ScalarID] = []
    try list(until: ")") { (parser) throws(DiagnosticSet) in operands.append(try parser.expression()) }
    guard let last = operands.last else { return try fail("`\(name)` is given nothing before this") }
    if let dtype = DType(rawValue: name) { return pool.add(.convert(last, dtype)) }
    if name.hasPrefix("round_"), let dtype = DType(rawValue: String(name.dropFirst(6))) {
      return pool.add(.round(last, dtype))
    }
    guard let primitive = Primitive(rawValue: name) else { return try fail("`\(name)` is no primitive") }
    return pool.add(.apply(primitive, operands, primitive.isPredicate ? .bool : dtype(of: last)))
  }

  private func dtype(of id: ScalarID) -> DType {
    var typed = kernel
    typed.expressions = pool.expressions
    return typed.dtype(id)
  }
}

extension String {
  /// Without spaces at either end.
  fileprivate var trimmingSpaces: String {
    String(drop { $0 == " " }.reversed().drop { $0 == " " || $0 == "\r" }.reversed())
  }
}
