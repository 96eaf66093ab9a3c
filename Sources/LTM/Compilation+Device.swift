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
  /// The GPUs that there is code for, the default first.
  public static var architectures: [String] {
    let others = DeviceArchitecture.allCases.filter { $0 != .sm80 }
    return ([.sm80] + others).map(\.rawValue)
  }

  /// Writes a stage for a GPU; `architecture` is one of ``architectures``.
  public func emit(_ stage: DeviceStage, architecture name: String = "sm_80") throws(LTMError) -> Artifact {
    guard let architecture = DeviceArchitecture(rawValue: name) else {
      throw LTMError(
        "there is no code for '\(name)'",
        notes: ["the architectures are \(Self.architectures.joined(separator: ", "))"])
    }
    let plan = try plan()
    func module(_ form: DeviceForm) throws(LTMError) -> String {
      try reporting { try emitDevice(plan.kernels, as: form, architecture) }
    }
    switch stage {
    case .llvm: return Artifact(text: try module(.llvmIR))
    case .ptx: return Artifact(text: try module(.ptx))
    case .cubin: return Artifact(bytes: try Assembler.find().assemble(module(.ptx), architecture: name).code)
    case .launch: return Artifact(text: launchPlan(plan, architecture).description)
    case .launchJSON: return Artifact(text: launchPlan(plan, architecture).json.text(indent: 2))
    }
  }
}
