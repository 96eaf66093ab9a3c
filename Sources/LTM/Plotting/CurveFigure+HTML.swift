import LTMSupport

extension CurveFigure {
  /// The figure as a page that needs no server, with the last and the best value of each curve in a table.
  public var html: String {
    """
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><title>\(escaped(runs.map(\.name).joined(separator: ", ")))</title>
    <style>
    body { margin: 24px auto; max-width: 980px; font: 14px sans-serif; color: #222; background: #fff }
    svg { max-width: 100%; height: auto } table { border-collapse: collapse; margin-top: 16px }
    td, th { padding: 3px 12px; text-align: right; border-bottom: 1px solid #e4e4e4 } td:first-child, th:first-child { text-align: left }
    </style></head><body>
    \(svg)
    <table><tr><th>curve</th><th>last</th><th>least</th><th>at step</th><th>most</th><th>at step</th></tr>
    \(rows)
    </table></body></html>

    """
  }

  private var rows: String {
    var text = ""
    for run in runs {
      for curve in run.curves {
        guard let last = curve.points.last, let least = curve.points.min(by: { $0.value < $1.value }),
          let most = curve.points.max(by: { $0.value < $1.value })
        else { continue }
        let name = runs.count > 1 ? "\(run.name): \(curve.name)" : curve.name
        let cells = [
          escaped(name), Axis.label(last.value), Axis.label(least.value), "\(least.attempt + 1)",
          Axis.label(most.value),
          "\(most.attempt + 1)",
        ]
        text += "<tr>" + cells.map { "<td>\($0)</td>" }.joined() + "</tr>\n"
      }
    }
    return text
  }
}
