import Glibc
import LTMSupport

/// Zeroed memory that starts on a cache line, or on a huge page when it is large, and is freed with its owner.
///
/// The memory is padded to whole cache lines, so that a masked vector tail never crosses into another allocation. Whoever
/// shares a buffer between threads orders the accesses, as the pool's fork and join do, and whoever uses the address keeps
/// the buffer alive: Swift may release an object after its last mention (`withExtendedLifetime`).
package final class AlignedBuffer: @unchecked Sendable {
  /// Where vectors and cache lines may start.
  package static let alignment = 64
  /// The size from which huge pages are asked for: one such page.
  package static let hugePage = 2 << 20

  /// The first byte.
  package let address: UnsafeMutableRawPointer
  /// The number of bytes asked for.
  package let byteCount: Int
  /// What to give back: the size of the mapping, or 0 for memory from the heap.
  private let mappedBytes: Int

  /// Allocates `byteCount` zero bytes.
  package init(byteCount: Int) throws(Diagnostic) {
    let (padded, overflow) = max(byteCount, 1).addingReportingOverflow(Self.alignment - 1)
    guard byteCount >= 0, !overflow, padded < Int.max - 2 * Self.hugePage else { throw Self.failure(byteCount) }
    let size = padded / Self.alignment * Self.alignment
    self.byteCount = byteCount
    mappedBytes = size >= Self.hugePage ? size : 0
    guard let memory = size >= Self.hugePage ? Self.map(size) : Self.heap(size) else { throw Self.failure(byteCount) }
    address = memory
  }

  deinit {
    if mappedBytes > 0 { munmap(address, mappedBytes) } else { free(address) }
  }

  /// The bytes.
  package var bytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: address, count: byteCount) }

  private static func heap(_ size: Int) -> UnsafeMutableRawPointer? {
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, alignment, size) == 0 else { return nil }
    if let memory { memset(memory, 0, size) }
    return memory
  }

  /// A mapping that starts on a huge page: a page more is mapped, and what stands over is given back.
  private static func map(_ size: Int) -> UnsafeMutableRawPointer? {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS
    guard let base = mmap(nil, size + hugePage, PROT_READ | PROT_WRITE, flags, -1, 0), base != MAP_FAILED else {
      return nil
    }
    let before = (hugePage - Int(bitPattern: base) % hugePage) % hugePage
    let start = base + before
    if before > 0 { munmap(base, before) }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let end = (size + page - 1) / page * page
    if before + end < size + hugePage { munmap(start + end, hugePage - before - (end - size)) }
    // Advice only: without huge pages everything still works, slower.
    madvise(start, size, MADV_HUGEPAGE)
    return start
  }

  private static func failure(_ byteCount: Int) -> Diagnostic {
    Diagnostic(
      .error, "cannot allocate \(byteCount) bytes of memory",
      notes: ["a smaller batch, a 16-bit precision or a smaller model needs less"])
  }
}
