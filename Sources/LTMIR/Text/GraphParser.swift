import LTMSupport

extension Graph {
  /// Reads the text form. What it gives may still break rules of ``verify(stage:)``, but every operand is an earlier node.
  package static func parse(_ file: SourceFile) throws(DiagnosticSet) -> Graph {
    var lexer = GraphLexer(file)
    var parser = GraphParser(try lexer.tokens())
    return try parser.graph()
  }

  /// Reads the text form from a string.
  package static func parse(_ text: String, path: String = "graph.ltir") throws(DiagnosticSet) -> Graph {
    try parse(SourceFile(path: path, text: text))
  }
}

/// Recursive descent over the tokens; the first mistake ends it, since IR is written by machines.
private struct GraphParser {
  private let tokens: [(token: GraphToken, span: Span)]
  private var position = 0
  private var inputs: [String: ValueID] = [:]
  private var depth = 0
  private static let depthLimit = 64
  /// Nodes by index; inputs may stand anywhere among them.
  private var nodes: [Int: Node] = [:]

  init(_ tokens: [(token: GraphToken, span: Span)]) { self.tokens = tokens }

  private var token: GraphToken { tokens[min(position, tokens.count - 1)].token }

  private func failure(_ message: String) -> DiagnosticSet {
    DiagnosticSet([Diagnostic(.error, message, at: tokens[min(position, tokens.count - 1)].span)])
  }

  private mutating func accept(_ mark: String) -> Bool {
    guard token == .mark(mark) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ mark: String) throws(DiagnosticSet) {
    guard accept(mark) else { throw failure("expected `\(mark)`") }
  }

  private mutating func word(_ what: String) throws(DiagnosticSet) -> String {
    guard case .word(let word) = token else { throw failure("expected \(what)") }
    position += 1
    return word
  }

  private mutating func name(_ what: String) throws(DiagnosticSet) -> String {
    if case .string(let name) = token {
      position += 1
      return name
    }
    return try word(what)
  }

  private mutating func integer() throws(DiagnosticSet) -> Int {
    guard case .number(let text) = token, let value = Int(text) else { throw failure("expected a whole number") }
    position += 1
    return value
  }

  /// `element` until the closing mark, separated by commas; one may follow the last.
  private mutating func list(
    _ close: String, _ element: (inout GraphParser) throws(DiagnosticSet) -> Void
  ) throws(DiagnosticSet) {
    while !accept(close) {
      try element(&self)
      if accept(",") { continue }
      if token != .mark(close) { throw failure("expected `,` or `\(close)`") }
    }
  }

  mutating func graph() throws(DiagnosticSet) -> Graph {
    let graph = try open()
    guard token == .end else { throw failure("expected the end of the text") }
    return graph
  }

  /// A body, whose names are its own.
  private mutating func nested() throws(DiagnosticSet) -> Graph {
    depth += 1
    guard depth <= Self.depthLimit else { throw failure("bodies are nested more than \(Self.depthLimit) deep") }
    let outer = (inputs, nodes)
    (inputs, nodes) = ([:], [:])
    let graph = try open()
    (inputs, nodes) = outer
    depth -= 1
    return graph
  }

  private mutating func open() throws(DiagnosticSet) -> Graph {
    guard try word("`graph`") == "graph" else { throw failure("expected `graph`") }
    try expect("@")
    var graph = Graph(name: try name("the graph's name"))
    try expect("(")
    while !accept(")") { graph.inputs.append(try input(position: graph.inputs.count)) }
    try expect("->")
    try expect("(")
    var outputs: [(output: GraphOutput, at: Int)] = []
    try list(")") { (parser) throws(DiagnosticSet) in outputs.append((try parser.output(), parser.position)) }
    try expect("{")
    try body()
    graph.outputs = outputs.map(\.output)
    graph.nodes = try nodesInOrder()
    if let output = outputs.first(where: { $0.output.value.index >= graph.nodes.count }) {
      position = output.at - 1
      throw failure("\(output.output.value) is not defined")
    }
    return graph
  }

  private func nodesInOrder() throws(DiagnosticSet) -> [Node] {
    var result: [Node] = []
    for index in 0..<nodes.count {
      guard let node = nodes[index] else { throw failure("%\(index) is not defined") }
      result.append(node)
    }
    return result
  }

  private mutating func input(position: Int) throws(DiagnosticSet) -> GraphInput {
    try expect("%")
    let name = try name("the input's name")
    guard inputs[name] == nil else { throw failure("%\(name) is defined twice") }
    let index = accept("#") ? try integer() : position
    guard nodes[index] == nil else { throw failure("%\(index) is defined twice") }
    try expect(":")
    let type = try type()
    let role = try word("the input's role")
    guard let role = GraphInput.Role(rawValue: role) else { throw failure("no role is called \(role)") }
    var node = Node(.input, [], type: type)
    try attributes(&node)
    if !accept(","), token != .mark(")") { throw failure("expected `,` or `)`") }
    place(&node)
    nodes[index] = node
    inputs[name] = ValueID(index)
    return GraphInput(name: name, role: role, value: ValueID(index))
  }

  private mutating func output() throws(DiagnosticSet) -> GraphOutput {
    let name = try name("the output's name")
    try expect(":")
    let value = try value()
    guard token == .word("updates") else { return GraphOutput(name: name, value: value) }
    position += 1
    return GraphOutput(name: name, value: value, updates: try self.name("the input that is updated"))
  }

  private mutating func body() throws(DiagnosticSet) {
    var next = 0
    while !accept("}") {
      while nodes[next] != nil { next += 1 }
      try expect("%")
      guard try integer() == next else { throw failure("expected %\(next)") }
      try expect(":")
      nodes[next] = try node(index: next)
    }
  }

  private mutating func node(index: Int) throws(DiagnosticSet) -> Node {
    let type = try type()
    try expect("=")
    let name = try word("the op")
    guard let op = Op(rawValue: name), op != .input else { throw failure("no op is called \(name)") }
    var node = Node(op, [], type: type)
    try expect("(")
    try list(")") { (parser) throws(DiagnosticSet) in
      let operand = try parser.value()
      guard operand.index < index else { throw parser.failure("\(operand) is not defined before") }
      node.operands.append(operand)
    }
    try attributes(&node)
    if acceptWord("also") {
      try expect("(")
      try list(")") { (parser) throws(DiagnosticSet) in node.furtherTypes.append(try parser.type()) }
    }
    while acceptWord("with") { node.bodies.append(try nested()) }
    place(&node)
    return node
  }

  private mutating func acceptWord(_ word: String) -> Bool {
    guard token == .word(word) else { return false }
    position += 1
    return true
  }

  private mutating func value() throws(DiagnosticSet) -> ValueID {
    try expect("%")
    if case .number = token { return ValueID(try integer()) }
    let name = try name("a value")
    guard let value = inputs[name] else { throw failure("no input is called \(name)") }
    return value
  }

  private mutating func place(_ node: inout Node) {
    guard case .place(let scope, let location) = token else { return }
    position += 1
    node.scope = scope
    node.location = location
  }

  private mutating func attributes(_ node: inout Node) throws(DiagnosticSet) {
    guard accept("{") else { return }
    var attributes = Attributes()
    var reason: String?
    try list("}") { (parser) throws(DiagnosticSet) in
      let name = try parser.word("an attribute")
      try parser.expect("=")
      if name == "why" {
        reason = try parser.name("the reason")
      } else {
        attributes[name] = try parser.attribute()
      }
    }
    node.attributes = attributes
    node.reason = reason
  }

  private mutating func attribute() throws(DiagnosticSet) -> Attribute {
    if accept("[") {
      var values: [Int] = []
      try list("]") { (parser) throws(DiagnosticSet) in
        guard case .int(let value) = try parser.number() else { throw parser.failure("expected whole numbers") }
        values.append(value)
      }
      return .ints(values)
    }
    if case .string(let text) = token {
      position += 1
      return .word(text)
    }
    guard case .word(let word) = token, word != "inf", word != "nan" else { return try number() }
    position += 1
    switch word {
    case "true": return .bool(true)
    case "false": return .bool(false)
    case "shape": return .dims(try dims())
    case "dim":
      let dims = try dims()
      guard dims.count == 1 else { throw failure("expected one dimension") }
      return .dim(dims[0])
    default:
      guard let dtype = DType(rawValue: word) else { throw failure("expected a value, not \(word)") }
      return .dtype(dtype)
    }
  }

  private mutating func number() throws(DiagnosticSet) -> Attribute {
    let sign = accept("-") ? "-" : ""
    switch token {
    case .number(let text), .word(let text):
      if let value = Int(sign + text) {
        position += 1
        return .int(value)
      }
      guard let value = Double(sign + text) else { throw failure("expected a number that fits") }
      position += 1
      return .float(value)
    case .string, .mark, .place, .end: throw failure("expected a number")
    }
  }

  private mutating func type() throws(DiagnosticSet) -> TensorType {
    let name = try word("a dtype")
    guard let dtype = DType(rawValue: name) else { throw failure("no dtype is called \(name)") }
    return TensorType(dtype, try dims())
  }

  private mutating func dims() throws(DiagnosticSet) -> [Dim] {
    try expect("[")
    var dims: [Dim] = []
    try list("]") { (parser) throws(DiagnosticSet) in dims.append(try parser.dim()) }
    return dims
  }

  /// `2*B*T-1`
  private mutating func dim() throws(DiagnosticSet) -> Dim {
    var sum: Dim = 0
    var isNegative = accept("-")
    while true {
      var product: Dim = isNegative ? -1 : 1
      repeat {
        guard let next = product.multiplied(by: try factor()) else { throw failure("the dimension overflows") }
        product = next
      } while accept("*")
      guard let next = sum.adding(product) else { throw failure("the dimension overflows") }
      sum = next
      if accept("+") { isNegative = false } else if accept("-") { isNegative = true } else { return sum }
    }
  }

  private mutating func factor() throws(DiagnosticSet) -> Dim {
    if case .number = token { return Dim(try integer()) }
    let isWord = token == .word("div")
    let name = try name("a dimension")
    guard isWord, accept("(") else { return Dim(symbol: name) }
    depth += 1
    guard depth <= Self.depthLimit else { throw failure("quotients are nested more than \(Self.depthLimit) deep") }
    defer { depth -= 1 }
    let dividend = try dim()
    try expect(",")
    let divisor = try dim()
    try expect(")")
    guard let quotient = dividend.dividedDown(by: divisor) else {
      throw failure("the dimension overflows, or its divisor is 0")
    }
    return quotient
  }
}
