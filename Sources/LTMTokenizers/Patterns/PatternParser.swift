/// Why a pattern is not understood.
struct PatternError: Error {
  let problem: String
}

/// Reads a regular expression into steps: what tokenizers use of Oniguruma's language.
struct PatternParser {
  private let text: [Unicode.Scalar]
  private var position = 0
  private var ignoresCase = false
  private var depth = 0
  private(set) var steps: [PatternStep] = []

  /// Steps of the longest pattern, and the depth of its groups.
  private static let mostSteps = 20_000
  private static let mostDepth = 50

  init(_ text: String) { self.text = Array(text.unicodeScalars) }

  /// The steps of the whole pattern.
  static func steps(of text: String) throws(PatternError) -> [PatternStep] {
    var parser = PatternParser(text)
    try parser.alternatives()
    if parser.position < parser.text.count { throw PatternError(problem: "has a ')' that closes nothing") }
    parser.steps.append(.match)
    return parser.steps
  }

  private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

  private mutating func take(_ word: String) -> Bool {
    guard text[position...].starts(with: word.unicodeScalars) else { return false }
    position += word.unicodeScalars.count
    return true
  }

  /// `a|b|c`.
  private mutating func alternatives() throws(PatternError) {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.mostDepth { throw PatternError(problem: "is nested deeper than \(Self.mostDepth) groups") }
    var ends: [Int] = []
    var start = steps.count
    try sequence()
    while take("|") {
      steps.insert(.split(1, steps.count - start + 2), at: start)
      ends.append(steps.count)
      steps.append(.jump(0))
      start = steps.count
      try sequence()
    }
    for end in ends { steps[end] = .jump(steps.count - end) }
  }

  private mutating func sequence() throws(PatternError) {
    while let scalar = next, scalar != "|", scalar != ")" {
      let start = steps.count
      let isRepeated = try element(scalar)
      if isRepeated { try repetition(of: start) }
      if steps.count > Self.mostSteps { throw PatternError(problem: "is longer than \(Self.mostSteps) steps") }
    }
  }

  /// One element; whether it may be repeated.
  private mutating func element(_ scalar: Unicode.Scalar) throws(PatternError) -> Bool {
    position += 1
    switch scalar {
    case "(": return try group()
    case "[": steps.append(.set(try set().finished()))
    case ".":
      var set = ScalarSet()
      set.add(10...10)
      set.isNegated = true
      steps.append(.set(set.finished()))
    case "^": steps.append(.lineStart)
    case "$": steps.append(.lineEnd)
    case "\\": return try escape()
    case "*", "+", "?": throw PatternError(problem: "repeats nothing with '\(scalar)'")
    case _: add(scalar)
    }
    return scalar != "^" && scalar != "$"
  }

  private mutating func add(_ scalar: Unicode.Scalar) {
    guard ignoresCase, !scalar.otherCases.isEmpty else {
      steps.append(.scalar(scalar))
      return
    }
    var set = ScalarSet()
    set.add(scalar.value...scalar.value)
    set.ignoresCase = true
    steps.append(.set(set.finished()))
  }

  /// What stands behind `(`.
  private mutating func group() throws(PatternError) -> Bool {
    let outer = ignoresCase
    defer { ignoresCase = outer }
    var look: Bool?
    var isAtomic = false
    if take("?=") {
      look = true
    } else if take("?!") {
      look = false
    } else if take("?>") {
      isAtomic = true
    } else if take("?i:") {
      ignoresCase = true
    } else if take("?i)") {
      throw PatternError(problem: "has '(?i)': write '(?i:...)' around what it is for")
    } else if !take("?:"), next == "?" {
      let kind = String(String.UnicodeScalarView(text[position..<min(position + 3, text.count)]))
      throw PatternError(problem: "has a group '(\(kind)', which ltm does not have")
    }
    let start = steps.count
    try alternatives()
    guard take(")") else { throw PatternError(problem: "lacks a ')'") }
    guard look != nil || isAtomic else { return true }
    steps.append(.match)
    let length = steps.count - start
    steps.insert(look.map { .look(isNegated: !$0, length: length) } ?? .atomic(length: length), at: start)
    return look == nil
  }

  /// `*`, `+`, `?`, `{n,m}` behind the element that begins at a step.
  private mutating func repetition(of start: Int) throws(PatternError) {
    let body = Array(steps[start...])
    guard let (least, most, isCounted) = try bounds() else { return }
    let isLazy = take("?")
    let isPossessive = !isLazy && !isCounted && take("+")
    guard body.count * max(least, most ?? 1) + steps.count <= Self.mostSteps else {
      throw PatternError(problem: "is longer than \(Self.mostSteps) steps")
    }
    var result: [PatternStep] = []
    for _ in 0..<least { result += body }
    if let most {
      let optional = most - least
      for index in 0..<optional {
        let rest = (body.count + 1) * (optional - index)
        result.append(isLazy ? .split(rest, 1) : .split(1, rest))
        result += body
      }
    } else {
      result.append(isLazy ? .split(body.count + 2, 1) : .split(1, body.count + 2))
      result += body
      result.append(.jump(-body.count - 1))
    }
    if isPossessive {
      result.append(.match)
      result.insert(.atomic(length: result.count), at: 0)
    }
    steps.replaceSubrange(start..., with: result)
    // A count is repeated itself, where others that are followed by a plus give nothing back.
    if isCounted, !isLazy, next == "+" || next == "*" { return try repetition(of: start) }
    if next == "*" || next == "+" { throw PatternError(problem: "repeats a repetition: put a group around it") }
  }

  private mutating func bounds() throws(PatternError) -> (least: Int, most: Int?, isCounted: Bool)? {
    if take("*") { return (0, nil, false) }
    if take("+") { return (1, nil, false) }
    if take("?") { return (0, 1, false) }
    guard next == "{" else { return nil }
    position += 1
    let least = number()
    var most = least
    if take(",") { most = number() }
    let isOpen = text[position - 1] == ","
    guard take("}"), least != nil || most != nil else {
      throw PatternError(problem: "has a '{' that counts nothing: write '\\{'")
    }
    let low = least ?? 0
    guard low <= 1000, (most ?? 0) <= 1000, isOpen || (most ?? low) >= low else {
      throw PatternError(problem: "counts with numbers that are not from 0 to 1000 in order")
    }
    return (low, isOpen ? nil : most ?? low, true)
  }

  private mutating func number() -> Int? {
    let start = position
    while let scalar = next, scalar.value &- 0x30 < 10 { position += 1 }
    let digits = String(String.UnicodeScalarView(text[start..<position]))
    return digits.isEmpty ? nil : Int(digits) ?? .max
  }

  // MARK: sets

  /// What stands behind `\`.
  private mutating func escape() throws(PatternError) -> Bool {
    if take("A") {
      steps.append(.textStart)
      return false
    }
    if take("z") || take("Z") {
      steps.append(.textEnd)
      return false
    }
    if next == "b" || next == "B" || next == "G" || (next.map { $0.value &- 0x31 < 9 } ?? false) {
      throw PatternError(problem: "has '\\\(next.map(String.init) ?? "")', which ltm does not have")
    }
    var set = ScalarSet()
    if let scalar = try escaped(into: &set) {
      add(scalar)
    } else {
      set.ignoresCase = ignoresCase
      steps.append(.set(set.finished()))
    }
    return true
  }

  /// An escape: one scalar, or a kind that is added to a set.
  private mutating func escaped(into set: inout ScalarSet) throws(PatternError) -> Unicode.Scalar? {
    guard let scalar = next else { throw PatternError(problem: "ends with '\\'") }
    position += 1
    switch scalar {
    case "s", "S": set.add(.space, isNegated: scalar == "S")
    case "d", "D": set.add(.digit, isNegated: scalar == "D")
    case "w", "W": set.add(.word, isNegated: scalar == "W")
    case "p", "P": try property(into: &set, isNegated: scalar == "P")
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "f": return "\u{C}"
    case "v": return "\u{B}"
    case "a": return "\u{7}"
    case "e": return "\u{1B}"
    case "0": return "\0"
    case "x": return take("{") ? try hexadecimal(closed: true, most: 8) : try hexadecimal(closed: false, most: 2)
    case "u": return try hexadecimal(closed: false, most: 4)
    case _ where scalar.isLetter || scalar.isNumber:
      throw PatternError(problem: "has '\\\(scalar)', which ltm does not have")
    case _: return scalar
    }
    return nil
  }

  private mutating func hexadecimal(closed: Bool, most: Int) throws(PatternError) -> Unicode.Scalar {
    var value: UInt32 = 0
    var count = 0
    while count < most, let digit = next.flatMap({ Character($0).hexDigitValue }) {
      value = value << 4 | UInt32(digit)
      position += 1
      count += 1
    }
    guard count > 0, !closed || take("}"), let scalar = Unicode.Scalar(value) else {
      throw PatternError(problem: "has a hexadecimal escape that is no character")
    }
    return scalar
  }

  /// `{L}`, `{^L}` or `L` behind `\p`.
  private mutating func property(into set: inout ScalarSet, isNegated: Bool) throws(PatternError) {
    var name = ""
    if take("{") {
      while let scalar = next, scalar != "}" {
        name.unicodeScalars.append(scalar)
        position += 1
      }
      guard take("}") else { throw PatternError(problem: "lacks the '}' of a '\\p{'") }
    } else if let scalar = next {
      name.unicodeScalars.append(scalar)
      position += 1
    }
    let isInverse = name.hasPrefix("^")
    guard let kind = ScalarSet.Kind.named(isInverse ? String(name.dropFirst()) : name) else {
      throw PatternError(problem: "asks for '\\p{\(name.prefix(40))}', which ltm does not have")
    }
    set.add(kind, isNegated: isNegated != isInverse)
  }

  /// What stands behind `[`.
  private mutating func set() throws(PatternError) -> ScalarSet {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.mostDepth { throw PatternError(problem: "is nested deeper than \(Self.mostDepth) groups") }
    var result = ScalarSet()
    result.isNegated = take("^")
    result.ignoresCase = ignoresCase
    var isFirst = true
    while let scalar = next, isFirst || scalar != "]" {
      isFirst = false
      if take("&&") { throw PatternError(problem: "has '&&' in a set, which ltm does not have") }
      position += 1
      if scalar == "[" {
        if next == ":" { throw PatternError(problem: "has '[:' in a set: write '\\p{...}'") }
        result.add(try set().finished())
        continue
      }
      guard let low = scalar == "\\" ? try escaped(into: &result) : scalar else { continue }
      guard next == "-", position + 1 < text.count, text[position + 1] != "]" else {
        result.add(low.value...low.value)
        continue
      }
      position += 1
      var none = ScalarSet()
      let end = next
      position += 1
      guard let high = end == "\\" ? try escaped(into: &none) : end, low <= high else {
        throw PatternError(problem: "has a range whose end is before its beginning")
      }
      result.add(low.value...high.value)
    }
    guard take("]") else { throw PatternError(problem: "lacks a ']'") }
    return result
  }
}
