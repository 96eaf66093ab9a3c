import CCeilings
import LTMLLVM
import LTMRuntime
import LTMSupport
import Synchronization

/// What this machine reaches at most on some threads, measured: the roofline that kernels are held against.
public struct Ceilings: Sendable {
  /// The number of threads.
  public let threads: Int
  /// The widest instructions that were used.
  public let instructions: String
  /// f32 multiply-adds in registers, in operations a second.
  public let flops: Double
  /// The same of f64.
  public let doubleFlops: Double
  /// Dot products of bf16 pairs, in operations a second; 0 where the processor has none.
  public let bfloatFlops: Double
  /// Products of bf16 tiles, in operations a second; 0 where the processor has none.
  public let tileFlops: Double
  /// Two arrays read and one written past the caches, in bytes a second.
  public let bandwidth: Double
  /// The C library's `memcpy` of a large array, in bytes a second, read and written.
  public let copyBandwidth: Double

  /// Measures them, in about a second.
  public init(execution: Execution) throws(LTMError) {
    let pool = try reporting { try ThreadPool(threads: execution.threads) }
    threads = pool.threads
    instructions = String(cString: ltm_ceiling_isa_name(ltm_ceiling_isa()))
    flops = Self.best(pool) { _ in ltm_ceiling_fma(1_000_000) }
    doubleFlops = Self.best(pool) { _ in ltm_ceiling_fma64(1_000_000) }
    bfloatFlops = Self.best(pool) { _ in ltm_ceiling_bf16(1_000_000) }
    tileFlops = TargetProfile.host.hasTiles ? Self.best(pool) { _ in ltm_ceiling_tiles(200_000) } : 0
    // Larger than the last level of any cache that a core has to itself.
    let bytes = 128 << 20
    let (a, b, c) = try reporting {
      (
        try AlignedBuffer(byteCount: bytes), try AlignedBuffer(byteCount: bytes), try AlignedBuffer(byteCount: bytes)
      )
    }
    for buffer in [a, b, c] { buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0) }
    let share = bytes / pool.threads / 64 * 64
    bandwidth = Self.best(pool) { thread in
      let floats = { (buffer: AlignedBuffer) in
        (buffer.address + thread * share).assumingMemoryBound(to: Float.self)
      }
      return ltm_ceiling_triad(floats(a), floats(b), floats(c), share)
    }
    copyBandwidth = Self.best(pool) { thread in
      ltm_ceiling_copy(a.address + thread * share, c.address + thread * share, share)
    }
  }

  /// The best of several tries; a ceiling is a least time.
  private static func best(_ pool: ThreadPool, _ work: (Int) -> Double) -> Double {
    var rate = 0.0
    for _ in 0..<7 {
      let done = Mutex(0.0)
      let start = ResourceUsage.monotonicSeconds
      pool.run(tasks: pool.threads) { thread in
        let part = work(thread)
        done.withLock { $0 += part }
      }
      rate = max(rate, done.withLock { $0 } / (ResourceUsage.monotonicSeconds - start))
    }
    return rate
  }

  /// The peak of some instructions; that of f32 where theirs was not measured.
  func peak(_ arithmetic: Arithmetic) -> Double {
    let measured =
      switch arithmetic {
      case .f32: flops
      case .f64: doubleFlops
      case .bf16: bfloatFlops
      case .tiles: tileFlops
      }
    return measured > 0 ? measured : flops
  }

  /// The least possible time of a rate of work, and what decides it.
  func leastTime(bytes: Double, flops: Double, _ arithmetic: Arithmetic) -> (seconds: Double, limit: String) {
    let (memory, computing) = (bytes / bandwidth, flops / peak(arithmetic))
    return memory >= computing ? (memory, "memory") : (computing, arithmetic.rawValue)
  }

  /// The peaks that this machine has, as `f32 510.5, bf16 1020.8`, in operations a nanosecond.
  var peaks: String {
    Arithmetic.allCases.filter { $0 == .f32 || peak($0) != flops }
      .map { "\($0.rawValue) \(fixed(peak($0) * 1e-9, 1))" }.joined(separator: ", ")
  }
}
