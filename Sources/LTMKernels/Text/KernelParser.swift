import LTMIR
import LTMSupport

/// Reads kernels back from their text form. What it accepts is well-formed; whether it is legal, `verify` says.
package func parseKernels(_ file: SourceFile) throws(DiagnosticSet) -> [Kernel] {
  var parser = try KernelParser(file)
  var kernels: [Kernel] = []
  while parser.token != .end { kernels.append(try parser.parseKernel()) }
  return kernels
}

struct KernelParser {
  private var lexer: KernelLexer
  private(set) var token: KernelToken = .end
  private var span: Span
  var kernel = Kernel(name: "")
  var pool = ExpressionPool()
  var shared: [String: ScalarID] = [:]
  var depth = 0
  static let depthLimit = 100
  /// Larger numbers are no sizes.
  private static let sizeLimit = 1e15

  init(_ file: SourceFile) throws(DiagnosticSet) {
    lexer = KernelLexer(file)
    span = Span(file, 0, 0)
    try advance()
  }

  // MARK: Tokens

  mutating func advance() throws(DiagnosticSet) { (token, span) = try lexer.next() }

  func fail<T>(_ message: String) throws(DiagnosticSet) -> T {
    throw DiagnosticSet([Diagnostic(.error, message, at: span)])
  }

  mutating func take(_ symbol: Character) throws(DiagnosticSet) -> Bool {
    guard token == .symbol(symbol) else { return false }
    try advance()
    return true
  }

  mutating func expect(_ symbol: Character) throws(DiagnosticSet) {
    if !(try take(symbol)) { return try fail("`\(symbol)` is expected here") }
  }

  mutating func take(word: String) throws(DiagnosticSet) -> Bool {
    guard token == .word(word) else { return false }
    try advance()
    return true
  }

  mutating func word(_ what: String) throws(DiagnosticSet) -> String {
    guard case .word(let word) = token else { return try fail("\(what) is expected here") }
    try advance()
    return word
  }

  mutating func local() throws(DiagnosticSet) -> String {
    guard case .local(let name) = token else { return try fail("a local, `%name`, is expected here") }
    try advance()
    return name
  }

  mutating func integer() throws(DiagnosticSet) -> Int {
    let isNegative = try take("-")
    guard case .number(let value, true) = token, value <= Self.sizeLimit else {
      return try fail("an integer is expected here")
    }
    try advance()
    return isNegative ? -Int(value) : Int(value)
  }

  mutating func dtype() throws(DiagnosticSet) -> DType {
    guard case .word(let name) = token, let dtype = DType(rawValue: name) else {
      return try fail("a dtype is expected here")
    }
    try advance()
    return dtype
  }

  /// `item, item, ...` up to a closing symbol, which is taken.
  mutating func list(
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
      return try fail("`read`, `write`, `read_write` or `constant` is expected here")
    }
    try advance()
    var isAligned = true
    if case .word("unaligned") = token {
      isAligned = false
      try advance()
    }
    kernel.buffers.append(KernelBuffer(name: name, dtype: dtype, shape: shape, access: access, isAligned: isAligned))
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

  mutating func axisID() throws(DiagnosticSet) -> AxisID {
    guard case .word(let name) = token, let index = kernel.axes.firstIndex(where: { $0.name == name }) else {
      return try fail("an axis is expected here")
    }
    try advance()
    return AxisID(index)
  }
}

extension String {
  /// Without spaces at either end.
  fileprivate var trimmingSpaces: String {
    String(drop { $0 == " " }.reversed().drop { $0 == " " || $0 == "\r" }.reversed())
  }
}
