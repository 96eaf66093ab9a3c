import Foundation
import Glibc
import LTMRuntime
import LTMSupport
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
  @Test(arguments: [1, 2, 3, 8], [1, 2, 7, 1000])
  func doesEveryTaskOnce(threads: Int, tasks: Int) throws {
    let pool = try ThreadPool(threads: threads)
    let buffer = try AlignedBuffer(byteCount: tasks * 8)
    withExtendedLifetime(buffer) {
      let counts = buffer.bytes.bindMemory(to: Int.self)
      for _ in 0..<50 { pool.run(tasks: tasks) { counts[$0] += 1 } }
      #expect(counts.allSatisfy { $0 == 50 })
    }
  }

  @Test func manyShortLaunchesLoseNothing() throws {
    let pool = try ThreadPool(threads: 3)
    let sum = Atomic(0)
    for launch in 0..<5000 { pool.run(tasks: 1 + launch % 5) { sum.add($0 + 1, ordering: .relaxed) } }
    // 1000 rounds of 1, 1+2, 1+2+3, ...
    #expect(sum.load(ordering: .relaxed) == 1000 * (1 + 3 + 6 + 10 + 15))
  }

  @Test func kernelsGetTheirArgumentsAndScratchOfTheirOwn() throws {
    let pool = try ThreadPool(threads: 4)
    try pool.reserveScratch(byteCount: 4096)
    let output = try AlignedBuffer(byteCount: 100 * 8)
    var arguments: [UnsafeMutableRawPointer?] = [output.address]
    let kernel: KernelFunction = { arguments, first, end, scratch in
      guard let output = arguments?[0], let scratch else { return }
      for task in first..<end {
        // Were the scratch shared, another task's number would show up.
        for slot in 0..<512 { scratch.storeBytes(of: task, toByteOffset: slot * 8, as: Int.self) }
        let sum = (0..<512).reduce(0) { $0 + scratch.load(fromByteOffset: $1 * 8, as: Int.self) }
        output.storeBytes(of: sum, toByteOffset: task * 8, as: Int.self)
      }
    }
    arguments.withUnsafeMutableBufferPointer { pool.run(tasks: 100, kernel: kernel, arguments: $0.baseAddress) }
    withExtendedLifetime(output) {
      #expect(output.bytes.bindMemory(to: Int.self).enumerated().allSatisfy { $1 == $0 * 512 })
    }
    try pool.reserveScratch(byteCount: 16)
  }

  @Test func severalCallersTakeTurns() async throws {
    let pool = try ThreadPool(threads: 2)
    let total = try await withThrowingTaskGroup(of: Int.self) { group in
      for caller in 0..<4 {
        group.addTask {
          let own = Atomic(0)
          for _ in 0..<200 { pool.run(tasks: 10) { _ in own.add(caller, ordering: .relaxed) } }
          return own.load(ordering: .relaxed)
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(total == 2000 * (0 + 1 + 2 + 3))
  }

  /// As many threads as cores: each worker has one of its own, apart from the caller's at the launch. Fewer: the system's choice.
  @Test(
    .enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1),
    arguments: [ThreadPool.coreCount, ThreadPool.coreCount - 1])
  func threadsStayApart(threads: Int) throws {
    let pool = try ThreadPool(threads: threads)
    let all = ThreadPool.coreCount
    let caller = pthread_self()
    for _ in 0..<20 {
      let begun = Atomic(0)
      let allowed = Mutex<[(isCaller: Bool, cores: Int, here: Int)]>([])
      pool.run(tasks: threads) { _ in
        begun.add(1, ordering: .acquiringAndReleasing)
        // No thread takes two.
        while begun.load(ordering: .acquiring) < threads { sched_yield() }
        let entry = (pthread_equal(pthread_self(), caller) != 0, ThreadPool.coreCount, ThreadPool.currentCore)
        allowed.withLock { $0.append(entry) }
      }
      let seen = allowed.withLock { $0 }
      #expect(seen.count == threads)
      #expect(seen.allSatisfy { $0.cores == ($0.isCaller || threads < all ? all : 1) })
      let workers = seen.filter { !$0.isCaller }.map(\.here)
      #expect(threads < all || Set(workers).count == threads - 1)
    }
  }

  @Test func noTasksIsNoCall() throws {
    let pool = try ThreadPool(threads: 2)
    pool.run(tasks: 0) { _ in Issue.record("called") }
    pool.run(tasks: -3) { _ in Issue.record("called") }
  }

  @Test(arguments: [0, -1, 100_000]) func refusesNumbersOfThreads(threads: Int) {
    let error = #expect(throws: Diagnostic.self) { try ThreadPool(threads: threads) }
    #expect(error?.message.contains("\(threads) threads") == true)
  }

  @Test func poolsComeAndGo() throws {
    for threads in [1, 2, 5, 16, 3] {
      let pool = try ThreadPool(threads: threads)
      let sum = Atomic(0)
      pool.run(tasks: 64) { sum.add($0, ordering: .relaxed) }
      #expect(sum.load(ordering: .relaxed) == 2016)
    }
    #expect(ThreadPool.coreCount == ProcessInfo.processInfo.activeProcessorCount)
  }
}

@Suite struct AlignedBufferTests {
  @Test(arguments: [0, 1, 63, 64, 4097, 2 << 20, (2 << 20) + 1, 5_000_001])
  func isAlignedZeroedAndWritable(byteCount: Int) throws {
    let buffer = try AlignedBuffer(byteCount: byteCount)
    let alignment = byteCount >= AlignedBuffer.hugePage ? AlignedBuffer.hugePage : AlignedBuffer.alignment
    #expect(Int(bitPattern: buffer.address) % alignment == 0)
    #expect(buffer.bytes.count == byteCount)
    #expect(buffer.bytes.allSatisfy { $0 == 0 })
    withExtendedLifetime(buffer) {
      buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0xAB)
      // The padding belongs to the buffer too.
      buffer.address.storeBytes(of: 1, toByteOffset: max(byteCount - 1, 0) / 64 * 64 + 56, as: Int.self)
    }
  }

  @Test(arguments: [-1, Int.max, Int.max - 70, 1 << 60]) func whatCannotBeHadIsAnError(byteCount: Int) {
    let error = #expect(throws: Diagnostic.self) { try AlignedBuffer(byteCount: byteCount) }
    #expect(error?.message.contains("\(byteCount) bytes") == true)
  }

  @Test func usageIsReported() throws {
    let buffer = try AlignedBuffer(byteCount: 64 << 20)
    buffer.bytes.initializeMemory(as: UInt8.self, repeating: 1)
    withExtendedLifetime(buffer) { #expect(ResourceUsage.residentBytes >= 64 << 20) }
    #expect(ResourceUsage.peakBytes >= 64 << 20)
    #expect(ResourceUsage.peakBytes <= ResourceUsage.allowedBytes)
    // Work of 64 MB is some.
    let start = ResourceUsage.processorSeconds
    buffer.bytes.initializeMemory(as: UInt8.self, repeating: 2)
    #expect(start > 0 && ResourceUsage.processorSeconds > start)
  }
}
