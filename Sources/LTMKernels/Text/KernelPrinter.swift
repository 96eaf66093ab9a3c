import LTMIR
import LTMSupport

extension Kernel: CustomStringConvertible {
  /// The text form; `parseKernels` reads it back.
  package var description: String { KernelPrinter(self).print() }

  /// The text with names and places removed: equal for kernels that compute the same, so that equal blocks of a model
  /// share one, and the key under which the disk cache keeps its code.
  package var identity: String {
    var anonymous = canonicalised()
    anonymous.name = "k"
    anonymous.locations = []
    anonymous.origins = []
    for index in buffers.indices { anonymous.buffers[index].name = "b\(index)" }
    for index in axes.indices { anonymous.axes[index].name = "a\(index)" }
    for index in locals.indices { anonymous.locals[index].name = "l\(index)" }
    return anonymous.description
  }
}

/// Prints a kernel. An expression that is used twice, or that nests deeply, gets a name of its own: `let $3 = ...`.
private struct KernelPrinter {
  private let kernel: Kernel
  private let useCount: [Int]
  private var lines: [String] = []
  /// Expressions printed as `$n`.
  private var named: [ScalarID: Int] = [:]
  private var texts: [ScalarID: (text: String, depth: Int)] = [:]
  private static let depthLimit = 8

  init(_ kernel: Kernel) {
    self.kernel = kernel
    var counts = [Int](repeating: 0, count: kernel.expressions.count)
    for id in kernel.expressions.flatMap(\.operands) + kernel.body.flatMap(\.roots) { counts[id.index] += 1 }
    useCount = counts
  }

  func print() -> String {
    var printer = self
    let buffers = kernel.buffers.enumerated().map {
      "%\($0) \($1.name): \($1.dtype)[\(commaList($1.shape))] \($1.access.rawValue)"
        + ($1.isAligned ? "" : " unaligned")
    }
    printer.lines.append("kernel @\(kernel.name)(\(buffers.joined(separator: ", "))) {")
    for location in kernel.locations { printer.lines.append("  at \(location)") }
    printer.printAxes()
    for statement in kernel.body { printer.print(statement) }
    printer.lines.append("}")
    return printer.lines.joined(separator: "\n") + "\n"
  }

  private mutating func printAxes() {
    let axes = kernel.axes.map { "\($0.name): \($0.extent)" }
    let domain = axes.prefix(kernel.domainRank).joined(separator: ", ")
    lines.append("  domain " + (domain.isEmpty ? "[]" : domain))
    if axes.count > kernel.domainRank {
      lines.append("  axis " + axes.dropFirst(kernel.domainRank).joined(separator: ", "))
    }
  }

  private mutating func print(_ statement: KernelStatement) {
    switch statement {
    case .reduce(let local, let combiner, let over, let value):
      lines.append("  \(binder(local)) = reduce \(combiner.rawValue) \(names(over)) { \(text(value)) }")
    case .argReduce(let local, let combiner, let over, let value):
      lines.append("  \(binder(local)) = argreduce \(combiner.rawValue) \(names([over])) { \(text(value)) }")
    case .contract(let local, let over, let lhs, let rhs):
      lines.append("  \(binder(local)) = contract \(names(over)) { \(text(lhs)), \(text(rhs)) }")
    case .scratch(let local, let over, let value):
      lines.append("  scratch %\(kernel[local].name)[\(kernel[over].name)]: \(kernel[local].dtype) = \(text(value))")
    case .loop(let over, let stores):
      let body = stores.map { "    \(storeText($0))" }
      lines += ["  for \(names(over)) {"] + body + ["  }"]
    case .store(let store):
      lines.append("  " + storeText(store))
    case .epilogue(let store, let combiner, let over):
      lines.append("  \(target(store)) = epilogue \(combiner.rawValue) \(names(over)) { \(text(store.value)) }")
    case .attention(let attention): print(attention)
    case .line(let store, let op, let over, let to):
      let axes = kernel[over].name + (to == over ? "" : " to \(kernel[to].name)")
      lines.append("  \(target(store)) = \(op.words) \(axes) { \(text(store.value)) }")
    }
  }

  /// The header first: names that its parts need stand inside.
  private mutating func print(_ attention: KernelAttention) {
    let axes = [attention.keys, attention.depth, attention.width]
    lines.append("  attention \(binder(attention.product)) \(names(axes)) {")
    for part in attention.parts {
      let value = text(part.value)
      lines.append("    \(part.name) \(value)")
    }
    for result in KernelAttention.Result.allCases {
      if let store = attention.results[result] { lines.append("    \(target(store)) = \(result.rawValue)") }
    }
    lines.append("  }")
  }

  private mutating func storeText(_ store: KernelStore) -> String { "\(target(store)) = \(text(store.value))" }

  /// The element that is written.
  private mutating func target(_ store: KernelStore) -> String {
    var index = store.index.map { affineText($0) }
    if let shift = store.shift {
      index[shift.dimension] = "\(shift.wraps ? "around" : "at") {\(text(shift.by))} \(index[shift.dimension])"
    }
    return "\(kernel[store.buffer].name)[\(index.joined(separator: ", "))]"
  }

  private func binder(_ local: LocalID) -> String { "%\(kernel[local].name): \(kernel[local].dtype)" }
  private func names(_ axes: [AxisID]) -> String { axes.map { kernel[$0].name }.joined(separator: ", ") }

  /// The text of an expression; whatever needs a name is printed first.
  private mutating func text(_ root: ScalarID) -> String {
    var stack = [root]
    while let top = stack.last {
      let pending = texts[top] == nil ? kernel[top].operands.filter { texts[$0] == nil } : []
      if pending.isEmpty {
        stack.removeLast()
        if texts[top] == nil { settle(top) }
      } else {
        stack += pending.reversed()
      }
    }
    return texts[root]?.text ?? ""
  }

  private mutating func settle(_ id: ScalarID) {
    let operands = kernel[id].operands
    let depth = 1 + (operands.map { texts[$0]?.depth ?? 0 }.max() ?? 0)
    let body = full(id)
    if (useCount[id.index] > 1 && !operands.isEmpty) || depth > Self.depthLimit {
      let number = named.count
      named[id] = number
      lines.append("  let $\(number) = \(body)")
      texts[id] = ("$\(number)", 0)
    } else {
      texts[id] = (body, depth)
    }
  }

  private func full(_ id: ScalarID) -> String {
    func operand(_ id: ScalarID) -> String { texts[id]?.text ?? "" }
    switch kernel[id] {
    case .constant(let value, let dtype):
      return dtype == .f32 ? floatText(value) : numberText(value) + ":\(dtype)"
    case .axis(let axis): return "index(\(kernel[axis].name))"
    case .load(let buffer, let index, let guards, let otherwise):
      let parts = index.map { part in
        switch part {
        case .affine(let form): affineText(form)
        case .loaded(let id): "{\(operand(id))}"
        }
      }
      let load = "\(kernel[buffer].name)[\(parts.joined(separator: ", "))]"
      if guards.isEmpty { return load }
      let conditions = guards.map { "\(affineText($0.form)) < \($0.limit)" }.joined(separator: ", ")
      return "guarded(\(load), \(conditions), else \(numberText(otherwise)))"
    case .local(let local): return "%\(kernel[local].name)"
    case .scratch(let local): return "%\(kernel[local].name)[]"
    case .apply(let primitive, let operands, _):
      return "\(primitive.rawValue)(\(operands.map(operand).joined(separator: ", ")))"
    case .convert(let value, let dtype): return "\(dtype)(\(operand(value)))"
    case .round(let value, let dtype): return "round_\(dtype)(\(operand(value)))"
    }
  }

  private func affineText(_ form: Affine) -> String {
    var text = ""
    for term in form.terms {
      let name = kernel[term.axis].name
      let sign = term.stride < 0 ? "-" : text.isEmpty ? "" : "+"
      text += sign + (term.stride.magnitude == 1 ? name : "\(term.stride.magnitude)*\(name)")
    }
    if text.isEmpty { return "\(form.offset)" }
    return form.offset == 0 ? text : text + (form.offset < 0 ? "\(form.offset)" : "+\(form.offset)")
  }
}

/// A number as short as it reads back: `0`, `0.5`, `-inf`, `nan`.
private func numberText(_ value: Double) -> String {
  let text = value.description
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}

/// An f32 as short as it reads back.
private func floatText(_ value: Double) -> String {
  let single = Float(value)
  guard Double(single) == value else { return numberText(value) }
  let text = single.description
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}

/// `64, 256`
package func commaList(_ numbers: [Int]) -> String { numbers.map(String.init).joined(separator: ", ") }
