import CRuntime
import Glibc
import LTMSupport
import Synchronization

/// A launch, cut into chunks of neighbouring tasks: a few for each thread, so that a slow one is caught up with.
struct PoolJob {
  let kernel: KernelFunction
  let arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
  let tasks: Range<Int>
  let chunks: Int

  init(
    kernel: KernelFunction, arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, tasks: Range<Int>,
    threads: Int
  ) {
    self.kernel = kernel
    self.arguments = arguments
    self.tasks = tasks
    chunks = min(tasks.count, threads * 4)
  }

  /// The tasks of a chunk: sizes differ by at most one.
  func range(_ chunk: Int) -> Range<Int> {
    let (size, larger) = tasks.count.quotientAndRemainder(dividingBy: chunks)
    let start = tasks.lowerBound + chunk * size + min(chunk, larger)
    return start..<start + size + (chunk < larger ? 1 : 0)
  }
}

/// What a pool's threads share. Each word has a cache line (and its neighbour, which is fetched with it) of its own.
///
/// A job is posted by writing it and then `unclaimed`, the number of its chunks. A thread claims a chunk by counting
/// `unclaimed` down, and only then reads the job: from that moment until it counts `unfinished` down the job cannot end,
/// so a thread that is late for one job at worst finds itself early for the next.
struct PoolBoard: @unchecked Sendable {
  /// Chunks that nobody has begun.
  private let unclaimed: UnsafeMutablePointer<Atomic<UInt32>>
  /// Chunks that are not done; the caller sleeps on it.
  private let unfinished: UnsafeMutablePointer<Atomic<UInt32>>
  /// Counts the jobs; idle workers sleep on it.
  private let generation: UnsafeMutablePointer<Atomic<UInt32>>
  /// How many workers sleep, or are about to.
  private let sleepers: UnsafeMutablePointer<Atomic<UInt32>>
  /// Whether the caller sleeps, or is about to.
  private let callerSleeps: UnsafeMutablePointer<Atomic<Bool>>
  private let stopping: UnsafeMutablePointer<Atomic<Bool>>
  private let job: UnsafeMutablePointer<PoolJob?>
  /// For each thread, where its scratch is.
  let scratch: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  /// Keeps the words above alive.
  private let memory: AlignedBuffer
  private let spins: Int
  private let threads: Int

  init(threads: Int, spins: Int) throws(Diagnostic) {
    let line = 128
    let memory = try AlignedBuffer(byteCount: 7 * line + threads * MemoryLayout<UnsafeMutableRawPointer?>.stride)
    func word(_ index: Int, _ value: UInt32 = 0) -> UnsafeMutablePointer<Atomic<UInt32>> {
      let word = (memory.address + index * line).bindMemory(to: Atomic<UInt32>.self, capacity: 1)
      word.initialize(to: Atomic(value))
      return word
    }
    func flag(_ index: Int) -> UnsafeMutablePointer<Atomic<Bool>> {
      let flag = (memory.address + index * line).bindMemory(to: Atomic<Bool>.self, capacity: 1)
      flag.initialize(to: Atomic(false))
      return flag
    }
    unclaimed = word(0)
    unfinished = word(1)
    generation = word(2)
    sleepers = word(3)
    callerSleeps = flag(4)
    stopping = flag(5)
    job = (memory.address + 6 * line).bindMemory(to: PoolJob?.self, capacity: 1)
    job.initialize(to: nil)
    scratch = (memory.address + 7 * line).bindMemory(to: UnsafeMutableRawPointer?.self, capacity: threads)
    scratch.initialize(repeating: nil, count: threads)
    self.memory = memory
    self.spins = spins
    self.threads = threads
  }

  /// Posts a job, takes part in it, and returns when it is done.
  func launch(_ next: PoolJob) {
    job.pointee = next
    unfinished.pointee.store(UInt32(next.chunks), ordering: .relaxed)
    unclaimed.pointee.store(UInt32(next.chunks), ordering: .releasing)
    generation.pointee.add(1, ordering: .sequentiallyConsistent)
    if sleepers.pointee.load(ordering: .sequentiallyConsistent) > 0 {
      Self.wake(generation, count: Int32(min(next.chunks - 1, threads - 1)))
    }
    work(thread: 0)
    awaitFinish()
  }

  /// Does chunks until none is left to claim.
  private func work(thread: Int) {
    while let left = claim(), let job = job.pointee {
      ltm_inside_task().pointee = 1
      let range = job.range(job.chunks - left)
      job.kernel(job.arguments, range.lowerBound, range.upperBound, scratch[thread])
      ltm_inside_task().pointee = 0
      finish()
    }
  }

  /// Counts `unclaimed` down; what it was, or `nil` when nothing is left.
  private func claim() -> Int? {
    var left = unclaimed.pointee.load(ordering: .acquiring)
    while left > 0 {
      let (done, seen) = unclaimed.pointee.weakCompareExchange(
        expected: left, desired: left - 1, ordering: .acquiringAndReleasing)
      if done { return Int(left) }
      left = seen
    }
    return nil
  }

  /// Counts `unfinished` down, and wakes the caller after the last chunk.
  private func finish() {
    let left = unfinished.pointee.subtract(1, ordering: .sequentiallyConsistent).newValue
    if left == 0, callerSleeps.pointee.load(ordering: .sequentiallyConsistent) { Self.wake(unfinished, count: 1) }
  }

  private func awaitFinish() {
    for _ in 0..<spins {
      if unfinished.pointee.load(ordering: .acquiring) == 0 { return }
      ltm_pause()
    }
    callerSleeps.pointee.store(true, ordering: .sequentiallyConsistent)
    while case let left = unfinished.pointee.load(ordering: .sequentiallyConsistent), left > 0 {
      Self.wait(unfinished, while: left)
    }
    callerSleeps.pointee.store(false, ordering: .relaxed)
  }

  /// What a worker does until the pool ends.
  func serve(thread: Int) {
    while !stopping.pointee.load(ordering: .acquiring) {
      // Read before the work: a job posted after it changes the number, so it cannot be slept through.
      let seen = generation.pointee.load(ordering: .sequentiallyConsistent)
      work(thread: thread)
      awaitJob(after: seen)
    }
  }

  private func awaitJob(after seen: UInt32) {
    for _ in 0..<spins {
      if generation.pointee.load(ordering: .acquiring) != seen { return }
      ltm_pause()
    }
    sleepers.pointee.add(1, ordering: .sequentiallyConsistent)
    if !stopping.pointee.load(ordering: .sequentiallyConsistent) { Self.wait(generation, while: seen) }
    sleepers.pointee.subtract(1, ordering: .sequentiallyConsistent)
  }

  /// Ends the workers and waits for them.
  func stop(_ workers: [pthread_t]) {
    stopping.pointee.store(true, ordering: .sequentiallyConsistent)
    generation.pointee.add(1, ordering: .sequentiallyConsistent)
    Self.wake(generation, count: Int32.max)
    for worker in workers { pthread_join(worker, nil) }
  }

  private static func wait(_ word: UnsafeMutablePointer<Atomic<UInt32>>, while value: UInt32) {
    ltm_futex_wait(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), value)
  }

  private static func wake(_ word: UnsafeMutablePointer<Atomic<UInt32>>, count: Int32) {
    ltm_futex_wake(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), count)
  }
}

/// What a new thread is told.
final class PoolWorker {
  private let board: PoolBoard
  private let index: Int

  init(board: PoolBoard, index: Int) {
    self.board = board
    self.index = index
  }

  /// Starts the thread; `nil` when the system has no more.
  func start() -> pthread_t? {
    // Signals are for the threads that the program started itself.
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var thread = pthread_t()
    let context = Unmanaged.passRetained(self)
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let worker = Unmanaged<PoolWorker>.fromOpaque(argument).takeRetainedValue()
        worker.board.serve(thread: worker.index)
        return nil
      }, context.toOpaque())
    if code == 0 { return thread }
    context.release()
    return nil
  }
}
