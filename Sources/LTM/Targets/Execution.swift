import LTMRuntime
import LTMSupport

/// A target with its resources, shared by everything compiled for it.
public struct Execution: Sendable {
  /// Where entries run.
  public let target: Target
  /// The number of threads. Results do not depend on it.
  public let threads: Int
  /// The number of TPU cores that share each batch of training; 1 on other targets.
  public let tpuCores: Int
  package private(set) var backend: any Backend
  /// The GPU in a few words; `nil` on other targets.
  public let device: String?
  /// What compiling for this target took so far.
  package let clock: PhaseClock

  /// The one given, or one with the defaults.
  init(reusing execution: Execution?) throws(LTMError) {
    if let execution { self = execution } else { try self.init() }
  }

  /// Starts a target.
  ///
  /// - Parameters:
  ///   - threads: how many compute on a CPU; one for each core when left out.
  ///   - pjrtPlugin: the path of the library that runs the target `tpu`; `TPU_LIBRARY_PATH`, else the system's
  ///     `libtpu.so`, when left out.
  ///   - tpuCores: over how many cores of the target `tpu` each batch of training is split.
  ///   - gpus: how many GPUs the target `cuda` uses: 1.
  public init(
    target: Target = .cpu, threads: Int? = nil, pjrtPlugin: String? = nil, tpuCores: Int? = nil, gpus: Int? = nil
  ) throws(LTMError) {
    guard gpus == nil || target == .cuda else {
      throw LTMError("GPUs are of the target cuda, not of \(target.rawValue)")
    }
    self.target = target
    guard tpuCores == nil || target == .tpu else {
      throw LTMError("TPU cores are of the target tpu, not of \(target.rawValue)")
    }
    self.tpuCores = tpuCores ?? 1
    clock = PhaseClock()
    let started = try target.backend.init(
      TargetRequest(threads: threads, pjrtPlugin: pjrtPlugin, tpuCores: self.tpuCores, gpus: gpus, clock: clock))
    backend = started
    self.threads = started.threads
    device = started.device
  }

  /// Throws for a number of GPUs that no execution takes.
  package static func check(gpus: Int) throws(LTMError) { try CUDABackend.check(gpus: gpus) }

  /// The same, where sums shall be the same bits however many rows are computed together.
  package func ordered() throws(LTMError) -> Execution {
    guard let ordered = backend.ordered else {
      throw LTMError("the target \(target.rawValue) does not promise the same bits", notes: ["cpu and interpreter do"])
    }
    return running(on: ordered)
  }

  /// The same, but for what runs the kernels.
  package func running(on backend: any Backend) -> Execution {
    var execution = self
    execution.backend = backend
    return execution
  }
}
