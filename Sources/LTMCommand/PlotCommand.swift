import ArgumentParser
import LTM
import LTMRuntime

/// `ltm plot`
struct PlotCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plot", abstract: "Draws what runs have logged: losses, metrics, rates, scales and norms.",
    discussion: """
      ltm train samples/digits.ltm --logger jsonl --log-dir runs/first
      ltm plot runs/first -o curves.svg
      ltm plot runs/first runs/second -o curves.html
      """)

  @Argument(help: ArgumentHelp("Folders of --log-dir, or logs in them.", valueName: "run")) var runs: [String]
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "Where to draw: a .svg, a .png (by librsvg, where it is installed) or a .html.", valueName: "file"))
  var output: String

  func run() throws {
    try checkFiles([FileUse("-o", output)], inputs: runs.map { FileUse("the log", $0) })
    var curves = try runs.map { try RunCurves(contentsOf: $0) }
    // Runs that are called alike are told apart by their paths.
    if Set(curves.map(\.name)).count < curves.count { for index in curves.indices { curves[index].name = runs[index] } }
    try CurveFigure(curves).write(to: output)
  }
}
