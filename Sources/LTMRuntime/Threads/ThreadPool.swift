import CRuntime
import Glibc
import LTMSupport

/// A compiled kernel: does the tasks `first..<end` of a launch, with memory that no other thread uses.
package typealias KernelFunction =
  @convention(c) (
    _ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ first: Int, _ end: Int,
    _ scratch: UnsafeMutableRawPointer?
  ) -> Void

/// Threads that share the tasks of one launch at a time; the calling thread is one of them.
///
/// Which thread does which task is left to chance, so a task's result may depend on its number alone. Raw threads, never
/// Swift tasks: a launch forks and joins in microseconds, and a pool as large as the machine keeps its threads on cores of
/// their own. Idle threads spin for a moment and then sleep; where there are
/// more threads than cores they sleep at once, because spinning would keep the core from whoever has work.
package final class ThreadPool: @unchecked Sendable {
  /// More threads than this are refused as a mistake.
  package static let threadLimit = 1024
  /// The cores that this process may use: the default number of threads.
  package static var coreCount: Int { Int(ltm_core_count()) }
  /// The core that the calling thread runs on at this moment.
  package static var currentCore: Int { Int(ltm_current_core()) }

  /// The number of threads that do tasks, the calling one included.
  package let threads: Int
  private let board: PoolBoard
  private let workers: [pthread_t]
  private var placement: CorePlacement
  /// One launch at a time; guards the scratch and the placement too.
  private let launching = Lock()
  /// Memory of each thread for one task at a time.
  private var scratch: [AlignedBuffer] = []

  /// Starts `threads - 1` threads.
  package init(threads: Int) throws(Diagnostic) {
    guard threads >= 1, threads <= Self.threadLimit else {
      throw Diagnostic(
        .error, "cannot run \(threads) threads", notes: ["between 1 and \(Self.threadLimit) threads are possible"])
    }
    self.threads = threads
    let board = try PoolBoard(threads: threads, spins: threads > Self.coreCount ? 0 : 2000)
    self.board = board
    var started: [pthread_t] = []
    for index in 1..<max(threads, 1) {
      guard let thread = PoolWorker(board: board, index: index).start() else {
        board.stop(started)
        throw Diagnostic(
          .error, "cannot start thread \(index + 1) of \(threads)", notes: ["fewer threads may be possible"])
      }
      started.append(thread)
    }
    workers = started
    placement = CorePlacement(workers: started)
  }

  deinit { board.stop(workers) }

  /// Makes sure that every thread has at least `byteCount` bytes of scratch for kernels. Contents are not kept.
  package func reserveScratch(byteCount: Int) throws(Diagnostic) {
    try launching.withLock { () throws(Diagnostic) in
      if let first = scratch.first, first.byteCount >= byteCount { return }
      var buffers: [AlignedBuffer] = []
      for _ in 0..<threads { buffers.append(try AlignedBuffer(byteCount: byteCount)) }
      for (index, buffer) in buffers.enumerated() { board.scratch[index] = buffer.address }
      scratch = buffers
    }
  }

  /// Calls `kernel` for ranges that together are `tasks`, on all threads, and returns when all are done.
  ///
  /// Must not be called from inside a task. A launch for which there is no second thread to ask waits for nobody where the
  /// caller brings `scratch` of its own.
  package func run(
    tasks: Range<Int>, kernel: KernelFunction, arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
    scratch: UnsafeMutableRawPointer? = nil
  ) {
    internalCheck(ltm_inside_task().pointee == 0, "thread pool", "run is called from inside a task")
    if tasks.isEmpty { return }
    let isAlone = threads == 1 || tasks.count == 1
    func runHere(_ scratch: UnsafeMutableRawPointer?) {
      ltm_inside_task().pointee = 1
      kernel(arguments, tasks.lowerBound, tasks.upperBound, scratch)
      ltm_inside_task().pointee = 0
    }
    if isAlone, let scratch { return runHere(scratch) }
    launching.withLock {
      if isAlone {
        runHere(board.scratch[0])
      } else {
        placement.settle()
        board.launch(PoolJob(kernel: kernel, arguments: arguments, tasks: tasks, threads: threads))
      }
    }
  }

  /// Calls `kernel` for the tasks `0..<tasks`.
  package func run(tasks: Int, kernel: KernelFunction, arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?) {
    run(tasks: 0..<max(tasks, 0), kernel: kernel, arguments: arguments)
  }

  /// Calls `body` with each of `0..<tasks`, on all threads at once, and returns when all are done. Tasks may run at the
  /// same time: what they write must be apart.
  package func run(tasks: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      var body = body
      withUnsafeMutablePointer(to: &body) { pointer in
        let kernel: KernelFunction = { arguments, first, end, _ in
          guard let arguments else { return }
          let body = UnsafeMutableRawPointer(arguments).assumingMemoryBound(to: ((Int) -> Void).self)
          for task in first..<end { body.pointee(task) }
        }
        let arguments = UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
        run(tasks: tasks, kernel: kernel, arguments: arguments)
      }
    }
  }
}
