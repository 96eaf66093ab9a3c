import LTMIR
import LTMSupport

extension Plan {
  /// Runs the steps on host arrays: the outputs by name, and by their own names the inputs that the plan updates. With
  /// rounding, each store narrows to its buffer's dtype; without, everything stays in f64.
  package func evaluate(_ inputs: [String: Tensor], rounding: Bool = true) throws(DiagnosticSet) -> [String: Reference]
  {
    var memory: [[Double]] = []
    for buffer in buffers { memory.append(try initial(buffer, inputs)) }
    run(frame, &memory, rounding ? .everyOp : .none)
    var results: [String: Reference] = [:]
    for (buffer, data) in zip(buffers, memory) {
      if let name = resultName(buffer) { results[name] = Reference(shape: buffer.shape, data: data) }
    }
    return results
  }

  private func run(_ frame: PlanFrame, _ memory: inout [[Double]], _ rounding: KernelRounding) {
    for step in frame.steps {
      switch step {
      case .launch(let launch):
        var arguments = launch.arguments.map { memory[$0.index] }
        kernels[launch.kernel].interpret(&arguments, rounding: rounding)
        for (number, (id, access)) in accesses(of: step).enumerated() where access.writes {
          memory[id.index] = arguments[number]
        }
      case .loop(let loop):
        for iteration in 0..<loop.count { run(loop, row: loop.row(iteration), &memory, rounding) }
      }
    }
  }

  /// One iteration: the body's memory is made, filled from outside, and what it wrote goes back.
  private func run(_ loop: PlanLoop, row: Int, _ memory: inout [[Double]], _ rounding: KernelRounding) {
    let body = bodies[loop.body]
    func part(_ buffer: PlanBuffer) -> (argument: Int, range: Range<Int>)? {
      guard case .parameter(let number) = buffer.place else { return nil }
      let count = buffer.shape.reduce(1, *)
      let first = body.parameters[number].isRow ? row * count : 0
      return (loop.arguments[number].index, first..<first + count)
    }
    var own = body.frame.buffers.map { buffer in
      part(buffer).map { Array(memory[$0.argument][$0.range]) }
        ?? [Double](repeating: .nan, count: buffer.shape.reduce(1, *))
    }
    run(body.frame, &own, rounding)
    for (buffer, data) in zip(body.frame.buffers, own) {
      guard case .parameter(let number) = buffer.place, body.parameters[number].access.writes, let part = part(buffer)
      else { continue }
      memory[part.argument].replaceSubrange(part.range, with: data)
    }
  }

  /// What is not given starts as NaN, so that reading it shows.
  private func initial(_ buffer: PlanBuffer, _ inputs: [String: Tensor]) throws(DiagnosticSet) -> [Double] {
    guard case .input(let name) = buffer.place else {
      return [Double](repeating: .nan, count: buffer.shape.reduce(1, *))
    }
    guard let tensor = inputs[name] else { throw DiagnosticSet([Diagnostic(.error, "input `\(name)` is missing")]) }
    guard tensor.shape == buffer.shape else {
      throw DiagnosticSet([
        Diagnostic(.error, "input `\(name)` has shape [\(commaList(tensor.shape))], not [\(commaList(buffer.shape))]")
      ])
    }
    return tensor.doubles
  }

  private func resultName(_ buffer: PlanBuffer) -> String? {
    switch buffer.place {
    case .output(let name): name
    case .input(let name): isWritten(buffer.place) ? name : nil
    case .arena, .parameter, .part: nil
    }
  }

  private func isWritten(_ place: PlanBuffer.Place) -> Bool {
    steps.contains { step in accesses(of: step).contains { buffers[$0.id.index].place == place && $0.access.writes } }
  }
}
