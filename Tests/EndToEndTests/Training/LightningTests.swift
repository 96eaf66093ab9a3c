import Foundation
import TestSupport
import Testing

/// The table of Lightning 1.0's flags in docs/trainer.md, row by row.
@Suite struct LightningTests {
  private static func rows() throws -> [[String]] {
    let text = try String(contentsOfFile: Command.root + "/docs/trainer.md", encoding: .utf8)
    let table = text.components(separatedBy: "## Coming from Lightning").last ?? ""
    return table.split(separator: "\n").filter { $0.hasPrefix("| `") }.map { line in
      line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
    }
  }

  @Test func everyRowIsTrue() throws {
    let rows = try Self.rows()
    #expect(rows.count == 49)
    let help = try Command(["train", "--help"]).output
    for row in rows {
      let flag = "--" + row[0].trimmingCharacters(in: ["`"]).replacing("_", with: "-")
      if help.contains("\(flag) ") || help.contains("\(flag)\n") { continue }
      #expect(row[1] == "error", "\(flag) is not in the help")
      let command = try Command(["train", "samples/digits.ltm", flag, "1"])
      #expect(command.status == 1 && command.errors.contains("there is no flag '\(flag)'"), "\(command.errors)")
      #expect(command.errors.contains("note: "), "\(flag)")
    }
  }

  /// What a row sends its reader to is there.
  @Test func otherWordsExist() throws {
    let help = try Command(["train", "--help"]).output
    let text = try Self.rows().filter { $0.count > 2 }.map { $0[2] }.joined(separator: " ")
    for match in text.matches(of: #/--[a-z-]+/#) where match.output != "--on" {
      #expect(help.contains(match.output), "\(match.output)")
    }
  }
}
