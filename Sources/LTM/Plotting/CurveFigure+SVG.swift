extension CurveFigure {
  private static let (width, height) = (470.0, 270.0)
  private static let (left, right, top, bottom) = (58.0, 14.0, 30.0, 34.0)
  /// Colours that differ for the colour-blind too (Okabe and Ito).
  private static let colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31"]
  private static let style = """
    text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold; font-size: 13px } .tick { fill: #666; font-size: 11px }
    .grid { stroke: #e4e4e4 } .frame { fill: none; stroke: #999 } .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
    .faint { opacity: .35; stroke-width: 1 } .dashed { stroke-dasharray: 5 3 }
    """

  /// The figure as one SVG image.
  public var svg: String {
    let columns = panels.count > 1 ? 2 : 1
    let rows = (panels.count + columns - 1) / columns
    let legend = runs.count > 1 ? 24.0 : 0
    let (all, down) = (Double(columns) * Self.width, Double(rows) * Self.height + legend)
    var text =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(number(all)) \(number(down))\" width=\"\(number(all))\" "
      + "height=\"\(number(down))\">\n<style>\(Self.style)</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    if runs.count > 1 { text += runLegend }
    for (index, panel) in panels.enumerated() {
      let (x, y) = (Double(index % columns) * Self.width, Double(index / columns) * Self.height + legend)
      text += "<g transform=\"translate(\(number(x)) \(number(y)))\">\n\(draw(panel))</g>\n"
    }
    return text + "</svg>\n"
  }

  private var runLegend: String {
    var (text, x) = ("", Self.left)
    for (index, run) in runs.enumerated() {
      text += "<rect x=\"\(number(x))\" y=\"10\" width=\"14\" height=\"4\" fill=\"\(colour(index))\"/>"
      text += "<text x=\"\(number(x + 19))\" y=\"16\">\(escaped(run.name))</text>\n"
      x += 36 + 7 * Double(run.name.count)
    }
    return text
  }

  private func colour(_ index: Int) -> String { Self.colours[index % Self.colours.count] }

  /// By run where there are several, else by line.
  private func colour(_ line: Line, _ index: Int) -> String { colour(runs.count > 1 ? line.run : index) }

  private func draw(_ panel: Panel) -> String {
    let points = panel.lines.flatMap(\.curve.points)
    let across = Axis([0] + points.map { Double($0.attempt + 1) }, mayBeLogarithmic: false)
    let up = Axis(shownValues(panel), mayBeLogarithmic: panel.mayBeLogarithmic)
    let frame = Frame(across: across, up: up)
    var text = frame.drawn(title: panel.title + (up.isLogarithmic ? " (logarithmic)" : ""))
    for (index, line) in panel.lines.enumerated() {
      let classes = "line" + (line.isFaint ? " faint" : "") + (line.isDashed ? " dashed" : "")
      let places = thinned(line.curve.points).map { "\(number(frame.x($0.attempt))),\(number(frame.y($0.value)))" }
      text +=
        "<polyline class=\"\(classes)\" stroke=\"\(colour(line, index))\" points=\"\(places.joined(separator: " "))\"/>\n"
      if places.count == 1, let place = places.first?.split(separator: ",") {
        text += "<circle cx=\"\(place[0])\" cy=\"\(place[1])\" r=\"3\" fill=\"\(colour(line, index))\"/>\n"
      }
    }
    for (run, attempts) in panel.skips {
      for attempt in attempts.prefix(400) {
        let x = number(frame.x(attempt))
        text +=
          "<path d=\"M\(x) \(number(frame.bottom))v-7\" stroke=\"\(colour(run))\"><title>skipped \(attempt)</title></path>\n"
      }
    }
    return text + legend(panel)
  }

  /// The values that a panel's axis spans: of rates, which end at nothing, those near their peaks.
  private func shownValues(_ panel: Panel) -> [Double] {
    let values = panel.lines.flatMap(\.curve.points).map(\.value)
    let peaks = panel.lines.compactMap { $0.curve.points.map(\.value).max() }
    guard panel.title == Self.rate, let low = peaks.min(), let high = peaks.max(), low > 0 else { return values }
    return high > 10 * low ? values.filter { $0 > low / 100 } : [0] + values
  }

  /// The names of the lines, where they say more than the title.
  private func legend(_ panel: Panel) -> String {
    var (names, text, x): (Set<String>, String, Double) = ([], "", Self.left + 6 + 8 * Double(panel.title.count + 18))
    guard Set(panel.lines.map(\.curve.name)).count > 1 else { return "" }
    for (index, line) in panel.lines.enumerated() where names.insert(line.curve.name).inserted {
      let stroke = runs.count > 1 ? "#555" : colour(index)
      let classes = "line" + (line.isFaint ? " faint" : "") + (line.isDashed ? " dashed" : "")
      text += "<path class=\"\(classes)\" stroke=\"\(stroke)\" d=\"M\(number(x)) 17h18\"/>"
      text += "<text class=\"tick\" x=\"\(number(x + 22))\" y=\"21\">\(escaped(line.curve.name))</text>\n"
      x += 32 + 6.2 * Double(line.curve.name.count)
    }
    return text
  }

  /// At most so many points, each the mean of its neighbours: what an eye could tell apart.
  private func thinned(_ points: [RunCurves.Point]) -> [RunCurves.Point] {
    let size = (points.count + 399) / 400
    guard size > 1 else { return points }
    return stride(from: 0, to: points.count, by: size).map { start in
      let piece = points[start..<min(start + size, points.count)]
      let mean = piece.reduce(0) { $0 + $1.value } / Double(piece.count)
      return RunCurves.Point(attempt: piece[start + piece.count / 2].attempt, value: mean)
    }
  }

  /// Where a panel's points lie.
  private struct Frame {
    let across: Axis
    let up: Axis
    var bottom: Double { CurveFigure.height - CurveFigure.bottom }
    private var inner: (width: Double, height: Double) {
      (CurveFigure.width - CurveFigure.left - CurveFigure.right, bottom - CurveFigure.top)
    }

    func x(_ attempt: Int) -> Double { CurveFigure.left + across.place(Double(attempt + 1)) * inner.width }
    func y(_ value: Double) -> Double { bottom - min(max(up.place(value), 0), 1) * inner.height }

    func drawn(title: String) -> String {
      var text = "<text class=\"title\" x=\"\(number(CurveFigure.left))\" y=\"21\">\(escaped(title))</text>\n"
      let (edge, end) = (number(CurveFigure.left), number(CurveFigure.width - CurveFigure.right))
      for tick in up.ticks {
        let y = number(y(tick))
        text += "<path class=\"grid\" d=\"M\(edge) \(y)H\(end)\"/>"
        text +=
          "<text class=\"tick\" x=\"\(number(CurveFigure.left - 6))\" y=\"\(number(self.y(tick) + 4))\" text-anchor=\"end\">\(Axis.label(tick))</text>\n"
      }
      for tick in across.ticks where tick == tick.rounded() {
        let x = number(CurveFigure.left + across.place(tick) * inner.width)
        text +=
          "<text class=\"tick\" x=\"\(x)\" y=\"\(number(bottom + 15))\" text-anchor=\"middle\">\(Axis.label(tick))</text>\n"
      }
      text += "<text class=\"tick\" x=\"\(end)\" y=\"\(number(bottom + 28))\" text-anchor=\"end\">steps</text>\n"
      return text
        + "<rect class=\"frame\" x=\"\(edge)\" y=\"\(number(CurveFigure.top))\" width=\"\(number(inner.width))\" height=\"\(number(inner.height))\"/>\n"
    }
  }
}

/// A coordinate: a tenth of a pixel is enough.
private func number(_ value: Double) -> String {
  let text = fixed(value, 1)
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}

func escaped(_ text: String) -> String {
  text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing(
    "\"", with: "&quot;")
}
