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
  /// Parameters and states by checkpoint name: f32, or the dtype that the file pins.
  public private(set) var weights: [String: Tensor]
  package let file: LoadedFile
  package let program: Program
  /// What the file's `train` block says.
  package private(set) var settings: TrainSettings?

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
    let program = try reporting { try file.instantiate(model: name, arguments: given) }
    if let settings {
      let problems = program.problems(with: settings)
      if !problems.isEmpty { throw LTMError(DiagnosticSet(problems)) }
    }
    self.path = path
    self.file = file
    self.name = name
    self.program = program
    self.settings = settings
    self.seed = seed ?? settings?.seed.map { UInt64(clamping: $0.value) } ?? 0
    weights = try Self.initialWeights(program, seed: self.seed)
  }

  private static func initialWeights(_ program: Program, seed: UInt64) throws(LTMError) -> [String: Tensor] {
    let specs = (program.parameters + program.states).map { spec in
      (spec: spec, dtype: spec.dtype == .float ? DType.f32 : spec.dtype)
    }
    // All of them, before the first is made.
    var left = ResourceUsage.allowedBytes
    for (spec, dtype) in specs {
      let (bytes, overflow) = (elementCount(spec.shape) ?? Int.max).multipliedReportingOverflow(by: dtype.byteCount)
      guard !overflow, bytes <= left else {
        throw LTMError(
          "'\(spec.name)' with the shape \(spec.shape) does not fit into the memory of this machine",
          notes: ["a model argument, as --set hidden=64, may make it smaller"])
      }
      left -= bytes
    }
    var weights: [String: Tensor] = [:]
    for (spec, dtype) in specs {
      guard let tensor = initialTensor(spec.initializer, shape: spec.shape, dtype: dtype, seed: seed, name: spec.name)
      else { throw LTMError("'\(spec.name)' with the shape \(spec.shape) is larger than any memory") }
      weights[spec.name] = tensor
    }
    return weights
  }

  /// The parameters' names and shapes, in the order of the file.
  public var parameters: [(name: String, shape: [Int])] { program.parameters.map { ($0.name, $0.shape) } }

  /// The functions that can be compiled and run.
  public var entries: [String] { program.entries.map(\.name) }

  /// The entry that the file's `train` block reports over the test data.
  public var reportName: String? { settings?.report?.value }

  /// Takes weights from a checkpoint of ours or of PyTorch's (`.safetensors`, `.npz`). Every parameter and state must be
  /// there with its shape; what else the file holds is left alone.
  public mutating func load(weightsFrom path: String) throws(LTMError) {
    let archive = try reporting { try openTensors(path) }
    var loaded: [String: Tensor] = [:]
    for spec in program.parameters + program.states {
      loaded[spec.name] = try reporting { try archive.tensor(spec.name) }
    }
    try set(loaded, from: path)
  }

  /// Replaces weights; names and shapes must be the model's, floats are converted.
  public mutating func set(_ tensors: [String: Tensor], from origin: String = "the weights given") throws(LTMError) {
    for (name, tensor) in tensors {
      guard let held = weights[name] else {
        throw LTMError("\(origin): the model has no parameter '\(name)'", notes: ["it has \(listed(weights.keys))"])
      }
      guard tensor.shape == held.shape, tensor.dtype.isFloating == held.dtype.isFloating else {
        throw LTMError(
          "\(origin): '\(name)' is \(tensor.dtype)\(tensor.shape), and the model's is \(held.dtype)\(held.shape)",
          notes: ["a model argument, as --set hidden=256, may make them agree"])
      }
      weights[name] = tensor.dtype == .f64 ? tensor : tensor.converted(to: held.dtype)
    }
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
    let problems = program.entryProblems(with: changed)
    if !problems.isEmpty { throw LTMError(DiagnosticSet(problems)) }
    self.settings = changed
  }

  /// Saves the weights under PyTorch's names, whole or not at all.
  public func save(to path: String) throws(LTMError) {
    let ordered = (program.parameters + program.states).compactMap { spec in
      weights[spec.name].map { (name: spec.name, tensor: $0) }
    }
    try reporting { try Checkpoint(tensors: ordered, metadata: ["ltm.model": name]).save(path: path) }
  }

  /// Compiles an entry; sizes of symbolic dimensions are taken from the arrays at the first call with them.
  public func compile(
    _ entry: String = "forward", precision: Precision = .thirtyTwo, ampLevel: OptLevel? = nil,
    execution: Execution? = nil
  ) throws(LTMError) -> CompiledEntry {
    let execution = try Execution(reusing: execution)
    let policy = try reporting { try PrecisionPolicy(precision, level: ampLevel, sixteen: execution.target.sixteen) }
    return try compile(entry, policy: policy, execution: execution)
  }

  /// Compiles an entry under a policy that is decided already.
  public func compile(_ entry: String, policy: PrecisionPolicy, execution: Execution) throws(LTMError) -> CompiledEntry
  {
    try CompiledEntry(self, entry, policy, execution)
  }
}

/// A value for a model's argument.
public struct ModelArgument: Sendable, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral
{
  package let value: CompileTimeValue

  /// An `Int`.
  public init(integerLiteral value: Int) { self.value = .int(value) }
  /// A `Float`.
  public init(floatLiteral value: Double) { self.value = .float(value) }
  /// A `Bool`.
  public init(booleanLiteral value: Bool) { self.value = .bool(value) }

  /// Reads `256`, `0.1`, `true`.
  public init(parsing text: String) throws(LTMError) {
    guard let value = CompileTimeValue(text) else {
      throw LTMError("'\(text)' is no Int, Float or Bool", notes: ["write a number, true or false"])
    }
    self.value = value
  }
}

/// Names in quotes, sorted, for a message; `nothing` for none.
func listed(_ names: some Sequence<String>) -> String {
  let sorted = names.sorted()
  return sorted.isEmpty ? "nothing" : sorted.map { "'\($0)'" }.joined(separator: ", ")
}
