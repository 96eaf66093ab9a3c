import LTMPrecision
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
  /// The processes that share each batch of training; `nil` where there is one.
  public let communicator: Communicator?
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
  ///   - communicator: the processes of a job, over which each batch of training on the target `cpu` is split. A rank's
  ///     `threads` are its cores where nothing is said, divided among the ranks that have them in common.
  public init(
    target: Target = .cpu, threads: Int? = nil, pjrtPlugin: String? = nil, tpuCores: Int? = nil, gpus: Int? = nil,
    communicator: Communicator? = nil
  ) throws(LTMError) {
    guard communicator?.count ?? 1 == 1 || target == .cpu else {
      throw LTMError(
        "several ranks train on the target cpu, not on \(target.rawValue)",
        notes: [target == .tpu ? "--tpu-cores splits a batch over the cores of one process" : "start one process"])
    }
    self.communicator = communicator
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
      TargetRequest(
        threads: threads ?? communicator?.threadsOfRank, pjrtPlugin: pjrtPlugin, tpuCores: self.tpuCores, gpus: gpus,
        ranks: communicator?.ranks, clock: clock))
    backend = started
    self.threads = started.threads
    device = started.device
  }

  /// The programs that share each batch of training.
  var replicas: Replicas { replicas(parts: nil) }

  /// The same, where a window is cut into parts.
  func replicas(parts: Int?, shardsOptimizer: Bool = false) -> Replicas {
    if let communicator, communicator.count > 1 {
      return Replicas(
        count: communicator.count, rank: communicator.rank, parts: parts, shardsOptimizer: shardsOptimizer)
    }
    return Replicas(count: tpuCores, parts: parts)
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
