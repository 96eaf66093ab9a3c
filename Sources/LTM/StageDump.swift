import LTMRuntime
import LTMSupport

/// A folder that receives a text of every compiler stage, numbered, so that comparing N with N+1 finds the pass to blame.
final class StageDump {
  private let folder: String
  /// The number of the next stage.
  private(set) var next = 0
  private var failure: FileError?

  init(_ folder: String) throws(LTMError) {
    self.folder = folder
    try reporting { try makeFolder(folder) }
  }

  /// Writes a stage under a name that carries its number already.
  func write(_ file: String, _ text: String) {
    next += 1
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

  /// Throws the first failure to write.
  func finish() throws(LTMError) { if let failure { throw LTMError(failure.diagnostic) } }
}
