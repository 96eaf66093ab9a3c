import Foundation

/// A roofline picture of ours, a panel for each number of threads: operations a byte along, operations a second up, both
/// on logarithmic scales, under the limits that the same run measured.
struct Roofline {
  private let results: Results
  private let panel = (width: 560.0, height: 400.0)
  private let margin = (left: 62.0, top: 46.0, bottom: 52.0, right: 18.0)
  private let colours = ["f32": "#1f5fa8", "f16": "#d9600b", "bf16": "#2c8a3d"]

  init(_ results: Results) { self.results = results }

  var svg: String {
    let counts = results.threadCounts
    let (width, height) = (panel.width * Double(max(counts.count, 1)), panel.height + 22)
    let head =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Int(width))\" height=\"\(Int(height))\" "
      + "font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    let panels = counts.enumerated().map { index, threads in
      "<g transform=\"translate(\(Int(panel.width) * index),0)\">\n" + chart(threads) + "\n</g>"
    }
    return ([head] + panels + [legend(y: panel.height + 8), "</svg>"]).joined(separator: "\n") + "\n"
  }

  // MARK: Scales

  /// Powers of ten that the axes span.
  private static let (along, up) = ((-1.5, 3.2), (-0.3, 3.2))

  private func x(_ intensity: Double) -> Double {
    let share = (log10(intensity) - Self.along.0) / (Self.along.1 - Self.along.0)
    return margin.left + share * (panel.width - margin.left - margin.right)
  }

  private func y(_ gigaflops: Double) -> Double {
    let share = (log10(gigaflops) - Self.up.0) / (Self.up.1 - Self.up.0)
    return panel.height - margin.bottom - share * (panel.height - margin.top - margin.bottom)
  }

  // MARK: Drawing

  private func text(_ x: Double, _ y: Double, _ text: String, _ more: String = "") -> String {
    "<text x=\"\(decimal(x, 1))\" y=\"\(decimal(y, 1))\" \(more)>\(text)</text>"
  }

  private func line(_ from: (Double, Double), _ to: (Double, Double), _ style: String) -> String {
    let places = [from.0, from.1, to.0, to.1].map { decimal($0, 1) }
    return "<line x1=\"\(places[0])\" y1=\"\(places[1])\" x2=\"\(places[2])\" y2=\"\(places[3])\" \(style)/>"
  }

  private func chart(_ threads: Int) -> String {
    let title = "\(threads) thread\(threads == 1 ? "" : "s"): each workload under this machine's limits"
    return ([text(margin.left, 20, title, "font-size=\"14\"")] + grid() + roofs(threads) + points(threads))
      .joined(separator: "\n")
  }

  private func grid() -> [String] {
    let style = "stroke=\"#dddddd\""
    let (left, right) = (margin.left, panel.width - margin.right)
    let (top, bottom) = (margin.top, panel.height - margin.bottom)
    var parts: [String] = []
    for power in -1...3 {
      let place = x(pow(10, Double(power)))
      parts.append(line((place, top), (place, bottom), style))
      parts.append(text(place, bottom + 15, decimal(pow(10, Double(power)), max(0, -power)), "text-anchor=\"middle\""))
    }
    for power in 0...3 {
      let place = y(pow(10, Double(power)))
      parts.append(line((left, place), (right, place), style))
      parts.append(text(left - 6, place + 4, decimal(pow(10, Double(power)), 0), "text-anchor=\"end\""))
    }
    let middle = decimal((top + bottom) / 2, 1)
    parts.append(text((left + right) / 2, bottom + 32, "operations a byte", "text-anchor=\"middle\""))
    parts.append(text(16, 0, "GFLOP/s", "transform=\"translate(0,\(middle)) rotate(-90 16 0)\" text-anchor=\"middle\""))
    return parts
  }

  /// A slope for each kind of access to memory, a flat line for each kind of arithmetic.
  private func roofs(_ threads: Int) -> [String] {
    guard let triad = results.limit("triad_nt", threads), let peak = results.limit("fma_f32", threads) else {
      return []
    }
    let others = [("dot products bf16", "dot_bf16"), ("tiles bf16", "tiles_bf16")].compactMap { name, limit in
      results.limit(limit, threads).map { (name, $0) }
    }
    let most = others.reduce(peak) { max($0, $1.1) }
    let solid = "stroke=\"black\" stroke-width=\"1.5\""
    var parts = [
      slope(triad, most, solid), text(margin.left + 10, margin.top + 16, "solid: triad \(decimal(triad, 1)) GB/s"),
    ]
    if let copy = results.limit("memcpy", threads) {
      parts.append(slope(copy, most, "stroke=\"#888888\" stroke-dasharray=\"4 3\""))
      parts.append(text(margin.left + 10, margin.top + 31, "dashed: memcpy \(decimal(copy, 1)) GB/s"))
    }
    let end = pow(10, Self.along.1)
    for (name, rate) in [("multiply-adds f32", peak)] + others {
      parts.append(line((x(rate / triad), y(rate)), (x(end), y(rate)), solid))
      parts.append(text(x(end) - 4, y(rate) - 5, "\(name) \(decimal(rate, 1)) GFLOP/s", "text-anchor=\"end\""))
    }
    return parts
  }

  /// From where a bandwidth enters the picture to where it feeds all arithmetic.
  private func slope(_ bandwidth: Double, _ peak: Double, _ style: String) -> String {
    let start = max(pow(10, Self.along.0), pow(10, Self.up.0) / bandwidth)
    return line((x(start), y(start * bandwidth)), (x(peak / bandwidth), y(peak)), style)
  }

  private func points(_ threads: Int) -> [String] {
    var labels: [(name: String, x: Double, y: Double)] = []
    return results.order.filter { $0.threads == threads }.flatMap { key -> [String] in
      guard let row = results.ours(key), let median = row.median, let bytes = row["kernel_bytes"],
        let flops = row["kernel_flops"], bytes > 0, flops > 0
      else { return [] }
      let place = (x(flops / bytes), y(flops / median * 1e-6))
      let colour = colours[key.dtype.split(separator: "-").last.map(String.init) ?? ""] ?? "black"
      let mark = "<circle cx=\"\(decimal(place.0, 1))\" cy=\"\(decimal(place.1, 1))\" r=\"3.5\" fill=\"\(colour)\"/>"
      // One name for the points of a workload, moved down where others stand already.
      if labels.contains(where: { $0.name == key.workload }) { return [mark] }
      var label = (name: key.workload, x: place.0 + 5, y: place.1 + 11)
      while labels.contains(where: { abs($0.x - label.x) < 80 && abs($0.y - label.y) < 10 }) { label.y += 10 }
      labels.append(label)
      return [mark, text(label.x, label.y, key.workload, "font-size=\"9\" fill=\"#333333\"")]
    }
  }

  private func legend(y: Double) -> String {
    ["f32", "f16", "bf16"].enumerated().map { index, dtype in
      let start = margin.left + Double(index) * 70
      return
        "<circle cx=\"\(decimal(start, 1))\" cy=\"\(decimal(y, 1))\" r=\"4\" fill=\"\(colours[dtype] ?? "black")\"/>"
        + text(start + 8, y + 4, dtype)
    }.joined(separator: "\n")
  }
}
