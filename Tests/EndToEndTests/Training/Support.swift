import LTM
import TestSupport

extension Model {
  /// A model of a text.
  init(text: String) throws {
    let folder = try TemporaryFolder()
    try self.init(contentsOf: folder.write("m.ltm", text))
    withExtendedLifetime(folder) {}
  }
}
