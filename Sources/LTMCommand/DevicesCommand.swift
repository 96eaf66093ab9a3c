import ArgumentParser
import LTM

/// `ltm devices`
struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "Lists the targets: what was found on this machine, what is missing, and how to get it.")

  @OptionGroup var output: PrintOptions
  @OptionGroup var plugin: PluginOptions

  func run() throws {
    let statuses = TargetStatus.all(pjrtPlugin: plugin.pjrtPlugin)
    try printLine(output.json ? TargetStatus.json(statuses) : statuses.map(\.text).joined(separator: "\n\n"))
  }
}
