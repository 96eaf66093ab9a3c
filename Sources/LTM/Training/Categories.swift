import LTMSupport

/// The texts of columns of categories, as a checkpoint keeps them beside the weights that were trained on their numbers.
enum SavedCategories {
  /// The key of a checkpoint's text.
  static let key = "ltm.categories"

  /// As a text.
  static func text(_ categories: [String: [String]]) -> String {
    JSON.object(
      categories.sorted { $0.key < $1.key }.map { .init($0.key, .array($0.value.map { JSON.string($0) })) }
    ).text()
  }

  /// What a checkpoint's texts say; `nil` where they say nothing.
  static func read(_ metadata: [String: String]) -> [String: [String]]? {
    guard let json = metadata[key].flatMap({ try? JSON(parsing: Array($0.utf8)) }), let members = json.members else {
      return nil
    }
    let columns = members.map { ($0.key, ($0.value.elements ?? []).compactMap(\.stringValue)) }
    return Dictionary(columns, uniquingKeysWith: { first, _ in first })
  }
}
