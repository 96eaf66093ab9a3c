import ArgumentParser
import Foundation
import LTM

/// `ltm check`
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Reports every mistake in a file: syntax, names, shapes, the train block.",
    discussion: """
      Every entry of every model is checked, in training and in evaluation, and so are the layers and functions that no \
      model uses: a file of layers alone can be checked. The status is 1 where there is an error; warnings do not count.

        ltm check samples/*.ltm
      """)

  @Argument(help: ArgumentHelp("The .ltm files to check.", valueName: "file"))
  var files: [String]

  func run() throws {
    var failed = false
    for (index, file) in files.enumerated() {
      do {
        let warnings = try Source(contentsOf: file).check()
        warnings.forEach { printNote($0.rendered()) }
      } catch {
        // The other files are checked all the same; the last error is the one that ends the command.
        if index == files.count - 1 { throw error }
        printNote(error.description)
        failed = true
      }
    }
    if failed { throw ExitCode(1) }
  }
}

/// `ltm fmt`
struct FormatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fmt", abstract: "Rewrites files in the one layout; comments stay.")

  @Argument(
    help: ArgumentHelp(
      "The .ltm files to format; '-' reads standard input and writes standard output.", valueName: "file"))
  var files: [String]

  @Flag(help: "Change nothing; exit with 1 if a file is not in the layout.")
  var check = false

  func run() throws {
    var differing: [String] = []
    for file in files {
      let isStream = file == "-"
      let source = isStream ? try standardInput() : try Source(contentsOf: file)
      let formatted = try source.formatted()
      if formatted != source.text { differing.append(file) }
      if check { continue }
      if isStream {
        try printText(formatted)
      } else if formatted != source.text {
        try source.replace(with: formatted)
      }
    }
    try report(differing)
  }

  private func standardInput() throws -> Source {
    do {
      return try Source(path: "<standard input>", bytes: Array(FileHandle.standardInput.readToEnd() ?? Data()))
    } catch let error as LTMError {
      throw error
    } catch {
      throw LTMError("cannot read standard input: \(error.localizedDescription)")
    }
  }

  private func report(_ differing: [String]) throws {
    if check, !differing.isEmpty {
      differing.forEach { printNote("\($0): not in the layout; 'ltm fmt \($0)' rewrites it") }
      throw ExitCode(1)
    }
  }
}

/// `ltm grammar`
struct GrammarCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grammar", abstract: "Prints the normative grammar, the text that the tests hold the parser to.")
  func run() throws { try printText(Source.grammar) }
}

/// `ltm prelude`
struct PreludeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prelude", abstract: "Prints the prelude: the layers, optimizers and schedules that every file sees.")
  func run() throws { try printText(Source.prelude) }
}

/// `ltm ops`
struct OpsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ops", abstract: "Prints the op table: signatures, precision classes, what each op computes.")
  func run() throws { try printLine(Source.ops) }
}
