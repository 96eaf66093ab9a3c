import LTMIR

extension Plan {
  /// Offsets in the arena are multiples of this.
  package static let alignment = 64

  /// For each buffer, from the first launch that touches it to the last; `nil` where none does.
  package func lifetimes() -> [ClosedRange<Int>?] {
    var lives = [ClosedRange<Int>?](repeating: nil, count: buffers.count)
    for (time, launch) in launches.enumerated() {
      for argument in launch.arguments { lives[argument.index] = (lives[argument.index]?.lowerBound ?? time)...time }
    }
    return lives
  }
}
