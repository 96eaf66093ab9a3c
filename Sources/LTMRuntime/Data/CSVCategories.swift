import LTMSupport

/// What becomes of a text in a column of categories that training did not see.
package enum UnseenRule: String, Hashable, Sendable, CaseIterable {
  /// Its row is left out.
  case drop
  /// It has the number after the last one.
  case last
}

/// How texts become numbers.
package struct CategoryRules: Hashable, Sendable {
  /// The texts in the order of their numbers, by column, as training found them; a column that is not among them holds numbers. `nil` where
  /// they are numbered anew.
  package var known: [String: [String]]?
  /// What becomes of others, by column.
  private var unseen: [String: UnseenRule] = [:]
  /// The same for columns that are not named.
  private var unseenElsewhere: UnseenRule?

  /// Numbered anew, or as they are known; others are errors.
  package init(known: [String: [String]]? = nil) { self.known = known }

  /// Reads `drop`, `last`, `COLUMN:drop`, or several of them with commas.
  package mutating func setUnseen(_ text: String) -> Bool {
    for part in text.split(separator: ",").map({ $0.trimmed }) {
      let parts = part.split(separator: ":", maxSplits: 1).map(String.init)
      guard let rule = parts.last.flatMap({ UnseenRule(rawValue: $0) }) else { return false }
      if parts.count == 2 { unseen[parts[0]] = rule } else { unseenElsewhere = rule }
    }
    return !text.isEmpty
  }

  func unseen(in column: String) -> UnseenRule? { unseen[column] ?? unseenElsewhere }
}

extension Substring {
  fileprivate var trimmed: Substring {
    let start = drop { $0 == " " }
    return start.lastIndex { $0 != " " }.map { start[...$0] } ?? ""
  }
}

/// The texts of a column, numbered in the order of their first row.
struct Categories {
  /// The numbers of a column.
  struct Numbers {
    var values: [Double]
    /// What the numbers stand for; `nil` where the column held numbers.
    var texts: [String]?
    /// Rows that are left out.
    var dropped: [Int] = []
  }

  private let column: String
  private let known: [String]?
  private let unseen: UnseenRule?
  private var places: [String: Int] = [:]
  private var names: [(text: String, field: CSVScanner.Field)] = []

  /// `nil` for a column that holds numbers, as is known.
  init?(_ rules: CategoryRules, column: String) {
    if let known = rules.known, known[column] == nil { return nil }
    (self.column, known, unseen) = (column, rules.known?[column], rules.unseen(in: column))
  }

  /// The number of a text.
  mutating func add(_ text: String, _ field: CSVScanner.Field) -> Double {
    if let place = places[text] { return Double(place) }
    places[text] = names.count
    names.append((text, field))
    return Double(names.count - 1)
  }

  /// The values of a column: the places of its texts among all of them in order, from 0, where none is a number; else its numbers.
  func numbers(_ rows: [Double], _ scanner: CSVScanner, mayLack: Bool) throws(FileError) -> Numbers {
    let found = names.map(\.text).filter { !missingWords.contains($0) }
    let areTexts = known != nil || !found.isEmpty && found.allSatisfy { Double($0) == nil }
    let texts = areTexts ? known ?? found.sorted() : []
    let order = Dictionary(
      texts.enumerated().map { ($1, Double($0)) }, uniquingKeysWith: { first, _ in first })
    var meanings: [Double?] = []
    for (text, field) in names {
      if mayLack, missingWords.contains(text) {
        meanings.append(.nan)
      } else if let place = order[text] {
        meanings.append(place)
      } else if let known, !missingWords.contains(text) {
        meanings.append(try number(ofUnseen: text, field, scanner, known))
      } else {
        meanings.append(try scanner.number(field, column: column))
      }
    }
    let values = rows.map { meanings[Int($0)] }
    return Numbers(
      values: values.map { $0 ?? 0 }, texts: areTexts ? texts : nil,
      dropped: values.indices.filter { values[$0] == nil })
  }

  /// `nil` where its row is left out.
  private func number(
    ofUnseen text: String, _ field: CSVScanner.Field, _ scanner: CSVScanner, _ known: [String]
  ) throws(FileError) -> Double? {
    switch unseen {
    case .drop?: return nil
    case .last?: return Double(known.count)
    case nil:
      let list = known.prefix(10).map { "'\(shown($0))'" }.joined(separator: ", ") + (known.count > 10 ? ", ..." : "")
      throw FileError(
        scanner.place(field), "'\(shown(text))' in column '\(shown(column))' is no category that training saw: \(list)",
        remedy: "--unseen drop leaves out such rows, and last gives them the number \(known.count)")
    }
  }
}
