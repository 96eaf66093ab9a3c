import Foundation
import Testing

/// Whether golden files are recorded: `LTM_BLESS=1`.
package let isBlessing = ProcessInfo.processInfo.environment["LTM_BLESS"] == "1"

/// Whether everything is compared, as `make proof` does: `LTM_WHOLE=1`. Else what only repeats a comparison in another dtype or at
/// another level on a slow target is left out.
package let isWhole = ProcessInfo.processInfo.environment["LTM_WHOLE"] == "1"

/// Compares a text with a committed file, or records it where it differs, which fails the run: none is both blessed and green.
package func expectGolden(_ text: String, _ file: URL, sourceLocation: SourceLocation = #_sourceLocation) throws {
  let recorded = try? String(contentsOf: file, encoding: .utf8)
  if recorded == text { return }
  guard isBlessing else {
    let how = recorded.map { firstDifference(text, $0) } ?? "is missing"
    Issue.record("\(file.lastPathComponent) \(how); LTM_BLESS=1 records it", sourceLocation: sourceLocation)
    return
  }
  try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
  try text.write(to: file, atomically: true, encoding: .utf8)
  Issue.record("recorded \(file.lastPathComponent)", sourceLocation: sourceLocation)
}

private func firstDifference(_ text: String, _ recorded: String) -> String {
  let (ours, theirs) = (text.components(separatedBy: "\n"), recorded.components(separatedBy: "\n"))
  let line = zip(ours, theirs).prefix { $0 == $1 }.count
  func said(_ lines: [String]) -> String { line < lines.count ? lines[line] : "(the end)" }
  return "differs in line \(line + 1): \(said(ours)), recorded: \(said(theirs))"
}
