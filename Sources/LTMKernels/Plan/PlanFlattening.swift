import LTMIR

extension Plan {
  /// The same work as launches alone: each iteration of each loop with buffers of its own places, for targets that take a
  /// list of launches. Its kernels are the same, so it costs a few words for each launch.
  package func flattened() -> Plan {
    guard !bodies.isEmpty else { return self }
    var flat = self
    (flat.steps, flat.bodies) = ([], [])
    var flattening = Flattening(plan: self, flat: flat)
    flattening.add(frame, buffers.indices.map { PlanBufferID($0) })
    return flattening.flat
  }
}

extension Plan {
  /// The buffer that one is a part of, itself where it is whole, and how many bytes in.
  package func whole(_ id: PlanBufferID) -> (id: PlanBufferID, offset: Int) {
    if case .part(let whole, let offset) = self[id].place { (whole, offset) } else { (id, 0) }
  }
}

extension PlanCollective {
  /// The same on the buffers of another frame.
  fileprivate func moved(_ ids: [PlanBufferID]) -> PlanCollective {
    PlanCollective(
      number: number,
      parts: parts.map { part in
        var part = part
        (part.buffer, part.result) = (ids[part.buffer.index], part.result.map { ids[$0.index] })
        return part
      })
  }
}

private struct Flattening {
  let plan: Plan
  var flat: Plan

  /// Appends the steps of a frame whose buffers are those of the flat plan.
  mutating func add(_ frame: PlanFrame, _ ids: [PlanBufferID]) {
    for step in frame.steps {
      switch step {
      case .launch(var launch):
        launch.arguments = launch.arguments.map { ids[$0.index] }
        flat.steps.append(.launch(launch))
      case .loop(var loop):
        loop.arguments = loop.arguments.map { ids[$0.index] }
        loop.arena = loop.arena.map { ids[$0.index] }
        for iteration in 0..<loop.count { add(loop, iteration) }
      case .start(let collective): flat.steps.append(.start(collective.moved(ids)))
      case .wait(let collective): flat.steps.append(.wait(collective.moved(ids)))
      }
    }
  }

  private mutating func add(_ loop: PlanLoop, _ iteration: Int) {
    let body = plan.bodies[loop.body]
    var ids: [PlanBufferID] = []
    for buffer in body.frame.buffers {
      switch buffer.place {
      case .parameter(let number)
      where !body.parameters[number].isRow && flat[loop.arguments[number]].shape == buffer.shape:
        ids.append(loop.arguments[number])
      case .parameter(let number):
        let row = body.parameters[number].isRow ? loop.row(iteration) : 0
        ids.append(part(of: loop.arguments[number], at: row * buffer.byteCount, buffer))
      case .arena(let offset):
        ids.append(part(of: loop.arena ?? PlanBufferID(0), at: offset, buffer))
      case .input, .output, .part: ids.append(PlanBufferID(0))
      }
    }
    add(body.frame, ids)
  }

  /// A buffer that lies within another one.
  private mutating func part(of whole: PlanBufferID, at offset: Int, _ buffer: PlanBuffer) -> PlanBufferID {
    var buffer = buffer
    switch flat[whole].place {
    case .part(let outer, let start): buffer.place = .part(of: outer, offset: start + offset)
    case .input, .output, .parameter, .arena: buffer.place = .part(of: whole, offset: offset)
    }
    flat.buffers.append(buffer)
    return PlanBufferID(flat.buffers.count - 1)
  }
}
