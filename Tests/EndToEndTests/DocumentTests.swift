import Foundation
import TestSupport
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

  /// The tour's blocks are what the command writes. A line of three dots stands for any lines.
  @Test func theTourShowsRealDumps() throws {
    let folder = try TemporaryFolder()
    let page = try String(contentsOfFile: Command.root + "/docs/architecture.md", encoding: .utf8)
    let model = try #require(page.firstMatch(of: /(?s)```ltm\n(.*?)```/)?.1)
    try folder.write("tiny.ltm", String(model))
    let line = try #require(page.split(separator: "\n").first { $0.hasPrefix("    ltm compile tiny.ltm") })
    let words = line.split(separator: " ").map(String.init)
    #expect(try Command(Array(words.dropFirst()), in: folder.path).status == 0)
    let emit = words.dropFirst().prefix { $0 != "--dump" } + ["--target", "tpu", "--emit", "stablehlo"]
    let texts = try Self.stages(folder.file("stages")) + [("stablehlo", Command(Array(emit), in: folder.path).output)]
    let blocks = page.matches(of: /(?s)<!-- (\S+) -->\n```\n(.*?)```/)
    #expect(blocks.count >= 6)
    for block in blocks {
      let text = try #require(texts.first { $0.name.hasSuffix(block.1) }?.text, "no stage ends in \(block.1)")
      #expect(Self.shows(String(block.2), text), "\(block.1) is now:\n\(text)")
    }
  }

  private static func stages(_ folder: String) throws -> [(name: String, text: String)] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map {
      ($0, try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8))
    }
  }

  private static func shows(_ excerpt: String, _ text: String) -> Bool {
    let parts = "\n\(excerpt)".split(separator: "\n...\n", omittingEmptySubsequences: false)
    guard parts.count > 1 else { return "\n" + text == parts[0] }
    var rest = Substring("\n" + text)
    for part in parts where !part.isEmpty {
      guard let found = rest.range(of: part) else { return false }
      rest = rest[found.upperBound...]
    }
    return true
  }

  /// Every page for readers.
  static let documents: [String] = {
    let docs = try? FileManager.default.contentsOfDirectory(atPath: Command.root + "/docs")
    return ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md"]
      + (docs ?? []).filter { $0.hasSuffix(".md") }.sorted().map { "docs/" + $0 }
  }()

  @Test(arguments: documents) func linksLeadSomewhere(_ document: String) throws {
    let page = URL(filePath: Command.root + "/" + document)
    for match in try String(contentsOf: page, encoding: .utf8).matches(of: /\]\(([^)#:]*)(?:#([^)]+))?\)/) {
      let target = match.1.isEmpty ? page : page.deletingLastPathComponent().appending(path: String(match.1))
      guard FileManager.default.fileExists(atPath: target.path) else {
        Issue.record("\(document) links to \(match.1)")
        continue
      }
      guard let anchor = match.2 else { continue }
      let anchors = try Self.anchors(String(contentsOf: target, encoding: .utf8))
      #expect(anchors.contains(String(anchor)), "\(document) links to \(match.1)#\(anchor)")
    }
  }

  /// What a page's headings are called in links to them.
  private static func anchors(_ text: String) -> Set<String> {
    let headings = text.split(separator: "\n").filter { $0.hasPrefix("#") }
    return Set(
      headings.map { heading in
        let words = heading.drop { $0 == "#" }.trimmingCharacters(in: .whitespaces).lowercased()
        return words.replacing(" ", with: "-").filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }
      })
  }

  /// The tour of the README, command by command, in a folder with nothing but the samples.
  @Test func theCommandsOfTheTourRun() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("samples"), withDestinationPath: Command.root + "/samples")
    let readme = try String(contentsOfFile: Command.root + "/README.md", encoding: .utf8)
    let commands = readme.split(separator: "\n").filter { $0.hasPrefix("ltm ") }
    #expect(commands.count >= 6)
    for command in commands {
      let result = try Command(Array(Self.words(command).dropFirst()), in: folder.path)
      #expect(result.status == 0, "\(command): \(result.errors)")
    }
  }

  /// The words of a command line; single quotes keep spaces.
  private static func words(_ line: Substring) -> [String] {
    line.split(separator: "'", omittingEmptySubsequences: false).enumerated().flatMap { index, part in
      index.isMultiple(of: 2) ? part.split(separator: " ").map(String.init) : [String(part)]
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
