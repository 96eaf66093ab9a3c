import Foundation
import LTMIR

/// Writes expressions with the names chosen. Spaces and indentation are the formatter's; where a long line breaks is decided
/// here.
struct ExpressionText {
  /// The text of each name.
  let names: [SymbolID: String]
  /// The columns that a line may have before it breaks.
  static let width = 96

  /// The expression as text, in one line where that has room.
  func text(_ expression: Expression, indent: Int = 0) -> String {
    let flat = write(expression)
    return flat.text.count + indent <= Self.width ? flat.text : broken(expression)
  }

  /// The expression in one line, whatever its length.
  func flat(_ expression: Expression) -> String { write(expression).text }

  private typealias Written = (text: String, precedence: Int)
  private static let (unary, postfix, atom) = (6, 8, 9)

  private func write(_ expression: Expression) -> Written {
    switch expression {
    case .name(let id): return (names[id] ?? "_", Self.atom)
    case .number(let value): return number(value, "\(value)")
    case .single(let value): return number(Double(value), "\(value)")
    case .size(let dim): return size(dim)
    case .word(let word): return (word, Self.atom)
    case .list(let items): return ("[\(joined(items))]", Self.atom)
    case .tuple(let items): return ("(\(joined(items)))", Self.atom)
    case .call(let name, let operands, let named): return ("\(name)(\(arguments(operands, named)))", Self.postfix)
    case .method(let x, let name, let operands):
      return ("\(nested(x, Self.postfix)).\(name)(\(joined(operands)))", Self.postfix)
    case .member(let x, let name): return ("\(nested(x, Self.postfix)).\(name)", Self.postfix)
    case .prefix(let op, let x): return ("\(op)\(nested(x, Self.unary))", Self.unary)
    case .infix(let a, let op, let b): return infix(a, op, b)
    case .part(let x, let parts):
      return ("\(nested(x, Self.postfix))[\(parts.map(part).joined(separator: ", "))]", Self.postfix)
    }
  }

  private func number(_ value: Double, _ digits: String) -> Written {
    if value.isNaN { return ("nan", Self.atom) }
    if value.isInfinite { return value < 0 ? ("-inf", Self.unary) : ("inf", Self.atom) }
    return (digits, value.sign == .minus ? Self.unary : Self.atom)
  }

  private func size(_ dim: Dim) -> Written {
    if let number = dim.constant { return ("\(number)", number < 0 ? Self.unary : Self.atom) }
    return (Self.text(dim), dim.symbol != nil ? Self.atom : 4)
  }

  /// A dimension as the language has it: `2 * T + 1`.
  static func text(_ dim: Dim) -> String {
    var result = ""
    for character in dim.description {
      switch character {
      case "*", "+": result += " \(character) "
      case "-": result += result.isEmpty || result.last == "(" || result.hasSuffix(", ") ? "-" : " - "
      case ",": result += ", "
      default: result.append(character)
      }
    }
    return result
  }

  private func nested(_ expression: Expression, _ least: Int) -> String {
    let written = write(expression)
    return written.precedence >= least ? written.text : "(\(written.text))"
  }

  private func infix(_ a: Expression, _ op: Expression.Infix, _ b: Expression) -> Written {
    let level = op.precedence
    // Comparisons do not chain, a power binds to the right, everything else to the left.
    let (left, right) =
      switch level {
      case 3: (4, 4)
      case 7: (Self.postfix, Self.unary)
      default: (level, level + 1)
      }
    return ("\(nested(a, left)) \(op.rawValue) \(nested(b, right))", level)
  }

  private func part(_ part: Expression.Part) -> String {
    switch part {
    case .all: "..<"
    case .index(let index): write(index).text
    case .range(let low, let high): "\(low.map { size($0).text } ?? "")..<\(high.map { size($0).text } ?? "")"
    }
  }

  private func joined(_ items: [Expression]) -> String { items.map { write($0).text }.joined(separator: ", ") }

  private func arguments(_ operands: [Expression], _ named: [Expression.Named]) -> String {
    (operands.map { write($0).text } + named.map { "\($0.name): \(write($0.value).text)" }).joined(separator: ", ")
  }

  /// Over several lines: the arguments of a call each on its own, or a break behind the loosest operator.
  private func broken(_ expression: Expression) -> String {
    switch expression {
    case .call(let name, let operands, let named):
      let all = operands.map { text($0, indent: 6) } + named.map { "\($0.name): \(write($0.value).text)" }
      return "\(name)(\n\(all.joined(separator: ",\n")),\n)"
    case .method(let x, let name, let operands) where write(x).precedence >= Self.postfix:
      return "\(broken(x)).\(name)(\(joined(operands)))"
    case .member(let x, let name) where write(x).precedence >= Self.postfix: return "\(broken(x)).\(name)"
    case .list(let items) where items.count > 1:
      return "[\n\(items.map { text($0, indent: 6) }.joined(separator: ",\n")),\n]"
    case .infix(let a, let op, let b) where op != .power:
      let (left, right) = (write(a), write(b))
      let isLeftBare = op.precedence == 3 ? left.precedence > 3 : left.precedence >= op.precedence
      return "\(isLeftBare ? text(a, indent: 4) : "(\(text(a, indent: 4)))") \(op.rawValue)\n"
        + (right.precedence > op.precedence ? text(b, indent: 6) : "(\(text(b, indent: 6)))")
    default: return write(expression).text
    }
  }
}
