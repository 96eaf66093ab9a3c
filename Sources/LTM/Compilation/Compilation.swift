import Foundation
import LTMGraphPasses
import LTMHLO
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMLLVM
import LTMPrecision
import LTMRuntime
import LTMSupport

/// A stage of the compiler that `emit` can write.
public enum Stage: String, Sendable, CaseIterable {
  /// The syntax tree.
  case ast
  /// The graph after casts; with a training step, the whole step.
  case graph
  /// Kernels and the plan.
  case kernels
  /// The kernels' LLVM IR for this machine.
  case llvm
  /// Its assembly.
  case asm
  /// An object file with a C header; weights are arguments, under their checkpoint names.
  case obj
  /// StableHLO, for a TPU and whatever else takes it.
  case stablehlo

  /// Those that are the same for every target.
  public static let beforeTargets: [Stage] = [.ast, .graph, .kernels]
}

/// What a stage comes to: text, or bytes with the files that belong to them.
public struct Artifact: Sendable {
  /// The text, where the stage has one.
  public let text: String?
  private let bytes: [UInt8]
  private let header: String?

  init(text: String) {
    self.text = text
    bytes = Array(text.utf8)
    header = nil
  }

  init(bytes: [UInt8]) {
    text = nil
    self.bytes = bytes
    header = nil
  }

  init(object: [UInt8], header: String) {
    text = nil
    bytes = object
    self.header = header
  }

  /// Writes the file, whole or not at all; beside an object file its header, with the ending `.h`.
  public func write(to path: String) throws(LTMError) {
    if header != nil, path.lowercased().hasSuffix(".h") {
      throw LTMError(
        "\(path): is where the header of the object file goes", notes: ["name the object file, as in -o model.o"])
    }
    try reporting {
      try writeAtomically(path) { (file) throws(FileError) in
        try file.write(bytes)
        // Before the object file takes its place, so that it does not where the header cannot.
        if let header { try writeAtomically(Self.headerPath(path), Array(header.utf8)) }
      }
    }
  }

  /// Where the header beside an object file goes.
  package static func headerPath(_ path: String) -> String {
    let hasEnding = path.split(separator: "/").last?.contains(".") ?? false
    return (hasEnding ? String(path[..<(path.lastIndex(of: ".") ?? path.endIndex)]) : path) + ".h"
  }
}

/// One entry, or the training step, on its way through the compiler.
public struct Compilation: Sendable {
  let model: Model
  let policy: PrecisionPolicy
  let entry: String
  let isTrainingStep: Bool
  let dimensions: [String: Int]
  let tpuCores: Int

  /// - Parameters:
  ///   - entry: the function; the one that the `train` block minimizes, else `forward`, when left out.
  ///   - dimensions: sizes of symbolic dimensions; those left out take the `train` block's batch.
  ///   - tpuCores: how many replicas share the batch of a training step: what is compiled is the program of each.
  public init(
    model: Model, policy: PrecisionPolicy, entry: String? = nil, isTrainingStep: Bool = false,
    dimensions: [String: Int] = [:], tpuCores: Int = 1
  ) {
    self.model = model
    self.policy = policy
    self.entry = entry ?? model.settings?.minimize?.value ?? "forward"
    self.isTrainingStep = isTrainingStep
    self.dimensions = dimensions
    self.tpuCores = tpuCores
  }

  /// Writes a stage.
  ///
  /// - Parameters:
  ///   - debugInfo: puts line tables of the `.ltm` into `llvm`, `asm` and `obj`, for debuggers.
  ///   - target: whose `kernels` they are.
  public func emit(_ stage: Stage, debugInfo: Bool = false, for target: Target = .cpu) throws(LTMError) -> Artifact {
    let folder = debugInfo ? FileManager.default.currentDirectoryPath : nil
    switch stage {
    case .ast: return Artifact(text: try Source(contentsOf: model.path).syntaxTree())
    case .graph: return Artifact(text: try settledGraph().text)
    case .kernels: return Artifact(text: try plan(epilogueReductions: target != .cuda).description)
    case .llvm: return Artifact(text: try CPUBackend.text(of: plan(), as: .llvmIR, lines: folder))
    case .asm: return Artifact(text: try CPUBackend.text(of: plan(), as: .assembly, lines: folder))
    case .obj:
      let (plan, symbol) = (try plan(), "\(model.name)_\(isTrainingStep ? "step" : entry)")
      let result = try reporting { try emitAheadOfTime(plan: plan, symbol: symbol, lines: folder) }
      return Artifact(object: result.object, header: result.header)
    case .stablehlo: return Artifact(text: try stableHLOText())
    }
  }

  /// The StableHLO of the entry or the step.
  func stableHLOText() throws(LTMError) -> String {
    let graph = try lowered()
    return try reporting { try stableHLO(graph) }
  }

  /// Writes every stage into a folder, numbered; the last ones are the target's, for a GPU of that architecture.
  public func dump(to folder: String, for target: Target = .cpu, architecture: String? = nil) throws(LTMError) {
    let dump = try StageDump(folder)
    try dump.begin(model.path)
    let graph = try lowered(dump)
    for (name, text) in try target.backend.dump(graph, architecture: architecture) { dump.add(name, text) }
    try dump.finish()
  }

  /// For each op its dtype and the rule that chose it, each cast with its reason, and the totals, as a table.
  public func explanation() throws(LTMError) -> String { try report().text }

  /// The same as JSON.
  public func explanationJSON() throws(LTMError) -> String { try report().json.text(indent: 2) }

  func report() throws(LTMError) -> ExplainReport {
    let sizes = try sizes(training: true, assumes: true)
    if entry == model.settings?.minimize?.value {
      let program = try TrainingProgram(model, policy, sizes: sizes)
      return ExplainReport(program.loss, policy: policy, bytes: try bytes(program.lowered))
    }
    let graph = try model.graph(entry, training: false)
    let (bound, policy) = (try reporting { try graph.bound(sizes) }, policy)
    let cast = try reporting { try insertCasts(bound, policy) }
    return ExplainReport(cast, policy: policy, bytes: try bytes(Pipeline.inference(sizes, policy).run(graph)))
  }

  private func bytes(_ graph: Graph) throws(LTMError) -> [(name: String, value: Int)] {
    MemoryUse(graph, try plan(graph)).totals
  }

  /// The training step: of one replica, where several share the batch.
  func trainingProgram(_ dump: StageDump? = nil) throws(LTMError) -> TrainingProgram {
    try TrainingProgram(
      model, policy, sizes: replicaSizes(), minimize: entry, replicas: Replicas(count: tpuCores), dump: dump)
  }

  private func settledGraph() throws(LTMError) -> Graph {
    try checkCores()
    if isTrainingStep {
      return try trainingProgram().step.graph
    }
    let (sizes, policy) = (try sizes(training: false), policy)
    return try reporting { try inferenceGraph(model.graph(entry, training: false).bound(sizes), policy) }
  }

  func lowered(_ dump: StageDump? = nil) throws(LTMError) -> Graph {
    try checkCores()
    if isTrainingStep {
      return try trainingProgram(dump).lowered
    }
    let graph = try model.graph(entry, training: false)
    dump?.add("graph.ltir", graph.text)
    return try Pipeline.inference(try sizes(training: false), policy).run(graph, dump: dump)
  }

  /// The plan of the CPU; without epilogue reductions, that of GPUs.
  package func plan(epilogueReductions: Bool = true) throws(LTMError) -> Plan {
    try plan(lowered(), epilogueReductions: epilogueReductions)
  }

  private func plan(_ graph: Graph, epilogueReductions: Bool = true) throws(LTMError) -> Plan {
    try reporting {
      try buildPlan(graph, epilogueReductions: epilogueReductions, takesAttention: epilogueReductions)
    }
  }
}
