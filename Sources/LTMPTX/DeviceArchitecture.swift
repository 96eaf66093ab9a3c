import LTMIR
import LTMLLVM

/// A generation of NVIDIA GPUs as the emitters see it: what LLVM is told, and the facts that schedules depend on.
package enum DeviceArchitecture: String, Hashable, Sendable, CaseIterable {
  case sm70 = "sm_70"
  case sm80 = "sm_80"
  case sm90 = "sm_90"
  /// Hopper and nothing newer: its code does not run elsewhere.
  case sm90a = "sm_90a"

  /// What a code generator needs to know.
  package var profile: TargetProfile {
    TargetProfile(name: rawValue, triple: "nvptx64-nvidia-cuda", cpu: rawValue, features: "+ptx80")
  }

  /// The code for GPUs of a compute capability, as `10 * major + minor`: newer GPUs run an older one's PTX. `nil` where
  /// they are too old.
  package init?(capability: Int) {
    switch capability {
    case ..<70: return nil
    case ..<80: self = .sm70
    case ..<90: self = .sm80
    case 90: self = .sm90a
    default: self = .sm90
    }
  }

  /// GPUs without code of their own, which run the PTX of an older one.
  package static let compatible = [
    "sm_75", "sm_86", "sm_87", "sm_89", "sm_100", "sm_103", "sm_120", "sm_121",
  ]

  /// The code for a GPU as NVIDIA's tools name it; `nil` for names that are none, or too old.
  package init?(gpu name: String) {
    if let own = Self(rawValue: name) {
      self = own
    } else if Self.compatible.contains(name), let capability = Int(name.dropFirst(3)) {
      self.init(capability: capability)
    } else {
      return nil
    }
  }

  /// The tensor core instruction for operands of a dtype, with f32 sums; `nil` where there is none and sums are made
  /// in ordinary registers.
  func tensorCore(_ dtype: DType) -> Multiply? {
    switch (self, dtype) {
    case (.sm70, .f16): .mma884
    case (.sm80, .f16), (.sm90, .f16): .mma16816(.f16)
    case (.sm80, .bf16), (.sm90, .bf16): .mma16816(.bf16)
    case (.sm90a, .f16): .wgmma(.f16)
    case (.sm90a, .bf16): .wgmma(.bf16)
    case (.sm70, _), (.sm80, _), (.sm90, _), (.sm90a, _): nil
    }
  }
}

extension DeviceArchitecture {
  /// Copies from global to shared memory past the registers.
  var hasAsyncCopies: Bool {
    switch self {
    case .sm70: false
    case .sm80, .sm90, .sm90a: true
    }
  }
}

/// How a warp multiplies what lies in shared memory.
enum Multiply: Hashable, Sendable {
  /// Each thread a square of 4 by 4 sums, with fused multiply and add.
  case scalar(DType)
  /// `mma.sync.m8n8k4`: Volta's tensor cores, f16.
  case mma884
  /// `mma.sync.m16n8k16` with `ldmatrix`: f16 or bf16.
  case mma16816(DType)
  /// `wgmma.mma_async`: four warps, both operands read from shared memory; f16 or bf16.
  case wgmma(DType)

  /// What shared memory holds.
  var element: DType {
    switch self {
    case .scalar(let dtype), .mma16816(let dtype), .wgmma(let dtype): dtype
    case .mma884: .f16
    }
  }

  /// The instruction in a report.
  var name: String {
    switch self {
    case .scalar(let dtype): "fma.\(dtype)"
    case .mma884: "mma.m8n8k4.f16"
    case .mma16816(let dtype): "mma.m16n8k16.\(dtype)"
    case .wgmma(let dtype): "wgmma.m64k16.\(dtype)"
    }
  }

  /// Whether products are made while the warp goes on.
  var isAsynchronous: Bool {
    switch self {
    case .wgmma: true
    case .scalar, .mma884, .mma16816: false
    }
  }
}
