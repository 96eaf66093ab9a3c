import LTMRuntime

// Options that say how data of one kind is read, and what that kind is: given for data of another kind they would do nothing.

extension TrainingOptions {
  private struct KindRule {
    let flag: String
    let isGiven: Bool
    let kinds: Set<DataKind>
    /// What the option does, and to what.
    let purpose: String
  }

  private var kindRules: [KindRule] {
    [
      KindRule(flag: "window", isGiven: window != nil, kinds: [.text], purpose: "cuts a text into rows"),
      KindRule(
        flag: "window-stride", isGiven: windowStride != nil, kinds: [.text],
        purpose: "moves on in a text from row to row"),
      KindRule(
        flag: "missing", isGiven: missing != nil, kinds: [.table],
        purpose: "is what becomes of an empty field of a .csv"),
      KindRule(
        flag: "unseen", isGiven: unseen != nil, kinds: [.table, .images],
        purpose: "is what becomes of categories of a .csv, and of classes of images, that training did not see"),
      KindRule(
        flag: "tokenizer", isGiven: tokenizer != nil, kinds: [.text, .table],
        purpose: "cuts lines, windows or a .csv's columns of text into tokens"),
    ]
  }

  /// Throws where an option is for data of another kind.
  func check(kindOf path: String) throws(LTMError) {
    let kind = DataKind(path)
    for rule in kindRules where rule.isGiven && !rule.kinds.contains(kind) {
      throw LTMError(
        "--\(rule.flag) \(rule.purpose), and '\(path)' holds \(kind.rawValue)",
        notes: ["leave out --\(rule.flag), or its line in the train block, or name other data"])
    }
    guard windowStride == nil || window != nil || truncatedBpttSteps != nil else {
      throw LTMError("--window-stride 64 needs --window 129, the bytes of a row")
    }
  }
}
