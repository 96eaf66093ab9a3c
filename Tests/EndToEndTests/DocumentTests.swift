import Foundation
import Testing

/// What the documents name is there.
@Suite struct DocumentTests {
  /// Each row of the tour names a folder, then the files in it to read first.
  @Test func theTourNamesFilesThatExist() throws {
    let text = try String(contentsOfFile: Command.root + "/docs/architecture.md", encoding: .utf8)
    let rows = text.split(separator: "\n").filter { $0.hasPrefix("| ") && $0.contains("`") }
    #expect(rows.count >= 10)
    for row in rows {
      let cells = row.split(separator: "|").map {
        $0.split(separator: "`").enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
      }
      guard cells.count >= 3, let folder = cells[1].first else { continue }
      for file in cells[2] {
        let path = "\(Command.root)/\(folder)/\(file)"
        #expect(FileManager.default.fileExists(atPath: path), "\(folder)/\(file)")
      }
    }
  }

  @Test(arguments: ["README.md", "CONTRIBUTING.md", "docs/architecture.md"]) func linksLeadSomewhere(_ document: String)
    throws
  {
    let text = try String(contentsOfFile: Command.root + "/" + document, encoding: .utf8)
    let folder = URL(filePath: Command.root + "/" + document).deletingLastPathComponent().path
    for match in text.matches(of: /\]\(([^)#:]+)\)/) {
      #expect(FileManager.default.fileExists(atPath: "\(folder)/\(match.1)"), "\(match.1)")
    }
  }

  @Test func sourcesPreludeAndSamplesAreInTheLayout() throws {
    let samples = try FileManager.default.contentsOfDirectory(atPath: Command.root + "/samples").filter {
      $0.hasSuffix(".ltm")
    }
    let files = samples.map { "samples/\($0)" } + ["Sources/LTMFrontEnd/Prelude/prelude.ltm"]
    let result = try Command(["fmt", "--check"] + files)
    #expect(result.status == 0, "\(result.errors)")
    for sample in samples { #expect(try Command(["check", "samples/\(sample)"]).status == 0) }
  }
}
