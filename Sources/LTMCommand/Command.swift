import ArgumentParser

@main
struct Command: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "ltm", abstract: "The compiled tensor language that trains in 16 bits.")
}
