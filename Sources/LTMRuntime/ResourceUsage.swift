import Glibc

/// What this process has used of the machine.
package enum ResourceUsage {
  /// The most memory that was ever resident, in bytes.
  package static var peakBytes: Int {
    var usage = rusage()
    // Linux counts in kilobytes.
    return getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 ? usage.ru_maxrss * 1024 : 0
  }

  /// The memory that this process may have, in bytes: the machine's, or less under `ulimit -v` or in a container; as good
  /// as endless where the system does not tell.
  package static var allowedBytes: Int {
    let (pages, size) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
    let physical = pages > 0 && size > 0 ? pages * size : .max
    var limit = rlimit()
    let hasLimit = getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0
    let container = firstLine(of: "/sys/fs/cgroup/memory.max").flatMap { Int($0) } ?? .max
    return min(physical, hasLimit ? Int(clamping: limit.rlim_cur) : .max, container)
  }

  /// The memory that is resident now, in bytes; 0 where the system does not tell.
  package static var residentBytes: Int {
    guard let fields = firstLine(of: "/proc/self/statm")?.split(separator: " "), fields.count > 1,
      let pages = Int(fields[1])
    else { return 0 }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// What the system says in one short line, without its end.
  private static func firstLine(of path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard fgets(&line, Int32(line.count), file) != nil else { return nil }
    return String(decoding: line.prefix { $0 >= 0x20 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// Seconds since the system started this process, to its clock's tick (usually 10 ms); 0 where it does not tell.
  package static var secondsSinceStart: Double {
    guard let file = fopen("/proc/self/stat", "re") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 1024)
    guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
    let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    // The name, in brackets, may hold anything; the start is the 20th field after it.
    let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
    guard fields.count > 20, let ticks = Double(fields[20]) else { return 0 }
    return seconds(CLOCK_BOOTTIME) - ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  /// Processor time of all threads, in seconds.
  package static var processorSeconds: Double { seconds(CLOCK_PROCESS_CPUTIME_ID) }

  /// Seconds of a clock that never steps back; only differences mean something.
  package static var monotonicSeconds: Double { seconds(CLOCK_MONOTONIC) }

  private static func seconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
