import LTMSupport
import LTMSyntax

/// What a `weights` block says.
package struct WeightRules: Sendable {
  /// A line: how names of a file become the model's.
  package struct Rule: Sendable {
    /// Paths in the file, several of which are joined along the first axis; or in the model, into which one is split.
    package let from: [String]
    package let to: [String]
    /// Whether matrices of the file are transposed.
    package let isTransposed: Bool
    package let span: Span
  }

  package var rules: [Rule] = []
  /// Paths of what the file holds beside the model's weights.
  package var ignored: [String] = []
}

extension LoadedFile {
  var weightBlocks: [WeightsDeclaration] {
    module.declarations.compactMap { if case .weights(let block) = $0 { block } else { nil } }
  }

  /// What the `weights` blocks of a model say, one after the other.
  package func weightRules(for model: String) throws(DiagnosticSet) -> WeightRules {
    var (result, problems) = (WeightRules(), DiagnosticSet())
    for block in weightBlocks where block.model.text == model { read(block, into: &result, &problems) }
    try problems.throwIfErrors()
    return result
  }

  /// The mistakes of all `weights` blocks.
  var weightProblems: [Diagnostic] {
    var (ignored, problems) = (WeightRules(), DiagnosticSet())
    for block in weightBlocks {
      if !models.contains(block.model.text) {
        problems.add(
          Diagnostic(
            "there is no model '\(block.model.text)'", at: block.model.span,
            fixIt: suggestion(for: block.model.text, among: models).map { .init(block.model.span, $0) }))
      }
      read(block, into: &ignored, &problems)
    }
    return problems.all
  }

  private func read(_ block: WeightsDeclaration, into rules: inout WeightRules, _ problems: inout DiagnosticSet) {
    for line in block.lines {
      switch line {
      case .ignore(let path, _): rules.ignored.append(path.value)
      case .map(let from, let to, let isTransposed, let span):
        if let problem = problem(from, to, span) { problems.add(problem) }
        rules.rules.append(
          .init(from: from.map(\.value), to: to.map(\.value), isTransposed: isTransposed, span: span))
      }
    }
  }

  private func problem(_ from: [StringLiteral], _ to: [StringLiteral], _ span: Span) -> Diagnostic? {
    if from.count > 1, to.count > 1 {
      return Diagnostic(
        "several weights are joined to one here, or one is split into several", at: span,
        notes: ["two lines say both: one joins them under a name of its own, the next splits that"])
    }
    if let empty = from.first(where: { Self.path($0.value).isEmpty }) {
      return Diagnostic("this names no weight of the file", at: empty.span)
    }
    if from.count + to.count > 2, let empty = to.first(where: { Self.path($0.value).isEmpty }) {
      return Diagnostic("this names no weight of the model", at: empty.span)
    }
    let stars = Self.stars(from[0].value)
    guard let other = (from + to).first(where: { Self.stars($0.value) != stars }) else { return nil }
    return Diagnostic(
      "\"\(other.value)\" has other stars than \"\(from[0].value)\"", at: other.span,
      notes: ["each star on the right stands for what the one on the left stood for, in the same order"])
  }

  private static func path(_ text: String) -> [Substring] { text.split(separator: ".") }
  private static func stars(_ text: String) -> [Substring] { path(text).filter { $0 == "*" || $0 == "**" } }
}
