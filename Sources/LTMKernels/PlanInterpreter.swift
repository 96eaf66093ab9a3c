import LTMIR
import LTMSupport

extension Plan {
  /// Runs the launches on host arrays: the outputs by name, and by their own names the inputs that the plan updates. With
  /// rounding, each store narrows to its buffer's dtype; without, everything stays in f64.
  package func evaluate(_ inputs: [String: Tensor], rounding: Bool = true) throws(DiagnosticSet) -> [String: Reference]
  {
    var memory: [[Double]] = []
    for buffer in buffers { memory.append(try initial(buffer, inputs)) }
    for launch in launches {
      var arguments = launch.arguments.map { memory[$0.index] }
      kernels[launch.kernel].interpret(&arguments, rounding: rounding ? .everyOp : .none)
      for (number, argument) in launch.arguments.enumerated()
      where kernels[launch.kernel].buffers[number].access.writes {
        memory[argument.index] = arguments[number]
      }
    }
    var results: [String: Reference] = [:]
    for (buffer, data) in zip(buffers, memory) {
      if let name = resultName(buffer) { results[name] = Reference(shape: buffer.shape, data: data) }
    }
    return results
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
    case .arena: nil
    }
  }

  private func isWritten(_ place: PlanBuffer.Place) -> Bool {
    launches.contains { launch in
      zip(launch.arguments, kernels[launch.kernel].buffers).contains {
        buffers[$0.index].place == place && $1.access.writes
      }
    }
  }
}
