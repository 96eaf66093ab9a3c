import CRuntime
import Glibc

/// Keeps the threads of a pool on cores of their own, where the pool has a thread for each core of the process. Left to
/// itself, a system may wake a worker on the core of its caller, behind it, and leave the other idle for milliseconds.
///
/// The caller's thread is the program's and runs where the system puts it: a worker on that core changes places with it.
struct CorePlacement {
  private let workers: [pthread_t]
  /// For each worker, its core; empty where the system places them.
  private var cores: [Int32] = []
  /// The core that is the caller's.
  private var own: Int32 = 0

  init(workers: [pthread_t]) {
    self.workers = workers
    guard !workers.isEmpty else { return }
    var all = [Int32](repeating: 0, count: workers.count + 1)
    let count = ltm_cores(&all, Int32(all.count))
    let here = ltm_current_core()
    // Fewer threads than cores: another process with such a pool would choose the same ones.
    guard Int(count) == all.count, let place = all.firstIndex(of: here) else { return }
    own = all.remove(at: place)
    cores = all
    for (worker, core) in zip(workers, cores) { ltm_move(worker, core) }
  }

  /// Makes room where the calling thread runs now.
  mutating func settle() {
    guard !cores.isEmpty else { return }
    let here = ltm_current_core()
    guard here != own, let worker = cores.firstIndex(of: here) else { return }
    cores[worker] = own
    own = here
    ltm_move(workers[worker], cores[worker])
  }
}
