import ArgumentParser
import LTM

/// `ltm devices`
struct DevicesCommand: PrintingCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "Lists the targets: what was found on this machine, what is missing, and how to get it.")

  @OptionGroup var printing: PrintOptions
  @OptionGroup var plugin: PluginOptions

  func run() throws {
    let statuses = TargetStatus.all(pjrtPlugin: plugin.pjrtPlugin)
    try printLine(printing.json ? TargetStatus.json(statuses) : statuses.map(\.text).joined(separator: "\n\n"))
  }
}
