import LTMRuntime
import LTMSupport

/// The curves of one run or many in one picture: a panel for each thing that is measured.
public struct CurveFigure: Sendable {
  /// What one line of a panel shows.
  struct Line {
    let run: Int
    let curve: RunCurves.Curve
    /// Whether it is of the training rows, beside one of the rows for validation.
    let isDashed: Bool
    /// Whether it is behind a smoother one.
    let isFaint: Bool
  }

  /// One picture of the figure.
  struct Panel {
    let title: String
    var lines: [Line]
    var skips: [(run: Int, attempts: [Int])] = []
    /// Its axis may be logarithmic.
    let mayBeLogarithmic: Bool
  }

  /// The title of the panel of learning rates.
  static let rate = "learning rate"
  let runs: [RunCurves]
  private(set) var panels: [Panel] = []

  /// Of runs, each of which is named in the legend where there are several.
  public init(_ runs: [RunCurves]) {
    self.runs = runs
    for (index, run) in runs.enumerated() { for curve in run.curves { add(curve, of: index) } }
    for index in panels.indices where panels[index].title == "loss scale" {
      panels[index].skips = runs.enumerated().map { ($0.offset, $0.element.skips) }
    }
    // A scale that never moved says nothing.
    panels.removeAll { panel in
      panel.title == "loss scale" && panel.skips.allSatisfy(\.attempts.isEmpty)
        && panel.lines.allSatisfy { Set($0.curve.points.map(\.value)).count < 2 }
    }
    panels = panels.enumerated().sorted {
      (Self.rank($0.element.title), $0.offset) < (Self.rank($1.element.title), $1.offset)
    }
    .map(\.element)
  }

  private mutating func add(_ curve: RunCurves.Curve, of run: Int) {
    let title = Self.title(curve.name)
    let isOfStep = curve.name == "loss"
    let line = Line(
      run: run, curve: curve, isDashed: curve.name.hasPrefix("train_"),
      isFaint: isOfStep && runs[run].curves.contains { $0.name == Validation.trainLoss && $0.points.count > 3 })
    if let index = panels.firstIndex(where: { $0.title == title }) {
      panels[index].lines.append(line)
    } else {
      panels.append(Panel(title: title, lines: [line], mayBeLogarithmic: Self.mayBeLogarithmic(title)))
    }
  }

  /// The panel that a curve belongs to.
  private static func title(_ name: String) -> String {
    if name == "scale" { return "loss scale" }
    if name == "lr" || name.hasPrefix("lr/") { return Self.rate }
    if name.contains("norm") { return "norms" }
    var base = name[...]
    for prefix in ["val_", "train_", "test_"] where base.hasPrefix(prefix) { base = base.dropFirst(prefix.count) }
    return String(base.prefix { $0 != "/" })
  }

  private static func mayBeLogarithmic(_ title: String) -> Bool {
    MonitorMode(of: title) == .min || ["loss scale", "norms", Self.rate].contains(title)
  }

  private static func rank(_ title: String) -> Int {
    switch title {
    case "loss": 0
    case Self.rate: 2
    case "norms": 3
    case "loss scale": 4
    default: 1
    }
  }

  /// Writes `.svg`, `.png` or `.html`, whole or not at all.
  public func write(to path: String) throws(LTMError) {
    let bytes: [UInt8]
    switch fileEnding(path) {
    case "svg": bytes = Array(svg.utf8)
    case "png": bytes = try png()
    case "html", "htm": bytes = Array(html.utf8)
    default: throw LTMError("'\(path)': curves are written as .svg, .png or .html")
    }
    try reporting { try writeAtomically(path, bytes) }
  }
}
