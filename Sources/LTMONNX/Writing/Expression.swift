import LTMIR

/// A name of the written file, by its number in the importer's table: its text is chosen when everything is known.
typealias SymbolID = Int

/// What the written file computes: an expression of the language.
indirect enum Expression: Sendable {
  case name(SymbolID)
  /// A number without a dtype of its own.
  case number(Double)
  /// One that came from an f32, which needs fewer digits.
  case single(Float)
  /// A size: a number known when the dimensions are.
  case size(Dim)
  /// A word that is written as it stands: `true`, a dtype, `"same"`.
  case word(String)
  case list([Expression])
  case tuple([Expression])
  case call(String, [Expression], [Named])
  /// `x.f(a)`
  case method(Expression, String, [Expression])
  /// `x.T`
  case member(Expression, String)
  case infix(Expression, Infix, Expression)
  case prefix(String, Expression)
  case part(Expression, [Part])

  /// An argument with its name.
  struct Named: Sendable {
    var name: String
    var value: Expression
    init(_ name: String, _ value: Expression) {
      self.name = name
      self.value = value
    }
  }

  /// What stands between the brackets of `x[...]`, one for each axis.
  enum Part: Sendable {
    case all
    case index(Expression)
    case range(Dim?, Dim?)
  }

  /// The operators between two operands.
  enum Infix: String, Sendable {
    case or = "||"
    case and = "&&"
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessEqual = "<="
    case greater = ">"
    case greaterEqual = ">="
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case power = "**"

    /// How tightly it binds: more is tighter.
    var precedence: Int {
      switch self {
      case .or: 1
      case .and: 2
      case .equal, .notEqual, .less, .lessEqual, .greater, .greaterEqual: 3
      case .add, .subtract: 4
      case .multiply, .divide: 5
      case .power: 7
      }
    }
  }

  /// The expressions that this one is made of.
  var children: [Expression] {
    switch self {
    case .name, .number, .single, .size, .word: []
    case .list(let items), .tuple(let items): items
    case .call(_, let operands, let named): operands + named.map(\.value)
    case .method(let x, _, let operands): [x] + operands
    case .member(let x, _), .prefix(_, let x): [x]
    case .infix(let a, _, let b): [a, b]
    case .part(let x, let parts):
      [x] + parts.compactMap { if case .index(let index) = $0 { index } else { nil } }
    }
  }

  /// Calls `body` for each name that is read.
  func forEachName(_ body: (SymbolID) -> Void) {
    if case .name(let id) = self { body(id) }
    for child in children { child.forEachName(body) }
  }

  /// The functions that it calls.
  var calls: Set<String> {
    let own: Set<String> =
      switch self {
      case .call(let name, _, _), .method(_, let name, _): [name]
      default: []
      }
    return children.reduce(into: own) { $0.formUnion($1.calls) }
  }

  /// The number of expressions in it.
  var size: Int { children.reduce(1) { $0 + $1.size } }

  /// The expression with names replaced where `body` gives something for them.
  func replacing(_ body: (SymbolID) -> Expression?) -> Expression {
    func all(_ items: [Expression]) -> [Expression] { items.map { $0.replacing(body) } }
    switch self {
    case .name(let id): return body(id) ?? self
    case .number, .single, .size, .word: return self
    case .list(let items): return .list(all(items))
    case .tuple(let items): return .tuple(all(items))
    case .call(let name, let operands, let named):
      return .call(name, all(operands), named.map { Named($0.name, $0.value.replacing(body)) })
    case .method(let x, let name, let operands): return .method(x.replacing(body), name, all(operands))
    case .member(let x, let name): return .member(x.replacing(body), name)
    case .infix(let a, let op, let b): return .infix(a.replacing(body), op, b.replacing(body))
    case .prefix(let op, let x): return .prefix(op, x.replacing(body))
    case .part(let x, let parts):
      return .part(
        x.replacing(body),
        parts.map { if case .index(let index) = $0 { .index(index.replacing(body)) } else { $0 } })
    }
  }
}
