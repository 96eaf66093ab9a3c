import LTMSupport
import LTMSyntax

/// Names that other frameworks taught, for messages about names that mean nothing here. The tables are in
/// `ForeignNames+Ops.swift` and `ForeignNames+Words.swift`.
package enum ForeignNames {
  /// What to say of a name that means nothing: notes, and the name that is likely meant. `near` is the one spelt nearest.
  static func advice(_ name: String, among names: [String], near: String?) -> (notes: [String], fix: String?) {
    let hint = note(name)
    let fix = replacement(name, among: names) ?? near
    // A hint says what is meant; another name would only look like it.
    let isSure = hint.isEmpty || fix?.lowercased() == name.lowercased()
    return (hint, isSure ? fix : nil)
  }

  /// What a name is here; of the names given, where there are only those.
  static func replacement(_ name: String, among names: some Sequence<String>) -> String? {
    guard let replacement = renamed[name] ?? foreignDtypes[name] else { return nil }
    // What takes several axes takes one.
    let isMeant = names.contains(replacement) || replacement == "axis" && names.contains("axes")
    return isMeant ? replacement : nil
  }

  /// A hint for an argument that a function or a layer does not have.
  static func note(_ argument: String, of callee: String) -> [String] {
    argumentNotes["\(callee).\(argument)"].map { [$0] } ?? []
  }

  /// A hint where no other name says it.
  static func note(_ name: String) -> [String] {
    if let note = notes[name] { return [note] }
    if let written = written[name] { return ["here it is written \(written)"] }
    if missing.contains(name) { return ["there is no '\(name)' yet"] }
    if activations.contains(name) {
      return ["activations are functions: relu, leaky_relu, gelu, silu, sigmoid, tanh, softplus, elu, mish, hardswish"]
    }
    if losses.contains(name) {
      return ["losses are functions: cross_entropy, mse_loss, l1_loss, huber_loss, bce_with_logits, nll_loss, kl_div"]
    }
    if modules.contains(name) { return ["ops and layers are named alone: relu(x), Linear(64, 10)"] }
    // `add_`, `fill_`: what PyTorch changes in place.
    if name.count > 2, name.last == "_", name.first != "_" {
      return ["tensors do not change: '\(name.dropLast())' without '_' makes a new one, where there is such an op"]
    }
    return []
  }
}
