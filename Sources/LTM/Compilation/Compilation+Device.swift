import LTMKernels
import LTMLLVM
import LTMPTX
import LTMSupport

/// A stage of the compiler for GPUs that ``Compilation/emit(_:architecture:)`` can write.
public enum DeviceStage: String, Sendable, CaseIterable {
  /// The kernels' LLVM IR.
  case llvm
  /// Their PTX, one module for the whole plan.
  case ptx
  /// The module assembled for its GPU, by NVIDIA's `ptxas`.
  case cubin
  /// Buffers, kernels and launches: what a host does with the module.
  case launch
  /// The same as JSON.
  case launchJSON = "launch-json"
}

extension Compilation {
  /// The GPUs that there is code for, the default first; then those that run the code of an older one.
  public static var architectures: [String] {
    let others = DeviceArchitecture.allCases.filter { $0 != .sm80 }
    return ([.sm80] + others).map(\.rawValue) + DeviceArchitecture.compatible
  }

  /// Writes a stage for a GPU; `architecture` is one of ``architectures``.
  public func emit(_ stage: DeviceStage, architecture name: String = "sm_80") throws(LTMError) -> Artifact {
    let launches = try Self.launches(plan(epilogueReductions: false), for: name)
    func module(_ form: DeviceForm) throws(LTMError) -> String {
      try reporting { try emitDevice(launches.plan.kernels, as: form, launches.architecture) }
    }
    switch stage {
    case .llvm: return Artifact(text: try module(.llvmIR))
    case .ptx: return Artifact(text: try module(.ptx))
    case .cubin: return Artifact(bytes: try Assembler.find().assemble(module(.ptx), architecture: name).code)
    case .launch: return Artifact(text: launches.description)
    case .launchJSON: return Artifact(text: launches.json.text(indent: 2))
    }
  }

  /// The launches on a GPU, by its architecture's name; on the default one where it has none.
  static func launches(_ plan: Plan, for name: String?) throws(LTMError) -> LaunchPlan {
    let name = name ?? architectures[0]
    guard let architecture = DeviceArchitecture(gpu: name) else {
      throw LTMError(
        "there is no code for '\(name)'",
        notes: [
          "the architectures are \(architectures.joined(separator: ", "))",
          "GPUs older than sm_70 have no tensor cores; newer ones run the PTX of sm_90",
        ])
    }
    return try launchPlan(plan, architecture).checked()
  }
}

extension LaunchPlan {
  /// Itself, where a GPU can launch all of it.
  func checked() throws(LTMError) -> LaunchPlan {
    guard let problem else { return self }
    throw LTMError(problem, notes: ["smaller dimensions, of the batch for instance, need fewer blocks"])
  }
}
