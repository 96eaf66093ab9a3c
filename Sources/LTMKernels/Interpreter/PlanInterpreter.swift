import LTMIR
import LTMSupport

extension Plan {
  /// Runs the steps on host arrays: the outputs by name, and by their own names the inputs that the plan updates. With
  /// rounding, each store narrows to its buffer's dtype; without, everything stays in f64.
  package func evaluate(_ inputs: [String: Tensor], rounding: Bool = true) throws(DiagnosticSet) -> [String: Reference]
  {
    var memory = FrameMemory(frame)
    for (index, buffer) in buffers.enumerated() {
      if let given = try initial(buffer, inputs) { memory[PlanBufferID(index)] = given }
    }
    run(frame, &memory, rounding ? .everyOp : .none)
    var results: [String: Reference] = [:]
    for (index, buffer) in buffers.enumerated() {
      if let name = resultName(buffer) {
        results[name] = Reference(shape: buffer.shape, data: memory[PlanBufferID(index)])
      }
    }
    return results
  }

  private func run(_ frame: PlanFrame, _ memory: inout FrameMemory, _ rounding: KernelRounding) {
    for step in frame.steps {
      switch step {
      case .launch(let launch):
        var arguments = launch.arguments.map { memory[$0] }
        kernels[launch.kernel].interpret(&arguments, rounding: rounding)
        for (number, (id, access)) in accesses(of: step).enumerated() where access.writes {
          memory[id] = arguments[number]
        }
      case .loop(let loop):
        for iteration in 0..<loop.count { run(loop, row: loop.row(iteration), &memory, rounding) }
      case .start, .wait:
        // One rank alone: what it makes with itself is what it has.
        break
      }
    }
  }

  /// One iteration: the body's memory is made, filled from outside, and what it wrote goes back.
  private func run(_ loop: PlanLoop, row: Int, _ memory: inout FrameMemory, _ rounding: KernelRounding) {
    let body = bodies[loop.body]
    func part(_ buffer: PlanBuffer) -> (argument: PlanBufferID, range: Range<Int>)? {
      guard case .parameter(let number) = buffer.place else { return nil }
      let count = buffer.shape.reduce(1, *)
      let first = body.parameters[number].isRow ? row * count : 0
      return (loop.arguments[number], first..<first + count)
    }
    var own = FrameMemory(body.frame)
    for (index, buffer) in body.frame.buffers.enumerated() {
      if let part = part(buffer) { own[PlanBufferID(index)] = Array(memory[part.argument][part.range]) }
    }
    run(body.frame, &own, rounding)
    for (index, buffer) in body.frame.buffers.enumerated() {
      guard case .parameter(let number) = buffer.place, body.parameters[number].access.writes, let part = part(buffer)
      else { continue }
      var whole = memory[part.argument]
      whole.replaceSubrange(part.range, with: own[PlanBufferID(index)])
      memory[part.argument] = whole
    }
  }

  private func initial(_ buffer: PlanBuffer, _ inputs: [String: Tensor]) throws(DiagnosticSet) -> [Double]? {
    guard case .input(let name) = buffer.place else { return nil }
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

/// The values of a frame's buffers, which may lie within each other: a number for each byte that an element starts at. What
/// is not given starts as NaN, so that reading it shows.
private struct FrameMemory {
  private let frame: PlanFrame
  private var numbers: [Double]
  /// Where each buffer starts.
  private var starts: [Int] = []

  init(_ frame: PlanFrame) {
    self.frame = frame
    var end = frame.arenaBytes
    for buffer in frame.buffers {
      switch buffer.place {
      case .arena(let offset): starts.append(offset)
      case .part(let whole, let offset): starts.append(starts[whole.index] + offset)
      case .input, .output, .parameter:
        starts.append(end)
        end += buffer.byteCount
      }
    }
    numbers = [Double](repeating: .nan, count: end)
  }

  subscript(id: PlanBufferID) -> [Double] {
    get {
      let (start, size) = (starts[id.index], frame[id].dtype.byteCount)
      return (0..<frame[id].shape.reduce(1, *)).map { numbers[start + $0 * size] }
    }
    set {
      let (start, size) = (starts[id.index], frame[id].dtype.byteCount)
      for (index, number) in newValue.enumerated() { numbers[start + index * size] = number }
    }
  }
}
