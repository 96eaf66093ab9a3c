import Foundation
import LTMRuntime
import LTMSupport

/// A folder that receives a text of every compiler stage, numbered, so that comparing N with N+1 finds the pass to blame.
final class StageDump {
  private let folder: String
  /// The number of the next stage.
  private(set) var next = 0
  private var failure: FileError?
  private var written: Set<String> = []
  /// What an earlier dump left in the folder: its numbers are of another run.
  private let stale: [String]

  init(_ folder: String) throws(LTMError) {
    self.folder = folder
    try reporting { try makeFolder(folder) }
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    stale = files.contains(Self.source) ? files.filter { $0.wholeMatch(of: /\d\d-[a-z-]+\.[a-z]+/) != nil } : []
  }

  private static let source = "00-source.ltm"

  /// Begins with what the compiler was given.
  func begin(_ path: String) throws(LTMError) {
    let source = try Source(contentsOf: path)
    write(Self.source, source.text)
    add("ast.txt", try source.syntaxTree())
  }

  /// Writes a stage under a name that carries its number already.
  func write(_ file: String, _ text: String) {
    next += 1
    written.insert(file)
    do throws(FileError) {
      try writeAtomically("\(folder)/\(file)", Array(text.utf8))
    } catch {
      failure = failure ?? error
    }
  }

  /// Writes a stage under the next number.
  func add(_ name: String, _ text: String) {
    let number = next < 10 ? "0\(next)" : "\(next)"
    write("\(number)-\(name)", text)
  }

  /// Throws the first failure to write; otherwise the folder holds the stages of this run alone.
  func finish() throws(LTMError) {
    if let failure { throw LTMError(failure.diagnostic) }
    for file in stale where !written.contains(file) { try? FileManager.default.removeItem(atPath: "\(folder)/\(file)") }
  }
}
