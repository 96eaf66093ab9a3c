import LTMSupport

// The syntax tree. A tree is a value; its depth is bounded by the parser (`Parser.depthLimit`), so that walking it
// recursively, and releasing it, cannot overflow the stack.

/// One parsed `.ltm` file.
public struct Module: Sendable {
  package var file: SourceFile
  package var declarations: [Declaration]
}

/// A name where it is written.
public struct Identifier: Hashable, Sendable {
  package var text: String
  package var span: Span
  package init(_ text: String, _ span: Span) {
    self.text = text
    self.span = span
  }
}

/// What can stand at the top of a file.
public enum Declaration: Sendable {
  case `import`(ImportDeclaration)
  /// `let name = compile-time expression`
  case constant(Binding)
  case function(FunctionDeclaration)
  case type(TypeDeclaration)
  case train(TrainDeclaration)
  case weights(WeightsDeclaration)
}

/// `import "layers.ltm"`
public struct ImportDeclaration: Sendable {
  package var path: StringLiteral
  package var span: Span
}

/// A string as written that names a file.
public struct StringLiteral: Hashable, Sendable {
  package var value: String
  package var span: Span
}

/// `layer`, `model`, or a rule of the training step (`optimizer`, `schedule`, `clip`, `average`): a name, compile-time
/// parameters and members.
public struct TypeDeclaration: Sendable {
  package enum Kind: String, Sendable, CaseIterable { case layer, model, optimizer, schedule, clip, average }
  package var kind: Kind
  package var name: Identifier
  package var parameters: [Parameter]
  package var members: [Member]
  package var span: Span
}

/// A parameter of a type declaration (`hidden: Int = 128`) or of a function (`image: [B, 64]`, `x`, `p: Float = 0.1`).
/// Only in the functions of a rule may the type be left out.
public struct Parameter: Sendable {
  package var name: Identifier
  package var type: TypeExpr?
  package var defaultValue: Expr?
  package var span: Span
}

/// What a type declaration is made of.
public enum Member: Sendable {
  /// `let fc1 = Linear(64, hidden)` or a compile-time value
  case binding(Binding)
  /// `param weight: [outputs, inputs] = kaiming_uniform()`
  case param(StorageMember)
  /// `state running_mean: [features] = zeros()`; the type may be left out in a rule
  case state(StorageMember)
  /// `cache keys: [B, heads, context, head]`, which begins as zeros
  case cache(StorageMember)
  case require(Requirement)
  case function(FunctionDeclaration)
  /// `for layer in 0..<layers { param "weight_\(layer)": ... }`
  case loop(MemberLoop)
  /// `if bias { param ... } else { ... }`
  indirect case conditional(Expr, then: [Member], otherwise: [Member], Span)

  package var span: Span {
    switch self {
    case .binding(let binding): binding.span
    case .param(let member), .state(let member), .cache(let member): member.span
    case .require(let requirement): requirement.span
    case .function(let function): function.span
    case .loop(let loop): loop.span
    case .conditional(_, then: _, otherwise: _, let span): span
    }
  }
}

/// A loop of members, over what is known when the layer is made.
public struct MemberLoop: Sendable {
  /// One name, or the names of a tuple pattern.
  package var names: [Identifier]
  package var isTuple: Bool
  package var values: Expr
  package var members: [Member]
  package var span: Span
}

/// A `param`, a `state` or a `cache`.
public struct StorageMember: Sendable {
  /// As written; where it is computed, with its quotes.
  package var name: Identifier
  /// A String: `param "weight_\(layer)": ...`
  package var computedName: Expr?
  package var type: TypeExpr?
  /// `nil` for a cache.
  package var initializer: Expr?
  package var span: Span
}

/// `require eps >= 0`: what must hold of compile-time values; who passes others is told so.
public struct Requirement: Sendable {
  package var condition: Expr
  package var span: Span
}

/// `func name(parameters) -> results { body }`
public struct FunctionDeclaration: Sendable {
  package var name: Identifier
  package var parameters: [Parameter]
  /// Empty where `->` is left out (rules); several for `-> ([B], [B])`.
  package var results: [TypeExpr]
  package var body: [Statement]
  package var span: Span
}

/// A type after `:` or `->`.
public enum TypeExpr: Sendable {
  /// `Int`, `Float`, `Bool`, `String`, or the name of a layer (`Layer` for any callable)
  case named(Identifier)
  /// `[Int]`, `[(Int, Int)]`: a list of what the element says
  indirect case list(TypeExpr, Span)
  /// `(Int, Int)`
  indirect case tuple([TypeExpr], Span)
  /// `func`: a function by its name
  case function(Span)
  /// `[B, 64]`, `i32[B]`, `[..., inputs]`, `f32[]`, and `f32` alone, which is `f32[]`
  case tensor(dtype: Identifier?, dims: [DimExpr], span: Span)

  package var span: Span {
    switch self {
    case .named(let name): name.span
    case .tensor(_, _, let span), .list(_, let span), .tuple(_, let span), .function(let span): span
    }
  }
}

/// One dimension of a tensor type.
public enum DimExpr: Sendable {
  /// `...`: any number of dimensions, equal throughout a signature
  case ellipsis(Span)
  /// A number, an `Int` in scope, a symbolic name that begins with a capital, or arithmetic on them
  case expression(Expr)
}

/// `let x = e`, `let (a, b) = e`, `var x = e`
public struct Binding: Sendable {
  package var isVariable: Bool
  /// One name, or the names of a tuple pattern.
  package var names: [Identifier]
  package var isTuple: Bool
  /// The name of a member that is computed, in place of `names`: `let "conv\(i)" = ...`
  package var computedName: Expr?
  package var value: Expr
  package var span: Span
}

extension Binding {
  /// A name for what is not known yet, about which nothing is said.
  package init(unknown name: Identifier) {
    self.init(
      isVariable: false, names: [name], isTuple: false, computedName: nil, value: Expr(.invalid, name.span),
      span: name.span)
  }
}

/// `for i in 0..<n { ... }`, `for layer in layers { ... }`: unrolled. `for x in xs.along(1) { ... }`,
/// `for (x, y) in (xs.along(1), ys.along(1)) { ... }`: run once for each index of an axis.
public struct Loop: Sendable {
  /// One name, or the names of a tuple pattern.
  package var names: [Identifier]
  package var isTuple: Bool
  package var values: Expr
  package var body: [Statement]
  package var span: Span
}

/// A statement of a function's body.
public indirect enum Statement: Sendable {
  case binding(Binding)
  /// `x = e`, where `x` is a `var`
  case assign(Identifier, Expr, Span)
  /// `running_mean <- e`, where the name is a `state` of the same type; `keys[..<, position] <- e`, a part of a `cache`
  case write(Identifier, [Subscript], Expr, Span)
  /// `"mean_\(i)" <- e`: a state whose name is computed
  case writeNamed(Expr, [Subscript], Expr, Span)
  case loop(Loop)
  /// `yield e`: what a round of a loop gives to the value of the loop
  case yield(Expr, Span)
  /// `if` as a statement: the condition is a compile-time value
  case conditional(Expr, then: [Statement], otherwise: [Statement], Span)
  case require(Requirement)
  /// `return e`, `return (a, b)`
  case `return`(Expr, Span)

  package var span: Span {
    switch self {
    case .binding(let binding): binding.span
    case .require(let requirement): requirement.span
    case .loop(let loop): loop.span
    case .assign(_, _, let span), .write(_, _, _, let span), .writeNamed(_, _, _, let span), .yield(_, let span),
      .conditional(_, then: _, otherwise: _, let span),
      .return(_, let span):
      span
    }
  }
}

/// An expression with its place.
public struct Expr: Sendable {
  package var kind: Kind
  package var span: Span
  package init(_ kind: Kind, _ span: Span) {
    self.kind = kind
    self.span = span
  }

  package indirect enum Kind: Sendable {
    case integer(Int)
    case float(Double)
    case boolean(Bool)
    case string(String)
    /// `"weight_\(layer)"`: a string with the values of names in it
    case template([TemplatePart])
    /// `inf`, `nan` are names of the prelude's constants, so they are `.name` too
    case name(String)
    /// `[a, b]`; an empty list is an error
    case list([Expr])
    /// `[Block(dim) for i in 0..<depth]`; the variable may be `_`
    case comprehension(Expr, variable: Identifier, in: Expr)
    /// `(a, b)`
    case tuple([Expr])
    /// `f(a, name: b)`
    case call(Expr, [Argument])
    /// `x.name`: a member, or, when called, a method (`x.f(a)` is `f(x, a)`)
    case member(Expr, Identifier)
    /// `x[i, a..<b, ...]`
    case index(Expr, [Subscript])
    case unary(UnaryOperator, Expr)
    case binary(BinaryOperator, Expr, Expr)
    /// `a..<b`, only in `for`, comprehensions and subscripts
    case range(Expr, Expr)
    /// `x |> f`, `x |> f(a)`
    case pipe(Expr, Expr)
    /// `for x in xs { ... yield e }` as an expression
    case collect(Loop)
    /// `if c { a } else { b }` as an expression
    case conditional(Expr, then: Expr, otherwise: Expr)
    /// `@f32 { e }`
    case pinned(dtype: Identifier, Expr)
    /// `recompute { e }`
    case recompute(Expr)
    /// What the parser puts where it reported an error; later phases stay silent about it.
    case invalid
  }
}

/// A piece of a string with values in it.
public enum TemplatePart: Sendable {
  case text(String)
  /// `\(name)`
  case name(Identifier)
}

/// An argument of a call.
public struct Argument: Sendable {
  package var name: Identifier?
  package var value: Expr
}

/// One place in `x[...]`.
public enum Subscript: Sendable {
  case ellipsis(Span)
  case index(Expr)
  /// `a..<b`, `a...`-less open ends: `a..<`, `..<b` and `..<` take the dimension's own ends; `a..<b:2` is every second place
  case slice(Expr?, Expr?, step: Expr?, Span)
}

/// An operator before its operand.
public enum UnaryOperator: String, Sendable, CaseIterable {
  case negate = "-"
  case not = "!"
}

/// An operator between two operands.
public enum BinaryOperator: String, Sendable, CaseIterable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case power = "**"
  case equal = "=="
  case notEqual = "!="
  case less = "<"
  case lessEqual = "<="
  case greater = ">"
  case greaterEqual = ">="
  case and = "&&"
  case or = "||"
}
