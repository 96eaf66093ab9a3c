import CCeilings
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
  /// Dot products of bf16 pairs, in operations a second; 0 where the processor has none.
  public let bfloatFlops: Double
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
    bfloatFlops = Self.best(pool) { _ in ltm_ceiling_bf16(1_000_000) }
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

  /// The share of the roofline that a rate of work reaches: its least possible time, by memory or by arithmetic, over the
  /// time that it took.
  func share(bytes: Double, flops: Double, seconds: Double) -> Double {
    seconds > 0 ? max(bytes / bandwidth, flops / self.flops) / seconds : 0
  }
}
