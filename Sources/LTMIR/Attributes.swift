import LTMSupport

/// A compile-time operand of an op.
public enum Attribute: Hashable, Sendable {
  case int(Int)
  case ints([Int])
  case float(Double)
  case bool(Bool)
  case dim(Dim)
  case dims([Dim])
  case dtype(DType)
  case word(String)
}

/// An op's compile-time operands by name. Ordered by name, so that equal sets print and hash alike.
public struct Attributes: Hashable, Sendable, ExpressibleByDictionaryLiteral {
  /// Sorted by name.
  public private(set) var entries: [(name: String, value: Attribute)]

  /// The attributes given.
  public init(dictionaryLiteral elements: (String, Attribute)...) {
    entries = elements.map { (name: $0.0, value: $0.1) }.sorted { $0.name < $1.name }
  }

  /// The value under `name`.
  public subscript(name: String) -> Attribute? {
    get { entries.first { $0.name == name }?.value }
    set {
      entries.removeAll { $0.name == name }
      if let newValue {
        entries.append((name, newValue))
        entries.sort { $0.name < $1.name }
      }
    }
  }

  /// The int under `name`.
  public func int(_ name: String) -> Int? { if case .int(let value) = self[name] { value } else { nil } }
  /// The ints under `name`.
  public func ints(_ name: String) -> [Int]? { if case .ints(let value) = self[name] { value } else { nil } }
  /// The float under `name`; an int counts as one.
  public func float(_ name: String) -> Double? {
    switch self[name] {
    case .float(let value): value
    case .int(let value): Double(value)
    default: nil
    }
  }
  /// The bool under `name`.
  public func bool(_ name: String) -> Bool? { if case .bool(let value) = self[name] { value } else { nil } }
  /// The dimension under `name`.
  public func dim(_ name: String) -> Dim? { if case .dim(let value) = self[name] { value } else { nil } }
  /// The dimensions under `name`.
  public func dims(_ name: String) -> [Dim]? { if case .dims(let value) = self[name] { value } else { nil } }
  /// The dtype under `name`.
  public func dtype(_ name: String) -> DType? { if case .dtype(let value) = self[name] { value } else { nil } }
  /// The word under `name`.
  public func word(_ name: String) -> String? { if case .word(let value) = self[name] { value } else { nil } }

  // What a signature promises is there: the verifier has proved it (`graph_c5`). Where it is not, which is a mistake in
  // ltm, the process ends with the place that asked, in the op's paragraph.

  package subscript(int name: String, file: String = #fileID, line: Int = #line) -> Int {
    proved(name, int(name), file, line)
  }
  package subscript(ints name: String, file: String = #fileID, line: Int = #line) -> [Int] {
    proved(name, ints(name), file, line)
  }
  package subscript(float name: String, file: String = #fileID, line: Int = #line) -> Double {
    proved(name, float(name), file, line)
  }
  package subscript(bool name: String, file: String = #fileID, line: Int = #line) -> Bool {
    proved(name, bool(name), file, line)
  }
  package subscript(dim name: String, file: String = #fileID, line: Int = #line) -> Dim {
    proved(name, dim(name), file, line)
  }
  package subscript(word name: String, file: String = #fileID, line: Int = #line) -> String {
    proved(name, word(name), file, line)
  }
  /// A dimension of a bound graph.
  package subscript(bound name: String, file: String = #fileID, line: Int = #line) -> Int {
    proved(name, dim(name)?.constant, file, line)
  }

  private func proved<T>(_ name: String, _ value: T?, _ file: String, _ line: Int) -> T {
    guard let value else {
      internalFailure("graph", "attribute `\(name)` is missing, of the wrong kind or not bound (\(file):\(line))")
    }
    return value
  }

  /// Equal when names and values are.
  public static func == (a: Attributes, b: Attributes) -> Bool {
    a.entries.count == b.entries.count
      && zip(a.entries, b.entries).allSatisfy { $0.name == $1.name && $0.value == $1.value }
  }
  /// Hashes names and values in order.
  public func hash(into hasher: inout Hasher) {
    for entry in entries {
      hasher.combine(entry.name)
      hasher.combine(entry.value)
    }
  }
}
