import Foundation
import LTM
import TestSupport
import Testing

/// What `ltm plot` reads and draws.
@Suite struct CurveTests {
  static let lines = """
    {"attempt":0,"step":1,"epoch":0,"loss":2.5,"scale":65536,"skipped":0,"lr":0.1}
    {"attempt":1,"step":1,"epoch":0,"loss":null,"scale":65536,"skipped":1,"lr":0.1}
    {"attempt":2,"step":2,"epoch":0,"loss":9,"scale":32768,"skipped":0,"lr":0.2}
    {"attempt":2,"step":2,"epoch":0,"loss":1.5,"scale":32768,"skipped":0,"lr":0.2}
    {"attempt":2,"step":2,"epoch":0,"validation":true,"train_loss":2.0,"val_loss":1.75,"val_accuracy":0.5}

    """

  @Test func aLaterLineCountsAndNoNumberIsNoPoint() throws {
    let folder = try TemporaryFolder()
    let run = try RunCurves(contentsOf: folder.write("a.jsonl", Self.lines + "{\"attempt\":3,\"lo"))
    #expect(run.curves.map(\.name) == ["loss", "scale", "lr", "train_loss", "val_loss", "val_accuracy"])
    #expect(run.curves[0].points.map(\.value) == [2.5, 1.5] && run.curves[0].points.map(\.attempt) == [0, 2])
    #expect(run.skips == [1])
  }

  @Test func aPanelIsOfOneThing() throws {
    let folder = try TemporaryFolder()
    let run = try RunCurves(contentsOf: folder.write("a.jsonl", Self.lines))
    let svg = CurveFigure([run, run]).svg
    for title in ["loss", "accuracy", "learning rate", "loss scale"] { #expect(svg.contains(">\(title)"), "\(title)") }
    #expect(svg.components(separatedBy: "<polyline").count == 1 + 2 * 6)
    #expect(svg.components(separatedBy: "<title>skipped 1</title>").count == 3)
    let document = try XMLText(svg)
    #expect(document.isBalanced)
  }

  @Test func bothLogsDrawTheSame() throws {
    let folder = try TemporaryFolder()
    let train = try Command([
      "train", "samples/digits.ltm", "--epochs", "2", "--val-split", "0.2", "--report", "accuracy", "--logger", "jsonl",
      "--logger", "csv", "--log-dir", folder.file("run"),
    ])
    #expect(train.status == 0, "\(train.errors)")
    var drawn: [String] = []
    for name in ["metrics.jsonl", "metrics.csv"] {
      let plot = try Command(["plot", folder.file("run/\(name)"), "-o", folder.file("\(name).svg")])
      #expect(plot.status == 0, "\(plot.errors)")
      drawn.append(try String(contentsOfFile: folder.file("\(name).svg"), encoding: .utf8))
    }
    #expect(drawn[0] == drawn[1])
    let page = try Command(["plot", folder.file("run"), "-o", folder.file("a.html")])
    #expect(page.status == 0)
    let html = try String(contentsOfFile: folder.file("a.html"), encoding: .utf8)
    #expect(html.contains("<svg") && html.contains("val_accuracy") && !html.contains("http-equiv"))
  }

  @Test("a picture of pixels is drawn by librsvg, or says what is missing")
  func pixels() throws {
    let folder = try TemporaryFolder()
    try folder.write("a.jsonl", Self.lines)
    let plot = try Command(["plot", "a.jsonl", "-o", "a.png"], in: folder.path)
    guard plot.status == 0 else {
      #expect(plot.errors.contains("librsvg2-2") && !FileManager.default.fileExists(atPath: folder.file("a.png")))
      return
    }
    let image = try Data(contentsOf: URL(filePath: folder.file("a.png")))
    #expect(image.prefix(4) == Data([0x89, 0x50, 0x4e, 0x47]))
    let width = image[16..<20].reduce(0) { $0 << 8 | Int($1) }
    #expect(width == 2 * 940 && image.count > 10_000, "\(width) pixels, \(image.count) bytes")
  }

  @Test func mistakesSayWhatToDo() throws {
    let folder = try TemporaryFolder()
    try folder.write("a.jsonl", Self.lines)
    try folder.write("bad.jsonl", "{\"attempt\":0,\"loss\":1}\nnothing\n{\"attempt\":1,\"loss\":1}\n")
    try folder.write("empty.jsonl", "")
    let cases: [([String], String)] = [
      (["a.jsonl", "-o", "a.gif"], "written as .svg, .png or .html"),
      (["a.jsonl", "-o", "a.jsonl"], "name another file"),
      (["bad.jsonl", "-o", "a.svg"], "bad.jsonl:2: this line is no JSON object"),
      (["empty.jsonl", "-o", "a.svg"], "holds no steps"), (["missing", "-o", "a.svg"], "'missing' is no log of a run"),
    ]
    for (arguments, message) in cases {
      let plot = try Command(["plot"] + arguments, in: folder.path)
      #expect(plot.status == 1 && plot.errors.contains(message), "\(plot.errors)")
    }
  }
}

/// Whether each tag of a text is closed.
private struct XMLText {
  let isBalanced: Bool

  init(_ text: String) throws {
    var open: [Substring] = []
    var isBalanced = true
    for tag in text.matches(of: #/<(\/?)([a-z]+)[^>]*?(\/?)>/#) {
      if tag.output.1 == "/" {
        isBalanced = isBalanced && open.popLast() == tag.output.2
      } else if tag.output.3.isEmpty {
        open.append(tag.output.2)
      }
    }
    self.isBalanced = isBalanced && open.isEmpty
  }
}
