import LTMIR

extension Plan {
  /// What is wrong, each with its rule; empty for a legal plan.
  ///
  /// - plan_c1: steps name kernels, bodies and buffers that exist, and pass buffers of the right dtypes and sizes.
  /// - plan_c2: arena buffers start at multiples of 64 and end within the arena.
  /// - plan_c3: two arena buffers that are alive at the same time do not overlap.
  /// - plan_c4: what is read was written before, or is an input.
  /// - plan_c5: each output is written, and each written once; an input's old value is not read after it was replaced by a
  ///   launch that does not read it, unless as the new value.
  /// - plan_c6: what a kernel calls constant is not written, at least while the loop runs that it stands in.
  /// - plan_c7: a body comes after those that it runs, and does to its parameters what it says.
  /// - plan_c8: a collective that is begun is waited for, and nothing touches its buffers meanwhile.
  package func verify() -> [String] {
    var found = argumentViolations(frame, bodiesBefore: bodies.count)
    for (number, body) in bodies.enumerated() { found += argumentViolations(body.frame, bodiesBefore: number) }
    guard found.isEmpty else { return found }
    found = kernels.flatMap { $0.verify() }
    for (frame, parameters) in [(frame, [])] + bodies.map({ ($0.frame, $0.parameters) }) {
      found += placeViolations(frame, parameters) + overlapViolations(frame) + orderViolations(frame, parameters)
      found += collectiveViolations(frame)
    }
    return found
  }

  private func argumentViolations(_ frame: PlanFrame, bodiesBefore: Int) -> [String] {
    frame.steps.enumerated().flatMap { number, step -> [String] in
      guard step.buffers.allSatisfy({ frame.buffers.indices.contains($0.index) }) else {
        return ["plan_c1: step \(number) names what does not exist"]
      }
      return switch step {
      case .launch(let launch): argumentViolations(of: launch, number, frame)
      case .loop(let loop): argumentViolations(of: loop, number, frame, bodiesBefore)
      case .start(let collective), .wait(let collective): argumentViolations(of: collective, number, frame)
      }
    }
  }

  private func argumentViolations(of collective: PlanCollective, _ number: Int, _ frame: PlanFrame) -> [String] {
    collective.parts.compactMap { part in
      let count = elementCount(frame[part.buffer].shape) ?? 0
      return part.elements.lowerBound >= 0 && part.elements.upperBound <= count
        ? nil : "plan_c1: step \(number) joins more of \(frame[part.buffer].name) than there is"
    }
  }

  /// What touches a buffer while ranks join it, and collectives that are not waited for.
  private func collectiveViolations(_ frame: PlanFrame) -> [String] {
    var found: [String] = []
    var open: [Int: Set<PlanBufferID>] = [:]
    for (number, step) in frame.steps.enumerated() {
      switch step {
      case .start(let collective): open[collective.number] = Set(collective.parts.flatMap(\.buffers))
      case .wait(let collective):
        if open.removeValue(forKey: collective.number) == nil {
          found.append("plan_c8: step \(number) waits for what was not begun")
        }
      case .launch, .loop:
        let busy = open.values.reduce(into: Set()) { $0.formUnion($1) }
        for id in step.buffers where busy.contains(id) {
          found.append("plan_c8: step \(number) touches \(frame[id].name), which ranks join")
        }
      }
    }
    return found + open.keys.sorted().map { "plan_c8: collective \($0) is never waited for" }
  }

  private func argumentViolations(of launch: Launch, _ number: Int, _ frame: PlanFrame) -> [String] {
    guard kernels.indices.contains(launch.kernel), kernels[launch.kernel].buffers.count == launch.arguments.count else {
      return ["plan_c1: step \(number) names what does not exist"]
    }
    return zip(launch.arguments, kernels[launch.kernel].buffers).compactMap { argument, buffer in
      frame[argument].dtype == buffer.dtype && elementCount(frame[argument].shape) == elementCount(buffer.shape)
        ? nil : "plan_c1: step \(number) passes \(frame[argument].name) for \(buffer.name)"
    }
  }

  private func argumentViolations(
    of loop: PlanLoop, _ number: Int, _ frame: PlanFrame, _ bodiesBefore: Int
  ) -> [String] {
    guard (0..<bodiesBefore).contains(loop.body) else { return ["plan_c7: step \(number) runs a later body"] }
    let body = bodies[loop.body]
    guard body.parameters.count == loop.arguments.count, loop.count >= 0 else {
      return ["plan_c1: step \(number) passes \(loop.arguments.count) of \(body.parameters.count) arguments"]
    }
    var found: [String] = []
    for (parameter, id) in loop.arguments.enumerated() {
      guard let buffer = body.buffer(of: parameter) else { continue }
      let rows = body.parameters[parameter].isRow ? loop.count : 1
      if frame[id].dtype != buffer.dtype || frame[id].byteCount != rows * buffer.byteCount {
        found.append("plan_c1: step \(number) passes \(frame[id].name) for \(buffer.name)")
      }
    }
    if loop.arena.map({ frame[$0].byteCount }) ?? 0 < body.frame.arenaBytes {
      found.append("plan_c2: step \(number) has no room for the arena of \(body.name)")
    }
    return found
  }

  private func extent(_ buffer: PlanBuffer) -> Range<Int>? {
    guard case .arena(let start) = buffer.place else { return nil }
    return start..<start + buffer.byteCount
  }

  private func placeViolations(_ frame: PlanFrame, _ parameters: [PlanBody.Parameter]) -> [String] {
    frame.buffers.compactMap { buffer in
      if case .parameter(let number) = buffer.place {
        return parameters.indices.contains(number) ? nil : "plan_c7: there is no parameter \(number)"
      }
      guard let extent = extent(buffer) else { return nil }
      let fits =
        extent.lowerBound >= 0 && extent.lowerBound % Self.alignment == 0 && extent.upperBound <= frame.arenaBytes
      return fits ? nil : "plan_c2: \(buffer.name) lies at \(extent) in an arena of \(frame.arenaBytes)"
    }
  }

  private func overlapViolations(_ frame: PlanFrame) -> [String] {
    let lives = frame.lifetimes()
    let alive = frame.buffers.indices.compactMap {
      index -> (index: Int, life: ClosedRange<Int>, extent: Range<Int>)? in
      guard let extent = extent(frame.buffers[index]), let life = lives[index] else { return nil }
      return (index, life, extent)
    }
    // In the order of their first steps: each against what is alive then.
    var found: [String] = []
    var present: [(index: Int, life: ClosedRange<Int>, extent: Range<Int>)] = []
    for one in alive.sorted(by: { $0.life.lowerBound < $1.life.lowerBound }) {
      present.removeAll { $0.life.upperBound < one.life.lowerBound }
      for other in present where one.extent.overlaps(other.extent) {
        found.append("plan_c3: \(frame.buffers[one.index].name) and \(frame.buffers[other.index].name) overlap")
      }
      present.append(one)
    }
    return found
  }

  private func orderViolations(_ frame: PlanFrame, _ parameters: [PlanBody.Parameter]) -> [String] {
    var found: [String] = []
    var writes = [Int](repeating: 0, count: frame.buffers.count)
    // In a flat plan what is done to a part is done to the whole, part by part.
    let wholes = frame.wholes
    func accesses(_ step: PlanStep) -> [(id: PlanBufferID, access: KernelBuffer.Access)] {
      self.accesses(of: step).map { (wholes[$0.id.index], $0.access) }
    }
    for step in frame.steps {
      let accesses = accesses(step)
      for (id, access) in accesses where access != .write {
        if !isGiven(frame[id], parameters), writes[id.index] == 0 {
          found.append("plan_c4: \(frame[id].name) is read before it is written")
        }
      }
      // A carried value is written where it starts; its loop goes on from there.
      for (id, access) in accesses where access == .write || (access.writes && isGiven(frame[id], parameters)) {
        writes[id.index] += 1
      }
    }
    // There each round of a loop writes again, and what was constant in the loop may change after it.
    let isFlat = wholes != frame.buffers.indices.map { PlanBufferID($0) }
    for (buffer, count) in zip(frame.buffers, writes) {
      let mustWrite = mustWrite(buffer, parameters)
      if (count > 1 && !isFlat) || (mustWrite && count == 0) {
        found.append("plan_c5: \(buffer.name) is written \(count) times")
      }
      if case .parameter(let number) = buffer.place, count > 0, !parameters[number].access.writes {
        found.append("plan_c7: \(buffer.name) is only read, and written")
      }
    }
    for step in frame.steps where !isFlat {
      for (id, access) in accesses(step) where access == .constant {
        if !isGiven(frame[id], parameters) || writes[id.index] > 0 {
          found.append("plan_c6: \(frame[id].name) is called constant and is not")
        }
      }
    }
    return found
  }

  private func isGiven(_ buffer: PlanBuffer, _ parameters: [PlanBody.Parameter]) -> Bool {
    switch buffer.place {
    case .input: true
    case .parameter(let number): parameters[number].access != .write
    case .output, .arena, .part: false
    }
  }

  private func mustWrite(_ buffer: PlanBuffer, _ parameters: [PlanBody.Parameter]) -> Bool {
    switch buffer.place {
    case .output: true
    case .parameter(let number): parameters[number].access.writes
    case .input, .arena, .part: false
    }
  }
}

extension PlanFrame {
  /// For each buffer, the one that it is a part of, or itself.
  fileprivate var wholes: [PlanBufferID] {
    buffers.enumerated().map { index, buffer in
      if case .part(let whole, _) = buffer.place { whole } else { PlanBufferID(index) }
    }
  }
}
