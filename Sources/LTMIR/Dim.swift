/// A dimension: an integer polynomial in symbolic names, such as `B`, `2 * T` or `B * T + 1`, in normal form, so that two
/// dimensions are equal exactly when their values are.
public struct Dim: Hashable, Sendable, ExpressibleByIntegerLiteral {
  /// One product: a coefficient times names, sorted, repeated for powers.
  struct Term: Hashable, Sendable {
    var names: [String]
    var coefficient: Int
  }
  /// Sorted by names, no zero coefficients.
  private(set) var terms: [Term]

  /// Longer sums and higher powers count as overflow: products of sums grow without bound, and shapes that mean something do
  /// not come near.
  private static let (termLimit, degreeLimit) = (256, 32)

  /// A number.
  public init(_ value: Int) { terms = value == 0 ? [] : [Term(names: [], coefficient: value)] }
  /// A number.
  public init(integerLiteral value: Int) { self.init(value) }
  /// A symbolic name.
  public init(symbol: String) { terms = [Term(names: [symbol], coefficient: 1)] }
  private init(terms: [Term]) { self.terms = terms }

  /// The number this is, when no symbol occurs in it.
  public var constant: Int? {
    if terms.isEmpty { return 0 }
    return terms.count == 1 && terms[0].names.isEmpty ? terms[0].coefficient : nil
  }

  /// The name this is, when it is one name alone.
  public var symbol: String? {
    terms.count == 1 && terms[0].coefficient == 1 && terms[0].names.count == 1 ? terms[0].names[0] : nil
  }

  /// Every name that occurs.
  public var symbols: Set<String> { Set(terms.flatMap(\.names)) }

  /// The sum; `nil` on overflow.
  public func adding(_ other: Dim) -> Dim? {
    // Most dimensions are numbers by the time that there are many of them.
    if let (a, b) = numbers(with: other) {
      let (sum, overflow) = a.addingReportingOverflow(b)
      return overflow ? nil : Dim(sum)
    }
    return Self.normal(terms + other.terms)
  }
  /// The difference; `nil` on overflow.
  public func subtracting(_ other: Dim) -> Dim? { other.multiplied(by: -1).flatMap(adding) }

  /// The product; `nil` on overflow.
  public func multiplied(by other: Dim) -> Dim? {
    if let (a, b) = numbers(with: other) {
      let (product, overflow) = a.multipliedReportingOverflow(by: b)
      return overflow ? nil : Dim(product)
    }
    var products: [Term] = []
    for a in terms {
      for b in other.terms {
        let (value, overflow) = a.coefficient.multipliedReportingOverflow(by: b.coefficient)
        if overflow || a.names.count + b.names.count > Self.degreeLimit { return nil }
        products.append(Term(names: (a.names + b.names).sorted(), coefficient: value))
      }
    }
    return Self.normal(products)
  }

  /// The exact quotient, or `nil` when this form cannot show that the division is exact. The divisor is a single product
  /// (`2`, `heads`, `2 * B`); every term must be divisible by it.
  public func dividedExactly(by other: Dim) -> Dim? {
    if self == other, !terms.isEmpty { return 1 }
    guard other.terms.count == 1, let divisor = other.terms.first else { return nil }
    var quotient: [Term] = []
    for term in terms {
      guard divisor.coefficient != 0, term.coefficient != Int.min, term.coefficient % divisor.coefficient == 0 else {
        return nil
      }
      var names = term.names
      for name in divisor.names {
        guard let index = names.firstIndex(of: name) else { return nil }
        names.remove(at: index)
      }
      quotient.append(Term(names: names, coefficient: term.coefficient / divisor.coefficient))
    }
    return Self.normal(quotient)
  }

  /// The dimension with names replaced by numbers; `nil` on overflow.
  public func bound(_ values: [String: Int]) -> Dim? {
    var sum = Dim(0)
    for term in terms {
      var product = Dim(term.coefficient)
      for name in term.names {
        guard let next = product.multiplied(by: values[name].map { Dim($0) } ?? Dim(symbol: name)) else { return nil }
        product = next
      }
      guard let next = sum.adding(product) else { return nil }
      sum = next
    }
    return sum
  }

  /// Both as numbers, where they are.
  private func numbers(with other: Dim) -> (Int, Int)? {
    guard let a = constant, let b = other.constant else { return nil }
    return (a, b)
  }

  private static func normal(_ terms: [Term]) -> Dim? {
    var sums: [[String]: Int] = [:]
    for term in terms {
      let (value, overflow) = sums[term.names, default: 0].addingReportingOverflow(term.coefficient)
      if overflow { return nil }
      sums[term.names] = value
      if sums.count > termLimit { return nil }
    }
    let kept = sums.filter { $0.value != 0 }.map { Term(names: $0.key, coefficient: $0.value) }
    // The highest power first, as people write polynomials.
    return Dim(
      terms: kept.sorted {
        ($1.names.count, $0.names.joined(separator: "*")) < ($0.names.count, $1.names.joined(separator: "*"))
      })
  }
}

extension Dim: CustomStringConvertible {
  /// `B`, `2*T`, `B*T+1`: no spaces, so that a shape prints compactly.
  public var description: String {
    if terms.isEmpty { return "0" }
    var text = ""
    for term in terms {
      let product = term.names.joined(separator: "*")
      let magnitude = term.coefficient.magnitude
      let body = product.isEmpty ? "\(magnitude)" : magnitude == 1 ? product : "\(magnitude)*\(product)"
      text += (term.coefficient < 0 ? "-" : text.isEmpty ? "" : "+") + body
    }
    return text
  }
}
