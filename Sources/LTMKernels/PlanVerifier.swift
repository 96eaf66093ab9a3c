import LTMIR

extension Plan {
  /// What is wrong, each with its rule; empty for a legal plan.
  ///
  /// - plan_c1: launches name kernels and buffers that exist, and pass buffers of the kernel's dtypes and sizes.
  /// - plan_c2: arena buffers start at multiples of 64 and end within the arena.
  /// - plan_c3: two arena buffers that are alive at the same time do not overlap.
  /// - plan_c4: what is read was written before, or is an input.
  /// - plan_c5: each output is written, and each written once; an input's old value is not read after it was replaced by a
  ///   launch that does not read it, unless as the new value.
  package func verify() -> [String] {
    let broken = argumentViolations()
    return broken.isEmpty
      ? kernels.flatMap { $0.verify() } + placeViolations() + overlapViolations() + orderViolations() : broken
  }

  private func argumentViolations() -> [String] {
    var found: [String] = []
    for (number, launch) in launches.enumerated() {
      guard kernels.indices.contains(launch.kernel),
        launch.arguments.allSatisfy({ buffers.indices.contains($0.index) }),
        kernels[launch.kernel].buffers.count == launch.arguments.count
      else {
        found.append("plan_c1: launch \(number) names what does not exist")
        continue
      }
      for (argument, buffer) in zip(launch.arguments, kernels[launch.kernel].buffers)
      where self[argument].dtype != buffer.dtype || elementCount(self[argument].shape) != elementCount(buffer.shape) {
        found.append("plan_c1: launch \(number) passes \(self[argument].name) for \(buffer.name)")
      }
    }
    return found
  }

  private func extent(_ index: Int) -> Range<Int>? {
    guard case .arena(let start) = buffers[index].place else { return nil }
    return start..<start + buffers[index].byteCount
  }

  private func placeViolations() -> [String] {
    buffers.indices.compactMap { index in
      guard let extent = extent(index) else { return nil }
      let fits = extent.lowerBound >= 0 && extent.lowerBound % Self.alignment == 0 && extent.upperBound <= arenaBytes
      return fits ? nil : "plan_c2: \(buffers[index].name) lies at \(extent) in an arena of \(arenaBytes)"
    }
  }

  private func overlapViolations() -> [String] {
    let lives = lifetimes()
    let alive = buffers.indices.compactMap { index -> (index: Int, life: ClosedRange<Int>, extent: Range<Int>)? in
      guard let extent = extent(index), let life = lives[index] else { return nil }
      return (index, life, extent)
    }
    // In the order of their first launches: each against what is alive then.
    var found: [String] = []
    var present: [(index: Int, life: ClosedRange<Int>, extent: Range<Int>)] = []
    for one in alive.sorted(by: { $0.life.lowerBound < $1.life.lowerBound }) {
      present.removeAll { $0.life.upperBound < one.life.lowerBound }
      for other in present where one.extent.overlaps(other.extent) {
        found.append("plan_c3: \(buffers[one.index].name) and \(buffers[other.index].name) overlap")
      }
      present.append(one)
    }
    return found
  }

  private func orderViolations() -> [String] {
    var found: [String] = []
    var writes = [Int](repeating: 0, count: buffers.count)
    for launch in launches {
      for (argument, buffer) in zip(launch.arguments, kernels[launch.kernel].buffers) where buffer.access != .write {
        let isInput = if case .input = self[argument].place { true } else { false }
        if !isInput, writes[argument.index] == 0 {
          found.append("plan_c4: \(self[argument].name) is read before it is written")
        }
      }
      for (argument, buffer) in zip(launch.arguments, kernels[launch.kernel].buffers) where buffer.access.writes {
        writes[argument.index] += 1
      }
    }
    for (buffer, count) in zip(buffers, writes) {
      let isOutput = if case .output = buffer.place { true } else { false }
      if count > 1 || (isOutput && count == 0) { found.append("plan_c5: \(buffer.name) is written \(count) times") }
    }
    for launch in launches {
      for (argument, buffer) in zip(launch.arguments, kernels[launch.kernel].buffers) where buffer.access == .constant {
        let isInput = if case .input = self[argument].place { true } else { false }
        if !isInput || writes[argument.index] > 0 {
          found.append("plan_c6: \(self[argument].name) is called constant and is not")
        }
      }
    }
    return found
  }
}
