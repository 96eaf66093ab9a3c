internal import CLLVM
import CRuntime
import Glibc
import LTMSupport

/// A processor as the emitters see it: what LLVM is told, and the facts that schedules depend on.
package struct TargetProfile: Hashable, Sendable {
  package enum Architecture: String, Hashable, Sendable { case x86_64, aarch64, nvptx64 }
  package var name: String
  package var architecture: Architecture
  package var triple: String
  package var cpu: String
  package var features: String
  /// Bytes of a vector register.
  package var vectorBytes: Int
  /// Number of vector registers.
  package var vectorRegisters: Int
  package var hasFMA: Bool
  /// Converts vectors between f16 and f32 in one instruction.
  package var convertsF16: Bool
  /// Narrows f32 vectors to bf16 in one instruction.
  package var convertsBF16: Bool
  /// Takes numbers apart and scales them by powers of 2, each in one instruction (AVX-512).
  package var scalesByPowers: Bool
  /// Multiplies pairs of bf16 and adds them in f32, in one instruction.
  package var dotsBF16: Bool
  /// Multiplies tiles of bf16 pairs and adds them in f32 (AMX).
  package var hasTiles: Bool
  /// Whether contractions may use them: a process must have asked the kernel, which an object for C programs cannot rely on.
  package var usesTiles = false
  /// Whether what is packed of constants may wait in memory for the next launch.
  package var keepsPanels = false

  /// Large results are stored past the caches: their buffers start on cache lines, as ours do and a C caller's may not.
  package var streamsStores = false

  /// Whether the order in which products and rows are added up depends on their length, their dtype and the processor alone,
  /// and not on how many there are: slower where there are many.
  package var keepsOrder = false

  /// Bytes of a core's second cache, which panels and tiles are cut for.
  package var cacheBytes: Int

  /// The same for code whose buffers are ours.
  package var jitted: TargetProfile {
    var profile = self
    profile.streamsStores = architecture == .x86_64
    profile.usesTiles = hasTiles
    profile.keepsPanels = true
    return profile
  }

  /// The same for code whose sums are the same bits however many rows are computed together.
  package var ordered: TargetProfile {
    var profile = self
    profile.keepsOrder = true
    return profile
  }

  /// What decides machine code besides the kernel: for keys of the cache. Raise the emitters' number with any change of
  /// generated code.
  package var codeKey: [String] {
    [triple, cpu, features, Bootstrap.version, compilerVersion, "emitters 27"] + (keepsOrder ? ["ordered"] : [])
  }

  /// Lanes of an f32 register.
  package var floatLanes: Int { vectorBytes / 4 }

  /// The machine this runs on.
  package static let host: TargetProfile = {
    Bootstrap.done
    let triple = takeMessage(LLVMGetDefaultTargetTriple())
    var profile = TargetProfile(
      name: "host", triple: triple, cpu: takeMessage(LLVMGetHostCPUName()),
      features: takeMessage(LLVMGetHostCPUFeatures()))
    profile.hasTiles = profile.hasTiles && ltm_request_tiles() == 0
    // Some virtual machines do not say.
    let size = sysconf(Int32(_SC_LEVEL2_CACHE_SIZE))
    if 256 << 10...4 << 20 ~= size { profile.cacheBytes = size }
    return profile
  }()

  /// Machines to compile for without having them.
  package static let named: [TargetProfile] = [
    TargetProfile(
      name: "x86-64-v3", triple: "x86_64-unknown-linux-gnu", cpu: "x86-64-v3", features: "+avx2,+fma,+f16c"),
    TargetProfile(
      name: "x86-64-v4", triple: "x86_64-unknown-linux-gnu", cpu: "x86-64-v4",
      features: "+avx2,+fma,+f16c,+avx512f,+avx512dq"),
    TargetProfile(
      name: "znver4", triple: "x86_64-unknown-linux-gnu", cpu: "znver4",
      features: "+avx2,+fma,+f16c,+avx512f,+avx512dq,+avx512bf16"),
    TargetProfile(
      name: "sapphirerapids", triple: "x86_64-unknown-linux-gnu", cpu: "sapphirerapids",
      features: "+avx2,+fma,+f16c,+avx512f,+avx512dq,+avx512bf16,+amx-tile,+amx-bf16"),
    TargetProfile(name: "aarch64", triple: "aarch64-unknown-linux-gnu", cpu: "generic", features: "+neon"),
    TargetProfile(
      name: "neoverse-v1", triple: "aarch64-unknown-linux-gnu", cpu: "neoverse-v1", features: "+neon,+fullfp16,+bf16"),
  ]

  /// The profile of that name, `host` included.
  package static func named(_ name: String) -> TargetProfile? {
    name == "host" ? host : named.first { $0.name == name }
  }

  /// Reads the facts off LLVM's feature list (`+avx2,-avx512f,...`).
  package init(name: String, triple: String, cpu: String, features: String) {
    self.name = name
    self.triple = triple
    self.cpu = cpu
    self.features = features
    let has = Set(features.split(separator: ",").filter { $0.hasPrefix("+") }.map { $0.dropFirst() })
    architecture =
      triple.hasPrefix("nvptx64")
      ? .nvptx64 : triple.hasPrefix("aarch64") || triple.hasPrefix("arm64") ? .aarch64 : .x86_64
    switch architecture {
    case .x86_64:
      vectorBytes = has.contains("avx512f") ? 64 : has.contains("avx2") ? 32 : 16
      vectorRegisters = has.contains("avx512f") ? 32 : 16
      hasFMA = has.contains("fma")
      convertsF16 = has.contains("f16c")
      scalesByPowers = has.contains("avx512dq") && vectorBytes == 64
      convertsBF16 = has.contains("avx512bf16") && scalesByPowers
      dotsBF16 = convertsBF16 && vectorBytes == 64
      hasTiles = has.contains("amx-tile") && has.contains("amx-bf16") && vectorBytes >= 32
    case .aarch64:
      vectorBytes = 16
      vectorRegisters = 32
      hasFMA = true
      convertsF16 = true
      scalesByPowers = false
      convertsBF16 = has.contains("bf16")
      dotsBF16 = convertsBF16
      hasTiles = false
    case .nvptx64:
      // What one thread accesses at once.
      vectorBytes = 16
      vectorRegisters = 32
      hasFMA = true
      convertsF16 = true
      scalesByPowers = false
      convertsBF16 = cpu != "sm_70" && cpu != "sm_75"
      dotsBF16 = false
      hasTiles = false
    }
    cacheBytes = vectorBytes == 64 ? 1 << 20 : 512 << 10
    // LLVM prefers 256 bits on most CPUs with AVX-512; the tiles are made for whole registers.
    if vectorBytes == 64 { self.features += ",-prefer-256-bit" }
  }

  /// How a contraction is tiled on this CPU: a row for each family of registers.
  ///
  /// - Parameters:
  ///   - isBF16: both operands hold bf16 values.
  ///   - isFlat: the depth is one axis.
  func tile(isBF16: Bool, isFlat: Bool) -> RegisterTile {
    // Two by two of AMX's tiles: each load serves two products, and the other four registers hold the operands.
    if isBF16, isFlat, usesTiles { return RegisterTile(rows: 32, vectors: 128 / vectorBytes, multiply: .tileBF16) }
    let multiply: RegisterTile.Multiply = isBF16 && dotsBF16 ? .dotBF16 : hasFMA ? .fma : .multiplyAdd
    return switch (vectorBytes, vectorRegisters) {
    case (64, _): RegisterTile(rows: 12, vectors: 2, multiply: multiply)
    case (16, 32): RegisterTile(rows: 8, vectors: 3, multiply: multiply)
    default: RegisterTile(rows: 6, vectors: 2, multiply: multiply)
    }
  }
}

/// The accumulators that a contraction keeps in registers.
package struct RegisterTile: Hashable, Sendable {
  /// The instruction that multiplies and accumulates.
  package enum Multiply: String, Hashable, Sendable {
    case fma, multiplyAdd
    /// Two products of bf16 and a sum of f32 in each lane.
    case dotBF16
    /// The same for 16 rows, 16 columns and 32 points of the depth at once.
    case tileBF16
  }
  package var rows: Int
  /// Columns, in registers.
  package var vectors: Int
  package var multiply: Multiply
  /// Contracted points in a step: so many lie side by side in an element of a panel.
  package var points: Int { multiply == .dotBF16 || multiply == .tileBF16 ? 2 : 1 }
  /// Steps that the micro-kernel takes at once: panels are filled up with zeros to whole ones.
  package var stepsTogether: Int { multiply == .tileBF16 ? 16 : 1 }
  /// Steps for contracted axes of these extents: the innermost one ends in a zero where it does not divide.
  func steps(_ extents: [Int]) -> Int {
    guard let innermost = extents.last else { return 1 }
    return extents.dropLast().reduce((innermost + points - 1) / points, *)
  }
}
