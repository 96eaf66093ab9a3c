/// One message for the user: what is wrong, where, and what would mend it.
public struct Diagnostic: Error, Hashable, Sendable {
  /// How serious a message is.
  public enum Severity: String, Sendable {
    case error, warning
    /// A mistake in ltm itself.
    case internalError = "internal error"
  }

  /// A second place that belongs to the message, with a few words of its own.
  public struct Label: Hashable, Sendable {
    /// The place.
    public let span: Span
    /// What to say there.
    public let text: String
    /// A place with its words.
    public init(_ span: Span, _ text: String) {
      self.span = span
      self.text = text
    }
  }

  /// A replacement that would mend the mistake.
  public struct FixIt: Hashable, Sendable {
    /// What to replace.
    public let span: Span
    /// The text to put there.
    public let replacement: String
    /// A replacement of `span` by `replacement`.
    public init(_ span: Span, _ replacement: String) {
      self.span = span
      self.replacement = replacement
    }
  }

  /// How serious the message is.
  public var severity: Severity
  /// One sentence, lower case, no full stop.
  public var message: String
  /// The place the caret points at; `nil` where no file is concerned.
  public var span: Span?
  /// The place of an op whose source text is no longer at hand; shown where `span` is `nil`.
  public var location: Location?
  /// Further places.
  public var labels: [Label]
  /// Lines after the excerpt: `note: ...`.
  public var notes: [String]
  /// A likely remedy.
  public var fixIt: FixIt?

  /// A message.
  public init(
    _ severity: Severity, _ message: String, at span: Span? = nil, labels: [Label] = [], notes: [String] = [],
    fixIt: FixIt? = nil
  ) {
    self.severity = severity
    self.message = message
    self.span = span
    self.labels = labels
    self.notes = notes
    self.fixIt = fixIt
  }

  /// An error.
  public init(
    _ message: String, at span: Span? = nil, labels: [Label] = [], notes: [String] = [], fixIt: FixIt? = nil
  ) {
    self.init(.error, message, at: span, labels: labels, notes: notes, fixIt: fixIt)
  }

  /// A mistake in ltm itself: the part where it showed, and what was met there.
  public static func internalError(in part: String, _ detail: String) -> Diagnostic {
    Diagnostic(
      .internalError, "\(part): \(detail)",
      notes: ["this is a mistake in ltm, not in your file: please report it, with the file and the command line"])
  }
}

/// The messages of a phase, thrown at its end.
public struct DiagnosticSet: Error, Sendable {
  /// In the order found.
  public private(set) var all: [Diagnostic] = []
  /// How many messages beyond ``limit`` were not kept.
  public private(set) var omitted = 0
  private var omittedError = false
  /// Beyond this many messages the rest is counted, not kept, so that hostile input costs little.
  public static let limit = 50

  /// An empty set, or one with the messages given.
  public init(_ all: [Diagnostic] = []) { self.all = all }

  /// Adds a message; the same message at the same place is kept once.
  public mutating func add(_ diagnostic: Diagnostic) {
    guard all.count < Self.limit else {
      omitted += 1
      omittedError = omittedError || diagnostic.severity != .warning
      return
    }
    if !all.contains(diagnostic) { all.append(diagnostic) }
  }

  /// Whether further messages are only counted: what would make them good to read need not be looked for.
  public var isFull: Bool { all.count >= Self.limit }
  /// Whether any message is an error.
  public var hasErrors: Bool { omittedError || all.contains { $0.severity != .warning } }
  /// The warnings alone.
  public var warnings: [Diagnostic] { all.filter { $0.severity == .warning } }

  /// Throws the set when it holds an error.
  public func throwIfErrors() throws(DiagnosticSet) { if hasErrors { throw self } }
}

extension DiagnosticSet: CustomStringConvertible {
  /// The messages as a terminal shows them, without colour.
  public var description: String {
    let rest = omitted > 0 ? ["and \(omitted) more"] : []
    return (all.map { $0.rendered() } + rest).joined(separator: "\n")
  }
}
