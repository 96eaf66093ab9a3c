import LTMKernels

/// Gives arena buffers their offsets: the largest first, each at the best-fitting gap among those alive at the same time.
func planMemory(_ plan: inout PlanFrame) {
  let lives = plan.lifetimes()
  let arena = plan.buffers.indices.filter { if case .arena = plan.buffers[$0].place { true } else { false } }
  let bySize = arena.sorted { (plan.buffers[$1].byteCount, $0) < (plan.buffers[$0].byteCount, $1) }
  // By where they start.
  var placed: [PlacedBuffer] = []
  plan.arenaBytes = 0
  for index in bySize {
    guard let life = lives[index] else { continue }
    let size = (plan.buffers[index].byteCount + Plan.alignment - 1) / Plan.alignment * Plan.alignment
    let start = bestFit(size, life, among: placed)
    let place = placed.partitioningIndex { $0.start >= start }
    placed.insert(PlacedBuffer(life: life, start: start, end: start + size), at: place)
    plan.buffers[index].place = .arena(start)
    plan.arenaBytes = max(plan.arenaBytes, start + size)
  }
}

private struct PlacedBuffer {
  let life: ClosedRange<Int>
  let start: Int
  let end: Int
}

/// The start of the smallest gap that holds `size` among what is alive in `life`, or the end.
private func bestFit(_ size: Int, _ life: ClosedRange<Int>, among placed: [PlacedBuffer]) -> Int {
  var end = 0
  var best: (start: Int, waste: Int)?
  for other in placed where other.life.overlaps(life) {
    let gap = other.start - end
    if gap >= size, gap - size < best?.waste ?? Int.max { best = (end, gap - size) }
    end = max(end, other.end)
  }
  return best?.start ?? end
}

extension Array {
  /// Where the elements begin that a condition holds for, which holds for all behind the first.
  fileprivate func partitioningIndex(_ condition: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if condition(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
