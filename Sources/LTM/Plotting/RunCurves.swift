import Glibc
import LTMRuntime
import LTMSupport

/// What a run's log says, as curves by name.
public struct RunCurves: Sendable {
  /// A curve: numbers by step attempt.
  public struct Curve: Sendable, Hashable {
    /// `loss`, `val_accuracy`, `lr`
    public let name: String
    /// In order of attempts; none is NaN or infinite.
    public var points: [Point]
  }

  /// A number at an attempt.
  public struct Point: Sendable, Hashable {
    /// The number of the attempt, from 0.
    public let attempt: Int
    /// The value.
    public let value: Double
  }

  /// What the run is called.
  public var name: String
  /// In the order in which the log names them.
  public private(set) var curves: [Curve] = []
  /// The attempts that were skipped.
  public private(set) var skips: [Int] = []

  /// Reads a log: a folder with `metrics.jsonl` or `metrics.csv`, or such a file, that of `ltm train --log` included. Where a run was resumed,
  /// the later of two lines counts.
  public init(contentsOf path: String) throws(LTMError) {
    let file = try Self.file(path)
    name = path.split(separator: "/").last.map(String.init) ?? path
    let text = try reporting { String(decoding: try readFile(file), as: UTF8.self) }
    let lines = text.split(separator: "\n")
    let rows = try fileEnding(file) == "csv" ? Self.table(lines, file) : Self.records(lines, file)
    collect(rows)
    guard !curves.isEmpty else {
      throw LTMError(
        "\(file): holds no steps", notes: ["'ltm train --logger jsonl --log-dir \(path)' writes such a log"])
    }
  }

  private static func file(_ path: String) throws(LTMError) -> String {
    for name in ["metrics.jsonl", "metrics.csv"] where access("\(path)/\(name)", F_OK) == 0 { return "\(path)/\(name)" }
    guard ["jsonl", "csv", "json", "log"].contains(fileEnding(path)) else {
      throw LTMError(
        "'\(path)' is no log of a run", notes: ["name the folder of --log-dir, a metrics.jsonl or a metrics.csv"])
    }
    return path
  }

  private typealias Row = [(name: String, value: Double)]

  private static func records(_ lines: [Substring], _ path: String) throws(LTMError) -> [Row] {
    var rows: [Row] = []
    for (index, line) in lines.enumerated() {
      guard let members = (try? JSON(parsing: Array(line.utf8)))?.members else {
        // A run that was killed may have left half a line.
        if index == lines.count - 1 { break }
        throw LTMError("\(path):\(index + 1): this line is no JSON object")
      }
      rows.append(
        members.compactMap { member in
          let value = member.value.doubleValue ?? member.value.boolValue.map { $0 ? 1 : 0 }
          return value.map { (member.key, $0) }
        })
    }
    return rows
  }

  private static func table(_ lines: [Substring], _ path: String) throws(LTMError) -> [Row] {
    let header = (lines.first ?? "").split(separator: ",").map(String.init)
    var rows: [Row] = []
    for (index, line) in lines.enumerated().dropFirst() {
      let fields = line.split(separator: ",", omittingEmptySubsequences: false)
      guard fields.count == header.count else {
        if index == lines.count - 1 { break }
        throw LTMError("\(path):\(index + 1): this row has \(fields.count) fields, and the header \(header.count)")
      }
      rows.append(zip(header, fields).compactMap { name, field in Double(field).map { (name, $0) } })
    }
    return rows
  }

  /// What is no curve: where a row stands, and how long a step took.
  private static let places: Set<String> = ["attempt", "step", "epoch", "seconds", "skipped", "validation"]

  private mutating func collect(_ rows: [Row]) {
    var order: [String] = []
    var points: [String: [Int: Double]] = [:]
    var skipped: Set<Int> = []
    for (index, row) in rows.enumerated() {
      let attempt = row.first { $0.name == "attempt" }.flatMap { Int(exactly: $0.value) } ?? index
      for (name, value) in row where !Self.places.contains(name) && value.isFinite {
        if points[name] == nil { order.append(name) }
        points[name, default: [:]][attempt] = value
      }
      if let value = row.first(where: { $0.name == "skipped" })?.value {
        if value != 0 { skipped.insert(attempt) } else { skipped.remove(attempt) }
      }
    }
    skips = skipped.sorted()
    curves = order.map { name in
      let sorted = (points[name] ?? [:]).sorted { $0.key < $1.key }
      return Curve(name: name, points: sorted.map { Point(attempt: $0.key, value: $0.value) })
    }
  }
}
