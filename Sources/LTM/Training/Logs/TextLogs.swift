import LTMRuntime
import LTMSupport

/// A line of JSON for each step and each validation. A number that is not finite is null.
final class JSONLinesLog: RunLog {
  var path: String { file.path }
  private let file: AppendedFile

  init(_ folder: String, appends: Bool) throws(FileError) {
    file = try AppendedFile("\(folder)/metrics.jsonl", appends: appends)
  }

  func write(_ row: LogRow) throws(FileError) {
    var members: [JSON.Member] = [
      .init("attempt", .int(row.attempt)), .init("step", .int(row.step)), .init("epoch", .int(row.epoch)),
    ]
    if row.isValidation { members.append(.init("validation", .bool(true))) }
    members += row.values.map { .init($0.name, .number($0.value)) }
    try file.write(JSON.object(members).text() + "\n")
  }
}

/// A column for each value; a field is empty where a row has none.
final class CSVLog: RunLog {
  var path: String { file.path }
  private let file: AppendedFile
  private let columns: [String]

  init(_ folder: String, columns: [String], appends: Bool) throws(FileError) {
    file = try AppendedFile("\(folder)/metrics.csv", appends: appends)
    self.columns = columns
    if file.isEmpty { try file.write((["attempt", "step", "epoch"] + columns).joined(separator: ",") + "\n") }
  }

  func write(_ row: LogRow) throws(FileError) {
    let values = Dictionary(row.values.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    let fields = columns.map { name in values[name].map { "\($0)" } ?? "" }
    try file.write((["\(row.attempt)", "\(row.step)", "\(row.epoch)"] + fields).joined(separator: ",") + "\n")
  }
}
