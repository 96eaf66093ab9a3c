import LTMFrontEnd
import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// A model of a `.ltm` file, with its arguments given and its weights at hand.
///
/// Weights are kept in full precision, whatever a run computes in; an opt level's half copies are made where they are
/// needed.
public struct Model: Sendable {
  /// The file.
  public let path: String
  /// The model's name.
  public let name: String
  /// The seed of the initial weights.
  public let seed: UInt64
  /// The weights that are no longer the initial ones, which the seed gives at any time.
  private var given: [String: Tensor] = [:]
  package let file: LoadedFile
  package let program: Program
  /// Those that did not come from the file.
  private let arguments: [String: ModelArgument]
  /// What the file's `train` block says.
  package private(set) var settings: TrainSettings?
  /// The lines of the `train` block that came from outside, by their first word.
  private(set) var linesGiven: Set<String> = []
  /// What training computes again in the backward pass, instead of keeping it: less memory for more time. Results are the
  /// same but for rounding where kernels fuse otherwise.
  public var recomputation: Recomputation = []
  /// Whether training gives the norm of all gradients of each step. It does where gradients are clipped by it.
  public var tracksGradientNorm = false
  /// Whether training gives each gradient of a step, for histograms.
  var givesGradients = false
  /// The texts of the data's columns of categories in the order of their numbers, by column, as training found them: other tables are read
  /// alike. `nil` before training, or for texts to be numbered anew.
  public var categories: [String: [String]]?

  /// Reads a file and makes a model of it.
  ///
  /// - Parameters:
  ///   - path: the `.ltm` file; imports are relative to it.
  ///   - model: which model; the `train` block's, or the only one, when left out.
  ///   - arguments: the model's arguments, `["hidden": 256]`; defaults stand for the rest.
  ///   - seed: the seed of the initial weights; the `train` block's, else 0, when left out.
  public init(
    contentsOf path: String, model: String? = nil, arguments: [String: ModelArgument] = [:], seed: UInt64? = nil
  ) throws(LTMError) {
    let file = try reporting { try LTMFrontEnd.load(path: path, read: sourceBytes) }
    guard let name = model ?? file.mainModel else {
      throw LTMError(
        "\(path) has \(file.models.isEmpty ? "no model" : "several models")",
        notes: file.models.isEmpty
          ? ["declare one, as in model M() { func forward(x: [B, 64]) -> [B, 64] { return x } }"]
          : ["choose one of \(listed(file.models)), as in --model \(file.models[0])"])
    }
    let settings = try reporting { try file.train(for: name) }
    let given = (settings?.arguments ?? [:]).merging(arguments.mapValues(\.value)) { $1 }
    let program = try Self.made(name, with: arguments) { () throws(DiagnosticSet) in
      try file.instantiate(model: name, arguments: given)
    }
    if let settings {
      let problems = program.problems(with: settings)
      if !problems.isEmpty { throw LTMError(DiagnosticSet(problems)) }
    }
    self.path = path
    self.file = file
    self.name = name
    self.program = program
    self.arguments = arguments
    self.settings = settings
    self.seed = seed ?? settings?.seed.map { UInt64(clamping: $0.value) } ?? 0
    try Self.checkMemory(program)
  }

  /// Throws the errors of what is made with arguments from outside: those come first, where no message names one of them,
  /// since what goes wrong may stand far from them.
  private static func made<Made>(
    _ name: String, with arguments: [String: ModelArgument], _ make: () throws(DiagnosticSet) -> Made
  ) throws(LTMError) -> Made {
    do {
      return try make()
    } catch {
      let isNamed = arguments.keys.contains { key in error.all.contains { $0.message.contains("'\(key)'") } }
      guard !arguments.isEmpty, !isNamed else { throw LTMError(error) }
      let values = arguments.sorted { $0.key < $1.key }.map { "--set \($0.key)=\($0.value.value)" }
      let first = Diagnostic(
        .error, "the model '\(name)' cannot be made with \(values.joined(separator: " "))",
        notes: ["what goes wrong with it follows"])
      throw LTMError(DiagnosticSet([first] + error.all))
    }
  }

  /// The graph of an entry.
  func graph(_ entry: String, training: Bool) throws(LTMError) -> Graph {
    let program = program
    guard entries.contains(entry) else { throw LTMError(program.unknownEntry(entry)) }
    return try Self.made(name, with: arguments) { () throws(DiagnosticSet) in
      try program.graph(entry: entry, training: training)
    }
  }

  /// Throws where the weights are more than this machine could hold, before the first is made.
  private static func checkMemory(_ program: Program) throws(LTMError) {
    var left = ResourceUsage.allowedBytes
    for spec in program.parameters + program.states {
      let size = (elementCount(spec.shape) ?? Int.max).multipliedReportingOverflow(by: spec.storedDType.byteCount)
      guard !size.overflow, size.partialValue <= left else {
        throw LTMError(
          "'\(spec.name)' with the shape \(spec.shape) does not fit into the memory of this machine",
          notes: ["a model argument, as --set hidden=64, may make it smaller"])
      }
      left -= size.partialValue
    }
  }

  /// Parameters and states by checkpoint name: f32, or the dtype that the file pins. Initial weights are made each time
  /// they are asked for.
  public var weights: [String: Tensor] {
    var all: [String: Tensor] = [:]
    for spec in program.parameters + program.states { all[spec.name] = weight(spec.name) }
    return all
  }

  /// One of them.
  package func weight(_ name: String) -> Tensor? {
    if let tensor = given[name] { return tensor }
    return spec(name).flatMap {
      initialTensor($0.initializer, shape: $0.shape, dtype: $0.storedDType, seed: seed, name: name)
    }
  }

  /// The same model with the weights given of these names alone; the others are the initial ones again.
  func keepingGiven(_ names: Set<String>) -> Model {
    var model = self
    model.given = given.filter { names.contains($0.key) }
    return model
  }

  /// Forgets what was given for a weight, if something was: it is the initial one again.
  mutating func dropGiven(_ name: String) -> Bool { given.removeValue(forKey: name) != nil }

  func spec(_ name: String) -> ParameterSpec? {
    program.parameters.first { $0.name == name } ?? program.states.first { $0.name == name }
  }

  /// Takes weights that fit.
  mutating func replace(_ tensors: [String: Tensor]) { given.merge(tensors) { $1 } }

  /// The names of parameters and states, in the order of the file.
  var weightNames: [String] { (program.parameters + program.states).map(\.name) }

  /// The parameters' names and shapes, in the order of the file.
  public var parameters: [(name: String, shape: [Int])] { program.parameters.map { ($0.name, $0.shape) } }

  /// The functions that can be compiled and run.
  public var entries: [String] { program.entries.map(\.name) }

  /// The entries that are reported over the test data.
  public var reportNames: [String] { settings?.reports.map(\.value) ?? [] }

  /// Reports these entries over the test data, in place of what the file's `train` block says; none of them, where the
  /// list is empty.
  public mutating func setReports(_ names: [String]) throws(LTMError) {
    var reports: [TrainSettings.Setting<String>] = []
    for name in names where !reports.contains(where: { $0.value == name }) {
      try setTrainLine("report \(name)")
      reports += settings?.reports ?? []
    }
    settings?.reports = reports
  }

  /// Puts a line in place of one of the file's `train` block, or adds it, written as it would be there:
  /// `optimizer SGD(lr: 0.1, momentum: 0.9)`, `schedule cosine(warmup: 50)`, `minimize loss`, `report accuracy`, `batch 64`.
  public mutating func setTrainLine(_ line: String) throws(LTMError) {
    let (file, program, name, settings) = (file, program, name, settings)
    let changed = try reporting {
      try file.settings(of: name, settings, replacing: SourceFile(path: "train line", text: line))
    }
    guard changed.seed?.span == settings?.seed?.span else {
      throw LTMError(
        "the seed cannot be set once there are first values",
        notes: ["it is given with the model: --seed, Model(seed:)"])
    }
    let problems = program.entryProblems(with: changed) + program.pathProblems(with: changed)
    if !problems.isEmpty { throw LTMError(DiagnosticSet(problems)) }
    self.settings = changed
    linesGiven.insert(String(line.prefix { $0 != " " }))
  }

  /// Compiles an entry; sizes of symbolic dimensions are taken from the arrays at the first call with them. So many of them are
  /// kept as `sizeLimit` says: 16.
  public func compile(
    _ entry: String = "forward", precision: Precision = .thirtyTwo, ampLevel: OptLevel? = nil,
    execution: Execution? = nil, sizeLimit: Int = CompiledEntry.defaultSizeLimit, buckets: Buckets? = nil
  ) throws(LTMError) -> CompiledEntry {
    let execution = try Execution(reusing: execution)
    let policy = try reporting { try PrecisionPolicy(precision, level: ampLevel, sixteen: execution.target.sixteen) }
    return try compile(entry, policy: policy, execution: execution, sizeLimit: sizeLimit, buckets: buckets)
  }

  /// Compiles an entry under a policy that is decided already.
  public func compile(
    _ entry: String, policy: PrecisionPolicy, execution: Execution,
    sizeLimit: Int = CompiledEntry.defaultSizeLimit, buckets: Buckets? = nil
  ) throws(LTMError) -> CompiledEntry {
    try CompiledEntry(self, entry, policy, execution, sizeLimit: sizeLimit, buckets: buckets)
  }
}

extension ParameterSpec {
  /// The dtype in which a model keeps it.
  var storedDType: DType { dtype == .float ? .f32 : dtype }
}

/// A value for a model's argument.
public struct ModelArgument: Sendable, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral
{
  package let value: CompileTimeValue

  /// An `Int`.
  public init(integerLiteral value: Int) { self.value = .int(value) }
  /// A `Float`.
  public init(floatLiteral value: Double) { self.value = .float(value) }
  /// A `Bool`.
  public init(booleanLiteral value: Bool) { self.value = .bool(value) }

  /// A `String`, or the name of a function for a parameter of type `func`.
  public init(stringLiteral value: String) { self.value = .string(value) }
  /// A list.
  public init(arrayLiteral elements: ModelArgument...) { value = .list(elements.map(\.value)) }
  /// A tuple: `.tuple(2, 2)`.
  public static func tuple(_ elements: ModelArgument...) -> ModelArgument {
    ModelArgument(value: .tuple(elements.map(\.value)))
  }

  private init(value: CompileTimeValue) { self.value = value }

  /// Reads `256`, `0.1`, `true`, `same`, `[784, 128]`, `(2, 2)`, as a flag has them.
  public init(parsing text: String) throws(LTMError) {
    guard let value = CompileTimeValue(text) else {
      throw LTMError(
        "'\(text)' is no value", notes: ["write a number, true, false, a word, a list [784, 128] or a tuple (2, 2)"])
    }
    self.value = value
  }
}

/// Names in quotes, sorted, for a message; `nothing` for none.
func listed(_ names: some Sequence<String>) -> String {
  let sorted = names.sorted()
  return sorted.isEmpty ? "nothing" : sorted.map { "'\($0)'" }.joined(separator: ", ")
}
