/// A dimension: an integer polynomial in symbolic names, such as `B`, `2 * T` or `B * T + 1`, in normal form, so that two
/// dimensions are equal exactly when their values are. A quotient that is rounded down, `div(T, 2)`, stands in it like a
/// name.
public struct Dim: Hashable, Sendable, ExpressibleByIntegerLiteral {
  /// What a product is made of.
  indirect enum Factor: Hashable, Sendable {
    case name(String)
    /// The largest whole number whose product with the second is at most the first.
    case quotient(Dim, Dim)
  }
  /// One product: a coefficient times factors, sorted, repeated for powers.
  struct Term: Hashable, Sendable {
    var factors: [Factor]
    var coefficient: Int
  }
  /// Sorted by factors, no zero coefficients.
  private(set) var terms: [Term]

  /// Longer sums and higher powers count as overflow: products of sums grow without bound, and shapes that mean something do
  /// not come near.
  private static let (termLimit, degreeLimit) = (256, 32)
  /// Factors of all terms, those within quotients included.
  private static let weightLimit = 256

  /// A number.
  public init(_ value: Int) { terms = value == 0 ? [] : [Term(factors: [], coefficient: value)] }
  /// A number.
  public init(integerLiteral value: Int) { self.init(value) }
  /// A symbolic name.
  public init(symbol: String) { terms = [Term(factors: [.name(symbol)], coefficient: 1)] }
  private init(terms: [Term]) { self.terms = terms }

  /// The number this is, when no symbol occurs in it.
  public var constant: Int? {
    if terms.isEmpty { return 0 }
    return terms.count == 1 && terms[0].factors.isEmpty ? terms[0].coefficient : nil
  }

  /// The name this is, when it is one name alone.
  public var symbol: String? {
    guard terms.count == 1, terms[0].coefficient == 1, terms[0].factors.count == 1 else { return nil }
    return if case .name(let name) = terms[0].factors[0] { name } else { nil }
  }

  /// Every name that occurs.
  public var symbols: Set<String> {
    terms.reduce(into: []) { names, term in for factor in term.factors { names.formUnion(factor.symbols) } }
  }

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
        if overflow || a.factors.count + b.factors.count > Self.degreeLimit { return nil }
        products.append(Term(factors: (a.factors + b.factors).sorted(), coefficient: value))
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
      var factors = term.factors
      for factor in divisor.factors {
        guard let index = factors.firstIndex(of: factor) else { return nil }
        factors.remove(at: index)
      }
      quotient.append(Term(factors: factors, coefficient: term.coefficient / divisor.coefficient))
    }
    return Self.normal(quotient)
  }

  /// The quotient rounded toward minus infinity; `nil` on overflow, and where the divisor is 0.
  public func dividedDown(by other: Dim) -> Dim? {
    if other == 0 { return nil }
    if let a = constant, let b = other.constant { return a.dividedDown(by: b).map { Dim($0) } }
    if let exact = dividedExactly(by: other) { return exact }
    // What divides exactly comes out: div(2 * T + 1, 2) is T.
    let whole = Dim(terms: terms.filter { Dim(terms: [$0]).dividedExactly(by: other) != nil })
    guard !whole.terms.isEmpty, let quotient = whole.dividedExactly(by: other), let rest = subtracting(whole),
      let last = rest.dividedDown(by: other)
    else { return Self.normal([Term(factors: [.quotient(self, other)], coefficient: 1)]) }
    return quotient.adding(last)
  }

  /// The value of `name` for which this is `value`, where this grows by a fixed amount with it and the quotient is exact.
  package func solved(for name: String, equal value: Dim) -> Dim? {
    guard let (slope, offset) = line(in: name) else { return nil }
    return value.subtracting(offset)?.dividedExactly(by: slope)
  }

  /// The parts of this as `slope * name + offset`; `nil` where it has another form.
  package func line(in name: String) -> (slope: Dim, offset: Dim)? {
    guard let offset = bound([name: 0]), let slope = bound([name: 1])?.subtracting(offset), slope != 0,
      slope.multiplied(by: Dim(symbol: name))?.adding(offset) == self
    else { return nil }
    return (slope, offset)
  }

  /// The dimension with names replaced by numbers; `nil` on overflow.
  public func bound(_ values: [String: Int]) -> Dim? {
    var sum = Dim(0)
    for term in terms {
      var product = Dim(term.coefficient)
      for factor in term.factors {
        guard let next = factor.bound(values).flatMap(product.multiplied) else { return nil }
        product = next
      }
      guard let next = sum.adding(product) else { return nil }
      sum = next
    }
    return sum
  }

  /// What this comes to where names and arithmetic stand for something else.
  package func computed<R>(
    number: (Int) throws -> R, name: (String) throws -> R, add: (R, R) throws -> R, multiply: (R, R) throws -> R,
    divideDown: (R, R) throws -> R
  ) throws -> R {
    func whole(_ dim: Dim) throws -> R {
      try dim.computed(number: number, name: name, add: add, multiply: multiply, divideDown: divideDown)
    }
    let products = try terms.map { term in
      let factors = try term.factors.map { factor in
        switch factor {
        case .name(let text): try name(text)
        case .quotient(let a, let b): try divideDown(try whole(a), try whole(b))
        }
      }
      let all = (term.coefficient == 1 && !factors.isEmpty ? [] : [try number(term.coefficient)]) + factors
      return try all.dropFirst().reduce(all[0], multiply)
    }
    guard let first = products.first else { return try number(0) }
    return try products.dropFirst().reduce(first, add)
  }

  /// Both as numbers, where they are.
  private func numbers(with other: Dim) -> (Int, Int)? {
    guard let a = constant, let b = other.constant else { return nil }
    return (a, b)
  }

  private static func normal(_ terms: [Term]) -> Dim? {
    var sums: [[Factor]: Int] = [:]
    for term in terms {
      let (value, overflow) = sums[term.factors, default: 0].addingReportingOverflow(term.coefficient)
      if overflow { return nil }
      sums[term.factors] = value
      if sums.count > termLimit { return nil }
    }
    let kept = sums.filter { $0.value != 0 }.map { Term(factors: $0.key, coefficient: $0.value) }
    // The highest power first, as people write polynomials.
    let result = Dim(terms: kept.sorted { ($1.factors.count, $0.text) < ($0.factors.count, $1.text) })
    return result.nested <= weightLimit ? result : nil
  }

  /// The factors within quotients.
  fileprivate var nested: Int { terms.reduce(0) { $1.factors.reduce($0) { $0 + $1.weight } } }
}

extension Dim.Factor: Comparable {
  static func < (a: Self, b: Self) -> Bool { a.text < b.text }

  var text: String {
    switch self {
    case .name(let name): name
    case .quotient(let a, let b): "div(\(a),\(b))"
    }
  }

  fileprivate var symbols: Set<String> {
    switch self {
    case .name(let name): [name]
    case .quotient(let a, let b): a.symbols.union(b.symbols)
    }
  }

  /// How much a quotient holds; a name is free.
  fileprivate var weight: Int {
    switch self {
    case .name: 0
    case .quotient(let a, let b): 1 + a.terms.count + b.terms.count + a.nested + b.nested
    }
  }

  fileprivate func bound(_ values: [String: Int]) -> Dim? {
    switch self {
    case .name(let name): values[name].map { Dim($0) } ?? Dim(symbol: name)
    case .quotient(let a, let b):
      a.bound(values).flatMap { a in b.bound(values).flatMap { a.dividedDown(by: $0) } }
    }
  }
}

extension Dim.Term {
  var text: String { factors.map(\.text).joined(separator: "*") }
}

extension Int {
  /// Toward minus infinity; `nil` on overflow.
  fileprivate func dividedDown(by divisor: Int) -> Int? {
    let (quotient, overflow) = dividedReportingOverflow(by: divisor)
    if overflow { return nil }
    let rest = self - quotient * divisor
    return rest != 0 && (rest < 0) != (divisor < 0) ? quotient - 1 : quotient
  }
}

extension Dim: CustomStringConvertible {
  /// `B`, `2*T`, `B*T+1`: no spaces, so that a shape prints compactly.
  public var description: String {
    if terms.isEmpty { return "0" }
    var text = ""
    for term in terms {
      let product = term.text
      let magnitude = term.coefficient.magnitude
      let body = product.isEmpty ? "\(magnitude)" : magnitude == 1 ? product : "\(magnitude)*\(product)"
      text += (term.coefficient < 0 ? "-" : text.isEmpty ? "" : "+") + body
    }
    return text
  }
}
