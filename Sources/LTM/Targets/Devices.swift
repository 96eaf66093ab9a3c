import LTMSupport

/// A target on this machine: what was found, and what is missing.
public struct TargetStatus: Sendable {
  /// The target.
  public let target: Target
  /// Whether models run on it here.
  public let runs: Bool
  /// What was found, in lines.
  public let found: [String]
  /// What is missing, and how to get it.
  public let missing: [String]

  /// Looks for every target. Nothing is started that stays, but a plugin or a driver once opened is not closed.
  public static func all(pjrtPlugin: String? = nil) -> [TargetStatus] {
    Target.allCases.map { $0.backend.status(TargetRequest(pjrtPlugin: pjrtPlugin)) }
  }

  /// Lines for a terminal.
  public var text: String {
    let head = "\(target.rawValue): \(runs ? "runs" : "compiles, and does not run here")"
    return ([head] + found.map { "  \($0)" } + missing.map { "  missing: \($0)" }).joined(separator: "\n")
  }

  /// The statuses as JSON.
  public static func json(_ statuses: [TargetStatus]) -> String {
    let rows = statuses.map { status -> JSON in
      .object([
        .init("target", .string(status.target.rawValue)), .init("runs", .bool(status.runs)),
        .init("found", .array(status.found.map(JSON.string))),
        .init("missing", .array(status.missing.map(JSON.string))),
      ])
    }
    return JSON.object([.init("version", .string(LTMVersion.current)), .init("targets", .array(rows))]).text(indent: 2)
  }
}
