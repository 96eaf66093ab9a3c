// Windows along several axes at once.

/// One spatial axis' windows.
struct Slide {
  let window: WindowForm
  let count: Dim

  init(_ window: WindowForm, count: Dim) { (self.window, self.count) = (window, count) }

  /// Where the axes of windows are, the first of them at `first`: an inner one only where a window has several elements.
  static func places(_ slides: [Slide], _ first: Int) -> (outer: [Int], inner: [Int]) {
    var (outer, inner): ([Int], [Int]) = ([], [])
    var place = first
    for slide in slides {
      outer.append(place)
      if slide.window.size > 1 { inner.append(place + 1) }
      place += slide.window.size > 1 ? 2 : 1
    }
    return (outer, inner)
  }
}

extension GraphBuilder {
  /// The windows of the axes from one on, and where their axes are.
  mutating func slide(
    _ x: ValueID, _ first: Int, _ slides: [Slide], outside: Double = 0
  ) -> (value: ValueID, places: (outer: [Int], inner: [Int])) {
    var value = x
    for (axis, slide) in slides.enumerated().reversed() {
      value = windows(value, axis: first + axis, slide.window, count: slide.count, outside: outside)
    }
    return (value, Slide.places(slides, first))
  }
}
