import LTMSupport
import LTMSyntax

/// A rule of the training step by name with its arguments, as a `train` block or a flag gives them.
package struct RuleCall: Sendable {
  /// `AdamW`, `cosine`
  package var name: String
  /// Where the name is written; `nil` from outside.
  package var span: Span?
  /// In the order written.
  package var arguments: [Argument]
  /// An optimizer's `lr` from outside, in place of the one written.
  package var learningRate: Double?
  /// The schedules that follow this one.
  package var then: [RuleCall] = []
  /// What a group of weights has in place of these arguments.
  package var overrides: [Argument] = []

  /// An argument of a rule.
  package struct Argument: Sendable {
    /// `nil` for a positional one.
    package var name: String?
    /// The value.
    package var value: CompileTimeValue
    /// Where it is written; `nil` from outside.
    package var span: Span?
    /// Where its name is written.
    package var nameSpan: Span?

    /// An argument.
    package init(name: String?, value: CompileTimeValue, span: Span? = nil, nameSpan: Span? = nil) {
      self.name = name
      self.value = value
      self.span = span
      self.nameSpan = nameSpan
    }
  }

  /// A call of a rule.
  package init(name: String, span: Span? = nil, arguments: [Argument] = []) {
    self.name = name
    self.span = span
    self.arguments = arguments
  }

  /// The arguments with what takes the place of some of them, given by position or by name.
  func settled(for parameters: [Parameter]) -> [Argument] {
    let rate = learningRate.map { [Argument(name: "lr", value: .float($0))] } ?? []
    let others = (rate + overrides).filter { other in
      overrides.contains { $0.name == other.name } || parameters.contains { $0.name.text == other.name }
    }
    if others.isEmpty { return arguments }
    var settled = arguments
    for index in settled.indices where settled[index].name == nil && parameters.indices.contains(index) {
      settled[index].name = parameters[index].name.text
    }
    for other in others {
      settled.removeAll { $0.name == other.name }
      settled.append(other)
    }
    return settled
  }

  /// Set where the arguments stand for any: then nothing is required of them.
  var generic: Generic?

  /// Gives an argument by name, in place of the one that was there.
  package mutating func set(_ name: String, _ value: CompileTimeValue) {
    arguments.removeAll { $0.name == name }
    arguments.append(Argument(name: name, value: value))
  }
}

extension LoadedFile {
  /// Makes an optimizer.
  package func optimizer(_ call: RuleCall) throws(DiagnosticSet) -> OptimizerInstance {
    try OptimizerInstance(file: self, call: call)
  }
}
