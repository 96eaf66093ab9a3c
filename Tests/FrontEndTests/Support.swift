import Foundation
import LTMFrontEnd
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// Loads a text as if it were a file.
func loaded(_ text: String, named path: String = "test.ltm", others: [String: String] = [:]) throws -> LoadedFile {
  try load(path: path) { asked in
    guard let found = asked == path ? text : others[asked] else { throw Diagnostic("no such file") }
    return Array(found.utf8)
  }
}

/// A file of `samples`, named as a user in the root would.
func sample(_ name: String) throws -> LoadedFile {
  try load(path: "samples/\(name)") { Array(try Data(contentsOf: root.appending(path: $0))) }
}

/// The graph of an entry of a text's only model.
func graph(_ text: String, entry: String = "f", training: Bool = false) throws -> Graph {
  let file = try loaded(text)
  return try file.instantiate(model: try #require(file.mainModel)).graph(entry: entry, training: training)
}

/// What goes wrong, as a user reads it; empty where nothing does.
func messages(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch let error as DiagnosticSet {
    return error.description
  } catch {
    return "\(error)"
  }
}
