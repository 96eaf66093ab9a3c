import ArgumentParser
import LTM

/// `ltm devices`
struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "Lists the targets: what was found on this machine, what is missing, and how to get it.")

  @Flag(help: "Print JSON.") var json = false
  @Option(
    help: ArgumentHelp(
      "The library that runs the target tpu. Default: $TPU_LIBRARY_PATH, else libtpu.so.", valueName: "path"))
  var pjrtPlugin: String?

  func run() throws {
    let statuses = TargetStatus.all(pjrtPlugin: pjrtPlugin)
    try printLine(json ? TargetStatus.json(statuses) : statuses.map(\.text).joined(separator: "\n\n"))
  }
}
