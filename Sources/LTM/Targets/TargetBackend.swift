import LTMIR
import LTMMPI
import LTMRuntime
import LTMSupport

/// A backend with what the rest of the compiler asks of a target. A new target is one of these, with its line in
/// ``Target/backend``.
protocol TargetBackend: Backend {
  /// What precision 16 means there.
  static var sixteen: DType { get }
  /// The stages that `compile --emit` writes for it.
  static var stages: [Stage] { get }
  /// What of it is on this machine.
  static func status(_ request: TargetRequest) -> TargetStatus
  /// What it makes of an entry or a step that is its own choice, for a device of that architecture.
  static func choices(of compilation: Compilation, architecture: String?) throws(LTMError) -> TargetChoices
  /// The stages after the graph, each a file's name and its text.
  static func dump(_ graph: Graph, architecture: String?) throws(LTMError) -> [(name: String, text: String)]

  /// Starts it.
  init(_ request: TargetRequest) throws(LTMError)
  /// How many threads of this machine compute.
  var threads: Int { get }
  /// The device in a few words, where there is one beside the processor.
  var device: String? { get }
}

extension TargetBackend {
  static var sixteen: DType { .f16 }
  static var stages: [Stage] { Stage.beforeTargets }
  var threads: Int { 1 }
  var device: String? { nil }
}

/// What may be asked of a target when it starts; each takes what is its own.
struct TargetRequest {
  var threads: Int?
  var pjrtPlugin: String?
  var tpuCores = 1
  var gpus: Int?
  var ranks: RankThread?
  /// What starting takes is told to it.
  var clock = PhaseClock()
}

extension Target {
  /// The backend: the one place that knows them all.
  var backend: any TargetBackend.Type {
    switch self {
    case .cpu: CPUBackend.self
    case .interpreter: InterpreterBackend.self
    case .tpu: TPUBackend.self
    case .cuda: CUDABackend.self
    }
  }

  /// What precision 16 means there.
  public var sixteen: DType { backend.sixteen }

  /// The stages that `compile --emit` writes for it; the target `cuda` has those of ``DeviceStage`` beside them.
  public var stages: [Stage] { backend.stages }
}
