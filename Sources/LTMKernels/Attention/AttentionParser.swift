import LTMIR
import LTMSupport

extension KernelParser {
  /// `%s: f32 j, d, e {`, its parts under their words, what it writes.
  mutating func attention() throws(DiagnosticSet) -> KernelStatement {
    let name = try local()
    try expect(":")
    let dtype = try dtype()
    let axes = try axisList()
    guard axes.count == 3 else { return try fail("an attention has keys, a depth and a width before this") }
    let product = bind(name, dtype)
    var parts: [String: ScalarID] = [:]
    var results: [KernelAttention.Result: KernelStore] = [:]
    while !(try take("}")) {
      if try take(word: "let") { try define() } else { try attentionLine(&parts, &results, dtype) }
    }
    guard let query = parts["query"], let key = parts["key"], let value = parts["value"], let score = parts["score"]
    else { return try fail("an attention has a query, a key, a value and a score before this") }
    var attention = KernelAttention(
      keys: axes[0], depth: axes[1], width: axes[2], product: product, query: query, key: key, value: value,
      score: score, kept: parts["kept"], results: results)
    if let output = parts["output"], let gradient = parts["gradient"], let logSum = parts["log_sum"],
      let slope = parts["slope"]
    {
      attention.backward = .init(output: output, gradient: gradient, logSum: logSum, slope: slope)
    }
    return .attention(attention)
  }

  private static let words: Set<String> = [
    "query", "key", "value", "score", "kept", "output", "gradient", "log_sum", "slope",
  ]

  /// `score mul(%s, 0.5)`, or `y[i, e] = output`: a buffer may be called as a part is, and no value begins with a bracket.
  private mutating func attentionLine(
    _ parts: inout [String: ScalarID], _ results: inout [KernelAttention.Result: KernelStore], _ dtype: DType
  ) throws(DiagnosticSet) {
    guard case .word(let word) = token else { return try fail("a part of an attention is expected here") }
    let isPart = Self.words.contains(word)
    let buffer = kernel.buffers.firstIndex { $0.name == word }
    try advance()
    if isPart, token != .symbol("[") {
      parts[word] = try expression()
      return
    }
    guard let buffer else { return try fail("a part of an attention or a buffer is expected before this") }
    try expect("[")
    var index: [Affine] = []
    try list(until: "]") { (parser) throws(DiagnosticSet) in index.append(try parser.affine()) }
    try expect("=")
    let name = try self.word("what an attention gives")
    guard let result = KernelAttention.Result(rawValue: name), results[result] == nil else {
      return try fail("`\(name)` before this is nothing that an attention gives, or given twice")
    }
    let value = pool.add(.local(bind(name, dtype)))
    results[result] = KernelStore(BufferID(buffer), index, value)
  }
}
