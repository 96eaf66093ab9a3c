import LTMIR

/// What the numbers of a value are like, as the replay of a step saw them.
package struct ValueFacts: OptionSet, Sendable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }

  /// A NaN is among them.
  package static let nan = ValueFacts(rawValue: 1)
  /// `inf` is among them.
  package static let positiveInfinity = ValueFacts(rawValue: 2)
  /// `-inf` is among them.
  package static let negativeInfinity = ValueFacts(rawValue: 4)
  /// A zero, of either sign.
  package static let zero = ValueFacts(rawValue: 8)
  /// A finite number below 0.
  package static let negative = ValueFacts(rawValue: 16)

  static let infinity: ValueFacts = [.positiveInfinity, .negativeInfinity]
  /// Whether neither a NaN nor an infinity is among them.
  package var isFinite: Bool { isDisjoint(with: [.nan, .positiveInfinity, .negativeInfinity]) }
  var isInfinite: Bool { !isDisjoint(with: .infinity) }
}

/// Looks for the op that is to blame for a value that is not finite.
struct FaultSearch {
  let graph: Graph
  let facts: (ValueID) -> ValueFacts

  /// The fault behind the first of `roots` that is not finite; `nil` where all are.
  ///
  /// A NaN is the fault of the op that made it, unless an infinity among its operands is one that another op made of finite
  /// numbers: that op came first. An infinity that the file wrote itself, as in a mask, is no fault.
  func origin(from roots: [ValueID]) -> ValueID? {
    guard let root = roots.first(where: { !facts($0).isFinite }) else { return nil }
    guard facts(root).contains(.nan) else {
      let origins = origins(from: [root]) { facts($0).isInfinite }
      return origins.filter { !isWritten($0) }.min() ?? origins.min()
    }
    guard let nan = origins(from: [root], { facts($0).contains(.nan) }).min() else { return nil }
    let infinite = graph[nan].operands.filter { facts($0).isInfinite }
    let made = origins(from: infinite) { facts($0).isInfinite }.filter { !isWritten($0) && !isMask($0, of: nan) }
    return made.min() ?? nan
  }

  /// The values behind `roots`, by way of what `holds` is true of, of whose operands it is true of none.
  private func origins(from roots: [ValueID], _ holds: (ValueID) -> Bool) -> [ValueID] {
    var pending = roots
    var seen = Set(roots)
    var origins: [ValueID] = []
    while let value = pending.popLast() {
      let sources = graph[value].operands.filter(holds)
      if sources.isEmpty { origins.append(value) }
      for source in sources where seen.insert(source).inserted { pending.append(source) }
    }
    return origins
  }

  /// Whether an infinity stands in the file: as a number, or as the first value of a state.
  private func isWritten(_ value: ValueID) -> Bool {
    graph[value].op == .constant || graph.inputs.contains { $0.value == value && $0.role == .state }
  }

  /// Whether an infinity is `log(0)` and meant as a mask: what reads it takes exponentials.
  private func isMask(_ value: ValueID, of reader: ValueID) -> Bool {
    graph[value].op == .log && graph[reader].op.takesExponentials
  }
}

extension Op {
  /// Whether places of -inf are left out of it.
  var takesExponentials: Bool { self == .softmax || self == .logSoftmax || self == .logsumexp || self == .crossEntropy }
}
