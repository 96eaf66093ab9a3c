import LTMSupport

// The reference of ops with bodies: run the body, as often as it says, one iteration after the other.

extension Node {
  /// All results for each replica.
  func evaluatedBodies(
    _ operands: [[Reference]], _ rounding: ReferenceRounding
  ) throws(DiagnosticSet) -> [[Reference]] {
    switch op {
    case .scan: try scanned(operands, rounding)
    case .`while`: try repeated(operands, rounding)
    default: try bodies[0].run(operands, rounding)
    }
  }

  private func form() throws(DiagnosticSet) -> LoopForm {
    do throws(OpError) { return try LoopForm(self) } catch { throw DiagnosticSet([error.diagnostic(for: self)]) }
  }

  private func scanned(
    _ operands: [[Reference]], _ rounding: ReferenceRounding
  ) throws(DiagnosticSet) -> [[Reference]] {
    let form = try form()
    let count = form.length?.constant ?? 0
    var carried = operands.map { Array($0[form.constants..<form.scanned]) }
    var stacked = operands.map { _ in [[Reference]](repeating: [], count: count) }
    for iteration in 0..<count {
      let index = form.index(iteration, of: count)
      let inputs = operands.indices.map { replica in
        operands[replica].prefix(form.constants) + carried[replica]
          + operands[replica].dropFirst(form.scanned).map { $0.slice(index) }
      }
      for (replica, outputs) in try bodies[0].run(inputs.map { Array($0) }, rounding).enumerated() {
        carried[replica] = Array(outputs.prefix(form.carried))
        stacked[replica][index] = Array(outputs.dropFirst(form.carried))
      }
    }
    return operands.indices.map { replica in
      carried[replica]
        + types.indices.dropFirst(form.carried).map { result in
          .stacked(stacked[replica].map { $0[result - form.carried] }, types[result].boundShape)
        }
    }
  }

  private func repeated(
    _ operands: [[Reference]], _ rounding: ReferenceRounding
  ) throws(DiagnosticSet) -> [[Reference]] {
    let form = try form()
    var results: [[Reference]] = []
    for values in operands {
      var carried = Array(values.dropFirst(form.constants))
      while try bodies[0].run([values.prefix(form.constants) + carried], rounding)[0][0].data[0] != 0 {
        carried = try bodies[1].run([values.prefix(form.constants) + carried], rounding)[0]
      }
      results.append(carried)
    }
    return results
  }
}

extension Graph {
  /// The outputs of a body for each replica, given its inputs in order.
  fileprivate func run(
    _ operands: [[Reference]], _ rounding: ReferenceRounding
  ) throws(DiagnosticSet) -> [[Reference]] {
    let given = operands.map { values in
      Dictionary(zip(inputs.map(\.value), values), uniquingKeysWith: { first, _ in first })
    }
    return try evaluateBound(given, rounding: rounding, keep: Set(outputs.map(\.value))).map { values in
      outputs.map { values[$0.value.index] }
    }
  }
}

extension Reference {
  /// The elements at one index of the first axis.
  fileprivate func slice(_ index: Int) -> Reference {
    let shape = Array(self.shape.dropFirst())
    let count = shape.reduce(1, *)
    return Reference(shape: shape, data: Array(data[index * count..<(index + 1) * count]))
  }

  fileprivate static func stacked(_ slices: [Reference], _ shape: [Int]) -> Reference {
    Reference(shape: shape, data: slices.flatMap(\.data))
  }
}
