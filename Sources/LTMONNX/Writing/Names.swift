import LTMIR

/// Chooses identifiers: legal ones, near to the names that a file has, each once.
struct Names {
  private var taken: Set<String>

  /// Names beside code that calls these functions.
  init(calling functions: Set<String> = []) { taken = Names.words.union(functions) }

  /// What means something wherever it stands.
  private static let words: Set<String> = [
    "import", "let", "func", "var", "for", "in", "if", "else", "return", "yield", "require", "true", "false",
    "recompute",
    "training", "bool", "u8", "i8", "i16", "u16", "i32", "u32", "i64", "u64", "f16", "bf16", "f32", "f64", "float",
    "inf",
    "nan", "pi", "_", "call", "forward",
  ]

  /// Keeps a name from being given again.
  mutating func reserve(_ name: String) { taken.insert(name) }

  /// A name of its own near to the one given.
  mutating func identifier(_ wish: String, fallback: String) -> String {
    let legal = Self.legal(wish)
    return fresh(legal.isEmpty ? fallback : legal, startsAt: 1)
  }

  /// The name, or the name with a number.
  mutating func fresh(_ name: String, startsAt first: Int) -> String {
    if taken.insert(name).inserted { return name }
    var number = first
    while true {
      let joined = name.last?.isNumber ?? false ? "\(name)_\(number)" : "\(name)\(number)"
      if taken.insert(joined).inserted { return joined }
      number += 1
    }
  }

  /// Letters, digits and `_`, which begin with a small letter; empty where nothing is left.
  static func legal(_ name: String) -> String {
    var result = ""
    for character in name {
      if character.isASCII, character.isLetter || character.isNumber {
        result.append(character)
      } else if !result.isEmpty, result.last != "_" {
        result.append("_")
      }
    }
    while result.last == "_" { result.removeLast() }
    guard let first = result.first else { return "" }
    if first.isNumber { result = "x\(result)" }
    // A name that begins with a capital would be a dimension.
    if first.isUppercase {
      result =
        result.prefix { $0.isUppercase }.count > 1 ? result.lowercased() : first.lowercased() + result.dropFirst()
    }
    return String(result.prefix(100))
  }

  /// For each of the names the least of its last parts that tells it from the others: exporters put the path of the whole
  /// program before it.
  static func short(_ names: [String]) -> [String] {
    let paths = names.map { name in
      let whole = name.hasSuffix(":0") ? String(name.dropLast(2)) : name
      return whole.split(separator: "/").map(String.init)
    }
    var counts: [[String]: Int] = [:]
    for path in paths { for length in path.indices { counts[Array(path.suffix(length + 1)), default: 0] += 1 } }
    return zip(paths, names).map { path, name in
      let length = path.indices.first { counts[Array(path.suffix($0 + 1))] == 1 && $0 > 0 } ?? path.count
      return path.isEmpty ? name : path.suffix(max(length + 1, 1)).joined(separator: "_")
    }
  }

  /// What a local is called: the last part of its path, without what exporters add.
  static func local(_ name: String, op: String) -> String {
    let last = name.split(separator: "/").last.map(String.init) ?? name
    var words = legal(last.split(separator: ":").first.map(String.init) ?? last)
    if let range = words.range(of: "_output_") { words = String(words[..<range.lowerBound]) }
    let isMadeUp =
      words.count > 30 || words.dropFirst().allSatisfy(\.isNumber) || words.contains("tmp_") || words.hasPrefix("onnx_")
      || words.hasPrefix("p2o_") || words.lowercased().hasPrefix(op.lowercased())
    return isMadeUp ? op.lowercased() : words
  }

  /// `MyModel` of any text.
  static func type(_ name: String) -> String {
    let words = name.split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
    let text = words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    guard let first = text.first, first.isLetter else { return "Imported" }
    return String(text.prefix(60))
  }
}
