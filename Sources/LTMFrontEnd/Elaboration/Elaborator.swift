import LTMIR
import LTMSupport
import LTMSyntax

/// Runs a file's code at compile time: `Int`s, lists and layers are computed, tensors become nodes of a graph whose shapes
/// are checked as they are made.
///
/// A mistake is reported once and leaves `poison`, about which nothing more is said; so one run finds several mistakes.
final class Elaborator {
  /// Nodes of one graph; loops unroll, so a file of a few lines can ask for any number.
  static let nodeLimit = 100_000
  /// Nested expressions, blocks and calls together, and calls alone; both bound the stack that the elaborator needs.
  static let (depthLimit, callLimit) = (700, 100)
  /// Rounds of loops and comprehensions.
  static let stepLimit = 100_000
  /// Expressions evaluated and calls made; functions that call others twice can ask for any number.
  static let workLimit = 2_000_000
  /// Dimensions of one tensor.
  static let rankLimit = 32

  let file: LoadedFile
  var world: World
  var diagnostics = DiagnosticSet()
  var builder = GraphBuilder(name: "")
  /// False while layers are constructed: then there are no tensors.
  var inGraph = false
  var training = false
  /// Inside `@f32 { ... }`.
  var pin: DType?
  /// The casts made for a pinned region: one per value.
  var pinned: [ValueID: ValueID] = [:]
  var frames: [Frame] = []
  /// What a parameter or a state is now: its input, or what was last written to it.
  var current: [StorageID: ValueID] = [:]
  /// States in the order of their first write.
  var written: [StorageID] = []
  /// The state of a rule, by name.
  var ruleStates: RuleStates?
  /// Constants at the top of files, once computed.
  var constants: [String: Value] = [:]
  var activeConstants: [String] = []
  /// Layers may be made: only the members of a type are being computed.
  var constructing: [TypeValue] = []
  /// Set while code is checked whose arguments are not known.
  var generic: Generic?
  /// What ran, where a whole file is checked.
  let progress: CheckProgress?
  /// The parameter or state whose initial value is computed.
  var initialized: InitializedStorage?
  /// The shape that `zeros_like` was last given.
  var likeShape: [Dim]?
  /// What the rounds of the loops that run have yielded, the innermost loop last; `nil` for one that is no value.
  var yields: [[Value]?] = []
  /// How many loops of members run.
  var memberLoops = 0
  /// How many loops over axes of tensors run.
  var scanDepth = 0
  /// What random numbers are drawn with; `nil` where none can be.
  var draws: DrawContext?
  private var depth = 0
  private var steps = 0
  private(set) var work = 0
  var reported: Set<Diagnostic> = []
  private var exhausted = false

  init(_ file: LoadedFile, world: World = World(), progress: CheckProgress? = nil) {
    self.file = file
    self.progress = progress
    self.world = world
  }

  // MARK: Reporting

  /// Reports a mistake; what it leaves is poison. `dims` are those that disagree.
  @discardableResult
  func fail(
    _ message: String, at span: Span, labels: [Diagnostic.Label] = [], notes: [String] = [],
    fixIt: Diagnostic.FixIt? = nil, about dims: [Dim] = []
  ) -> Value {
    let plain = Diagnostic(message, at: span, labels: labels, notes: notes, fixIt: fixIt)
    guard !exhausted, reported.insert(plain).inserted, var diagnostic = softened(plain, about: dims) else {
      return Value(.poison, span)
    }
    diagnostic.notes += callNotes(for: span)
    diagnostics.add(diagnostic)
    return Value(.poison, span)
  }

  /// The calls that led to the code at `span`, innermost first.
  private func callNotes(for span: Span) -> [String] {
    let outer = frames.reversed().drop { frame in
      guard let code = frame.function else { return false }
      return code.file != span.file || span.start < code.start || span.start >= code.end
    }
    let calls = outer.compactMap { frame in frame.callSpan.map { (frame.name, $0) } }
    return calls.prefix(3).map { "in '\($0.0)', called at \($0.1)" }
  }

  /// Reports a limit, once; afterwards everything is poison, so that the run ends quickly.
  func exhaust(_ message: String, at span: Span, notes: [String] = []) -> Value {
    let result = fail(message, at: span, notes: notes)
    exhausted = true
    return result
  }

  var isExhausted: Bool { exhausted }

  // MARK: Limits

  /// Runs `body` one level deeper.
  func nested(_ span: Span, _ body: () -> Value) -> Value { deeper(span, body) ?? Value(.poison, span) }

  /// Runs `body` one level deeper; `nil` where a limit is reached.
  func deeper<T>(_ span: Span, _ body: () -> T?) -> T? {
    if exhausted { return nil }
    guard depth < Self.depthLimit, frames.count < Self.callLimit else {
      _ = exhaust(
        "calls and expressions nest too deeply here (more than \(Self.callLimit) calls, or \(Self.depthLimit) levels)",
        at: span)
      return nil
    }
    work += 1
    if work > Self.workLimit {
      _ = exhaust("this takes more than \(Self.workLimit) evaluations at compile time", at: span)
      return nil
    }
    progress?.work += 1
    if progress?.isExhausted ?? false {
      _ = exhaust(
        "the file takes more than \(CheckProgress.workLimit) evaluations at compile time to check", at: span,
        notes: ["the rest of it is not checked"])
      return nil
    }
    depth += 1
    defer { depth -= 1 }
    return body()
  }

  /// A list of values. What it holds counts as work: a list of two lists that are one doubles in size, not in memory.
  func list(_ items: [Value], _ kind: ([Value]) -> Value.Kind, _ span: Span) -> Value {
    var open = items.filter(\.isSequence)
    while let item = open.popLast() {
      work += item.items.count
      if work > Self.workLimit { return exhaust("this list holds too much", at: span) }
      open += item.items.filter(\.isSequence)
    }
    return Value(kind(items), span)
  }

  /// Counts one round of a loop; false when there have been too many.
  func step(_ span: Span) -> Bool {
    steps += 1
    if steps > Self.stepLimit, !exhausted {
      _ = exhaust("loops run for more than \(Self.stepLimit) rounds at compile time", at: span)
    }
    return !exhausted
  }

  // MARK: Places

  /// The code being run.
  var frame: Frame {
    get { frames[frames.count - 1] }
    // In place: a copy of all names for each line would make long functions slow.
    _modify { yield &frames[frames.count - 1] }
  }

  /// The place that a node is said to come from: the user's own line, not the prelude's.
  func location(of span: Span) -> Location {
    guard span.file == file.modules[0].module.file else { return Location(span) }
    let call = frames.reversed().compactMap(\.callSpan).first { $0.file != span.file }
    return Location(call ?? span)
  }

  /// The path of the layer whose code runs.
  var scope: String { frames.last?.owner.flatMap { world[$0].path } ?? "" }

  /// Runs `body` in a new frame.
  func within<T>(_ frame: Frame, _ body: () -> T) -> T {
    frames.append(frame)
    defer { frames.removeLast() }
    return body()
  }
}

/// The names that running code sees.
struct Frame {
  /// For messages: `Block.call`.
  var name: String
  var module: Int
  /// The layer whose members are in scope.
  var owner: InstanceID?
  /// Local names, innermost block last.
  var blocks: [[String: Value]] = [[:]]
  /// The symbolic dimensions of the signature.
  var dims: [String: Dim] = [:]
  /// What `...` stands for in the signature.
  var ellipsis: [Dim]?
  /// Where it was called.
  var callSpan: Span?
  /// The code that runs, to find recursion.
  var function: Span?
}

/// The state of a rule while a function of it is elaborated.
struct RuleStates {
  var owner: InstanceID
  /// In declaration order.
  var names: [String]
  var inputs: [String: ValueID]
  var written: [String: ValueID] = [:]
}
