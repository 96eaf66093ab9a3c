import LTMIR
import LTMSupport

/// Scalars and indices.
extension KernelParser {
  mutating func affine() throws(DiagnosticSet) -> Affine {
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

  mutating func expression() throws(DiagnosticSet) -> ScalarID {
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

  mutating func number() throws(DiagnosticSet) -> Double {
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
