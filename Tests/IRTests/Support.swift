import Foundation
import LTMIR
import LTMSupport
import Testing

/// Whether two numbers agree, NaN with NaN.
func agree(_ a: Double, _ b: Double, tolerance: Double) -> Bool {
  if a == b || a.isNaN && b.isNaN { return true }
  return abs(a - b) <= tolerance * max(1, abs(a), abs(b))
}

func agree(_ a: Reference, _ b: Reference, tolerance: Double) -> Bool {
  a.shape == b.shape && zip(a.data, b.data).allSatisfy { agree($0, $1, tolerance: tolerance) }
}

/// Compares text with a committed file, or records it when LTM_BLESS is set, which fails the run.
func expectGolden(_ text: String, _ url: URL) throws {
  if ProcessInfo.processInfo.environment["LTM_BLESS"] == "1" {
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    if (try? String(contentsOf: url, encoding: .utf8)) != text {
      try text.write(to: url, atomically: true, encoding: .utf8)
      Issue.record("recorded \(url.lastPathComponent)")
    }
    return
  }
  let expected = try String(contentsOf: url, encoding: .utf8)
  #expect(text == expected, "\(url.lastPathComponent) differs; record it with LTM_BLESS=1 and read the difference")
}

/// The repository's root.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()
