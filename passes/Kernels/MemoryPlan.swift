import LTMKernels

/// Gives arena buffers their offsets: the largest first, each at the best-fitting gap among those alive at the same time.
func planMemory(_ plan: inout Plan) {
  let lives = plan.lifetimes()
  let arena = plan.buffers.indices.filter { if case .arena = plan.buffers[$0].place { true } else { false } }
  let bySize = arena.sorted { (plan.buffers[$1].byteCount, $0) < (plan.buffers[$0].byteCount, $1) }
  var placed: [(life: ClosedRange<Int>, start: Int, end: Int)] = []
  plan.arenaBytes = 0
  for index in bySize {
    guard let life = lives[index] else { continue }
    let size = (plan.buffers[index].byteCount + Plan.alignment - 1) / Plan.alignment * Plan.alignment
    let start = bestFit(size, among: placed.filter { $0.life.overlaps(life) }.map { $0.start..<$0.end })
    placed.append((life, start, start + size))
    plan.buffers[index].place = .arena(start)
    plan.arenaBytes = max(plan.arenaBytes, start + size)
  }
}

/// The start of the smallest gap that holds `size`, or the end.
private func bestFit(_ size: Int, among taken: [Range<Int>]) -> Int {
  var end = 0
  var best: (start: Int, waste: Int)?
  for range in taken.sorted(by: { $0.lowerBound < $1.lowerBound }) {
    let gap = range.lowerBound - end
    if gap >= size, gap - size < best?.waste ?? Int.max { best = (end, gap - size) }
    end = max(end, range.upperBound)
  }
  return best?.start ?? end
}
