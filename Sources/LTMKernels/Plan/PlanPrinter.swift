import LTMIR

extension Plan: CustomStringConvertible {
  /// The buffers, the steps in order, each body, then each kernel.
  package var description: String {
    let head = "plan @\(name) arena \(arenaBytes) activations \(activationBytes) {"
    let own = ([head] + lines(of: frame) + ["}"]).joined(separator: "\n") + "\n"
    return own + bodies.map { "\n" + text(of: $0) }.joined() + kernels.map { "\n" + $0.description }.joined()
  }

  private func text(of body: PlanBody) -> String {
    let parameters = body.parameters.map { $0.access.rawValue + ($0.isRow ? " row" : "") }.joined(separator: ", ")
    let head = "body @\(body.name)(\(parameters)) arena \(body.frame.arenaBytes) {"
    return ([head] + lines(of: body.frame) + ["}"]).joined(separator: "\n") + "\n"
  }

  private func lines(of frame: PlanFrame) -> [String] {
    frame.buffers.enumerated().map { index, buffer in
      "  buffer #\(index) \(buffer.name): \(buffer.dtype)[\(commaList(buffer.shape))] \(buffer.place)"
    } + frame.steps.map { "  \(text(of: $0))" }
  }

  private func text(of step: PlanStep) -> String {
    switch step {
    case .launch(let launch):
      let results = launch.results.map(\.description).joined(separator: ", ")
      return "launch @\(kernels[launch.kernel].name)(\(list(launch.arguments)))"
        + (results.isEmpty ? "" : "  // \(results)")
    case .loop(let loop):
      let arena = loop.arena.map { " arena #\($0.index)" } ?? ""
      let head = loop.isCall ? "call" : "loop \(loop.count)\(loop.isReversed ? " reversed" : "")"
      return "\(head) @\(bodies[loop.body].name)"
        + "(\(list(loop.arguments)))\(arena)"
    case .start(let collective): return "start \(collective.number)(\(text(of: collective.parts)))"
    case .wait(let collective): return "wait \(collective.number)"
    }
  }

  private func text(of parts: [PlanCollective.Part]) -> String {
    parts.map { part in
      let verb =
        switch part.form {
        case .join(let operation): operation.rawValue
        case .scatter(let operation): "scatter \(operation.rawValue)"
        case .gather: "gather"
        }
      return "\(verb) #\(part.buffer.index)[\(part.elements.lowerBound)..<\(part.elements.upperBound)]"
        + (part.result.map { " to #\($0.index)" } ?? "")
    }.joined(separator: ", ")
  }

  private func list(_ ids: [PlanBufferID]) -> String { ids.map { "#\($0.index)" }.joined(separator: ", ") }
}

extension PlanBuffer.Place: CustomStringConvertible {
  package var description: String {
    switch self {
    case .input(let name): "input \(name)"
    case .output(let name): "output \(name)"
    case .arena(let offset): "arena \(offset)"
    case .parameter(let number): "parameter \(number)"
    case .part(let whole, let offset): "#\(whole.index) from byte \(offset)"
    }
  }
}
