import LTMIR

extension Plan {
  /// Offsets in the arena are multiples of this.
  package static let alignment = 64
}

extension PlanFrame {
  /// For each buffer, from the first step that touches it to the last; `nil` where none does.
  package func lifetimes() -> [ClosedRange<Int>?] {
    var lives = [ClosedRange<Int>?](repeating: nil, count: buffers.count)
    for (time, step) in steps.enumerated() {
      for id in step.buffers { lives[id.index] = (lives[id.index]?.lowerBound ?? time)...time }
    }
    return lives
  }
}
