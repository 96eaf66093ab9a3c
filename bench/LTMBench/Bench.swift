import ArgumentParser
import Foundation
import LTM
import LTMSupport

/// `ltm-bench`: our side of `make bench`.
@main
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ltm-bench", abstract: "Measures the workloads of bench/README.md; one JSON object a line.",
    subcommands: [Measure.self, Memory.self, Decode.self, Limits.self, Report.self])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as LTMError {
      try? FileHandle.standardError.write(contentsOf: Data((error.description + "\n").utf8))
      exit(withError: ExitCode(1))
    } catch {
      exit(withError: error)
    }
  }
}

/// Writes a line, as JSON where it is some.
func printLine(_ text: String) throws { try FileHandle.standardOutput.write(contentsOf: Data((text + "\n").utf8)) }
