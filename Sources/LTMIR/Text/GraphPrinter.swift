import LTMSupport

// The text form, as sketched at the top of `Graph.swift`:
//
//     graph @NAME(
//       %NAME: TYPE ROLE,                                        // SCOPE PATH:LINE:COLUMN
//     ) -> (
//       NAME: %VALUE updates NAME,
//     ) {
//       %INDEX: TYPE = OP(%VALUE, ...) {ATTRIBUTE = VALUE, ..., why = "REASON"}  // SCOPE PATH:LINE:COLUMN
//       %INDEX: TYPE = OP(%VALUE, ...) {...} also (TYPE, ...) with graph @NAME(...) -> (...) {...} with graph ...  // ...
//     }
//
// Inputs are `%name`, other values `%index`. An input that is not at its position in the list prints `#index`. Names that
// are not plain words are quoted. Attribute values: `3`, `3.0`, `true`, `f16`, `[0, 1]`, `dim[T-1]`, `shape[B, 64]`.

extension Graph {
  /// The text form, which ``parse(_:)`` reads back to an equal graph.
  package var text: String {
    let names = Dictionary(inputs.map { ($0.value, $0.name) }, uniquingKeysWith: { first, _ in first })
    func reference(_ value: ValueID) -> String { names[value].map { "%" + quoted($0) } ?? value.description }
    let inputLines = inputs.enumerated().map { position, input in
      let node = self[input.value]
      let place = input.value.index == position ? "" : " #\(input.value.index)"
      let head = "\(reference(input.value))\(place): \(typeText(node.type)) \(input.role)"
      return head + braces(node) + "," + trailer(node)
    }
    let outputLines = outputs.map { output in
      "\(quoted(output.name)): \(reference(output.value))" + (output.updates.map { " updates \(quoted($0))" } ?? "")
        + ","
    }
    let body = nodes.indices.filter { names[ValueID($0)] == nil }.map { index in
      let node = nodes[index]
      let call = "\(node.op.name)(\(node.operands.map(reference).joined(separator: ", ")))"
      return "%\(index): \(typeText(node.type)) = \(call)\(braces(node))\(bodies(node))\(trailer(node))"
    }
    return "graph @\(quoted(name))(\(lines(inputLines))) -> (\(lines(outputLines))) {\(lines(body))}\n"
  }
}

private func lines(_ lines: [String]) -> String { lines.isEmpty ? "" : "\n" + lines.map { "  \($0)\n" }.joined() }

/// The attributes and the reason.
private func braces(_ node: Node) -> String {
  var parts = node.attributes.entries.map { "\($0.name) = \(attributeText($0.value))" }
  if let reason = node.reason { parts.append("why = \(stringLiteral(reason))") }
  return parts.isEmpty ? "" : " {\(parts.joined(separator: ", "))}"
}

/// The types of further results, and the bodies, indented.
private func bodies(_ node: Node) -> String {
  let further = node.furtherTypes.map(typeText).joined(separator: ", ")
  let graphs = node.bodies.map { body in
    let lines = body.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    return " with " + lines.joined(separator: "\n  ")
  }
  return (further.isEmpty ? "" : " also (\(further))") + graphs.joined()
}

/// Scope and place, as a comment at the end of the line.
private func trailer(_ node: Node) -> String {
  var parts = node.scope.isEmpty ? [] : [quoted(node.scope)]
  if let location = node.location {
    let isPlain = !location.path.isEmpty && location.path.allSatisfy { $0.isASCII && !" \"\\\t\r\n".contains($0) }
    parts.append("\(isPlain ? location.path : stringLiteral(location.path)):\(location.line):\(location.column)")
  }
  return parts.isEmpty ? "" : "  // \(parts.joined(separator: " "))"
}

func attributeText(_ value: Attribute) -> String {
  switch value {
  case .int(let value): "\(value)"
  case .ints(let values): "\(values)"
  // Swift prints the shortest digits that read back as the same double, always with a point or an exponent.
  case .float(let value): "\(value)"
  case .bool(let value): "\(value)"
  case .dim(let dim): "dim[\(dimText(dim))]"
  case .dims(let dims): "shape[\(dims.map(dimText).joined(separator: ", "))]"
  case .dtype(let dtype): "\(dtype)"
  case .word(let word): stringLiteral(word)
  }
}

private func typeText(_ type: TensorType) -> String {
  "\(type.dtype)[\(type.shape.map(dimText).joined(separator: ", "))]"
}

/// Like `Dim.description`, with odd names quoted.
private func dimText(_ dim: Dim) -> String {
  if dim.symbols.allSatisfy(isPlainName) { return dim.description }
  var text = ""
  for term in dim.terms {
    text += (term.coefficient < 0 ? "-" : text.isEmpty ? "" : "+")
    text += (["\(term.coefficient.magnitude)"] + term.factors.map(factorText)).joined(separator: "*")
  }
  return text
}

private func factorText(_ factor: Dim.Factor) -> String {
  switch factor {
  case .name(let name): quoted(name)
  case .quotient(let a, let b): "div(\(dimText(a)), \(dimText(b)))"
  }
}

/// Letters, digits, `_`, `.` and `/`, and a letter or `_` first.
func isPlainName(_ name: String) -> Bool {
  guard let first = name.utf8.first, isNameStart(first) else { return false }
  return name.utf8.allSatisfy(isNamePart)
}

func isNameStart(_ byte: UInt8) -> Bool {
  UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
    || byte == UInt8(ascii: "_")
}

func isNamePart(_ byte: UInt8) -> Bool {
  isNameStart(byte) || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || byte == UInt8(ascii: ".")
    || byte == UInt8(ascii: "/")
}

private func quoted(_ name: String) -> String { isPlainName(name) ? name : stringLiteral(name) }

private func stringLiteral(_ text: String) -> String {
  var literal = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"", "\\": literal += "\\\(scalar)"
    case _ where scalar.value < 0x20 || scalar.value == 0x7F: literal += "\\u{\(String(scalar.value, radix: 16))}"
    default: literal.unicodeScalars.append(scalar)
    }
  }
  return literal + "\""
}
