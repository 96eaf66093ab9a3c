import LTMIR

/// Writes one op per line. What a node of the graph becomes is `%v7`; steps on the way there are `%v7.convert`.
struct HLOBuilder {
  private struct Line {
    /// `nil` for a line of a region's frame, which makes nothing.
    var name: String?
    let text: String
    let place: String
  }
  private var finished: [Line] = []
  private var current: [Line] = []
  /// Names taken; from the start those that the regions of reductions use.
  private var used: Set<String> = [
    "a", "b", "i", "j", "beats", "equal", "a_nan", "b_nan", "b_number", "only_nan", "both_nan", "better", "same",
    "first",
    "tie", "keep", "element", "index", "total",
  ]
  private var stem = ""
  private var place = ""
  /// The results of the regions that are open, innermost last.
  private var open: [[HLOValue]] = []

  /// The ops in order, without indentation.
  var lines: [String] {
    (finished + current).map { line in line.name.map { "\($0) = \(line.text)\(line.place)" } ?? line.text }
  }

  /// The value that a parameter is.
  mutating func parameter(_ name: String, _ type: HLOType) -> HLOValue {
    HLOValue(name: "%" + unique(plainIdentifier(name)), type: type)
  }

  /// Begins the lines of a node.
  mutating func begin(_ name: String, place: String) {
    stem = unique(name)
    self.place = place
  }

  /// Ends them: the last line, where it makes the result, takes the node's own name.
  mutating func finish(_ result: HLOValue) -> HLOValue {
    defer {
      finished += current
      current = []
    }
    guard let last = current.indices.last, current[last].name == result.name else { return result }
    current[last].name = "%" + stem
    return HLOValue(name: "%" + stem, type: result.type)
  }

  /// Ends the lines so far, so that other nodes may come in between; gives what `resume` takes.
  mutating func suspend() -> (stem: String, place: String) {
    finished += current
    current = []
    return (stem, place)
  }

  /// Goes on with the lines of a node.
  mutating func resume(_ suspended: (stem: String, place: String)) {
    finished += current
    current = []
    (stem, place) = suspended
  }

  /// Adds a line with several results; gives them.
  mutating func results(of text: String, _ types: [HLOType], label: String) -> [HLOValue] {
    let name = step(label)
    emit(line: text, as: "\(name):\(types.count)")
    return types.enumerated().map { HLOValue(name: types.count == 1 ? name : "\(name)#\($0)", type: $1) }
  }

  /// Adds the first line of an op with regions, whose lines follow.
  mutating func beginRegion(label: String, _ text: String, _ types: [HLOType]) {
    let name = step(label)
    current.append(Line(name: "\(name):\(types.count)", text: text, place: ""))
    open.append(types.enumerated().map { HLOValue(name: "\(name)#\($0)", type: $1) })
  }

  /// Adds the last line of an op with regions; gives its results.
  mutating func endRegion() -> [HLOValue] {
    current.append(Line(name: nil, text: "}" + place, place: ""))
    return open.popLast() ?? []
  }

  /// Adds a line that makes nothing.
  mutating func emit(text: String) { current.append(Line(name: nil, text: text, place: "")) }

  /// A new name of a step: `%v7.convert`.
  mutating func step(_ label: String) -> String { "%" + unique("\(stem).\(label)") }

  /// Adds a line. `text` is all that follows the op's name.
  mutating func emit(_ op: String, _ text: String, _ type: HLOType) -> HLOValue {
    let name = step(op)
    current.append(Line(name: name, text: "stablehlo.\(op) \(text)", place: place))
    return HLOValue(name: name, type: type)
  }

  /// Adds a line whose text is given whole.
  mutating func emit(line text: String, as name: String) { current.append(Line(name: name, text: text, place: place)) }

  /// An op whose operands and result have one type.
  mutating func same(_ op: String, _ operands: HLOValue...) -> HLOValue {
    emit(op, "\(operands.map(\.name).joined(separator: ", ")) : \(operands[0].type)", operands[0].type)
  }

  /// An op with a function type: `stablehlo.op %a, %b, rest : (A, B) -> R`.
  mutating func function(_ op: String, _ operands: [HLOValue], _ result: HLOType, _ rest: String = "") -> HLOValue {
    let names = operands.map(\.name).joined(separator: ", ")
    return emit(op, "\(names)\(rest) : \(signature(operands, result))", result)
  }

  /// A number everywhere.
  mutating func constant(_ value: Double, _ type: HLOType) -> HLOValue {
    emit("constant", "dense<\(type.dtype.literal(value))> : \(type)", type)
  }

  /// An integer everywhere.
  mutating func constant(_ value: Int64, _ type: HLOType) -> HLOValue {
    emit("constant", "dense<\(value)> : \(type)", type)
  }

  mutating func convert(_ x: HLOValue, to dtype: DType) -> HLOValue { function("convert", [x], x.type.with(dtype)) }

  mutating func compare(_ direction: String, _ a: HLOValue, _ b: HLOValue) -> HLOValue {
    let result = a.type.with(.bool)
    let text = "\(direction), \(a.name), \(b.name), \(a.dtype.comparisonKind) : \(signature([a, b], result))"
    return emit("compare", text, result)
  }

  mutating func select(_ condition: HLOValue, _ a: HLOValue, _ b: HLOValue) -> HLOValue {
    emit("select", "\(condition.name), \(a.name), \(b.name) : \(condition.type), \(a.type)", a.type)
  }

  /// The first of two values, which no pass of XLA's computes before the second or merges with anything.
  mutating func barrier(_ x: HLOValue, _ other: HLOValue) -> HLOValue {
    let name = step("optimization_barrier")
    emit(line: "stablehlo.optimization_barrier \(x.name), \(other.name) : \(x.type), \(other.type)", as: name + ":2")
    return HLOValue(name: name + "#0", type: x.type)
  }

  mutating func broadcast(_ x: HLOValue, to shape: [Int], axes: [Int]) -> HLOValue {
    function("broadcast_in_dim", [x], HLOType(x.dtype, shape), ", dims = \(list(axes))")
  }

  mutating func reshape(_ x: HLOValue, to shape: [Int]) -> HLOValue {
    x.type.shape == shape ? x : function("reshape", [x], HLOType(x.dtype, shape))
  }

  private mutating func unique(_ name: String) -> String {
    if used.insert(name).inserted { return name }
    var number = 2
    while !used.insert("\(name)_\(number)").inserted { number += 1 }
    return "\(name)_\(number)"
  }
}

/// `(A, B) -> R`
func signature(_ operands: [HLOValue], _ result: HLOType) -> String {
  "(\(operands.map(\.type.description).joined(separator: ", "))) -> \(result)"
}
