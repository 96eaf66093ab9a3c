import ArgumentParser
import Foundation
import LTM

/// `ltm`: a thin shell around the library; files, terminals and exit codes live here.
@main
struct LTMCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ltm",
    abstract: "Trains and runs neural networks in 16 bits from a small model file.",
    discussion: """
      A .ltm file says what a model computes. Precision, target and device are chosen here, and the file stays as it is:

        ltm train samples/digits.ltm --precision 16 --amp-level O2
        ltm explain samples/digits.ltm --precision 16 --amp-level O1

      'ltm help COMMAND' shows a command's options.
      """,
    version: LTMVersion.text,
    subcommands: [
      TrainCommand.self, RunCommand.self, GenerateCommand.self, CompileCommand.self, ExplainCommand.self,
      ProfileCommand.self, DevicesCommand.self, ImportCommand.self, ExportCommand.self, PlotCommand.self,
      EvalCommand.self,
      PredictCommand.self, SummaryCommand.self, RenameCommand.self, CheckCommand.self, FormatCommand.self,
      OpsCommand.self, GrammarCommand.self, PreludeCommand.self,
    ])

  /// A word that is no command is most likely a mistyped one.
  private static func requireCommand(_ word: String?) throws(LTMError) {
    let names = configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"]
    guard let word, !word.hasPrefix("-"), !names.contains(word) else { return }
    throw LTMError("there is no command '\(word)'", notes: ["there are \(names.joined(separator: ", "))"])
  }

  /// Our messages begin with their place and severity already; the rest is the argument parser's to print.
  static func main() {
    // A limit on the size of files is a failed write with a message, not the end of the process.
    signal(SIGXFSZ, SIG_IGN)
    do {
      try requireCommand(CommandLine.arguments.dropFirst().first)
      try LightningFlags.refuse(in: Array(CommandLine.arguments.dropFirst()))
      var command = try parseAsRoot()
      if let command = command as? any PrintingCommand, command.isQuiet { Notes.handle { _ in } }
      try command.run()
    } catch let error as LTMError {
      printNote(error.description)
      exit(withError: ExitCode(error.isInternal ? internalErrorStatus : 1))
    } catch {
      exit(withError: error)
    }
  }
}
