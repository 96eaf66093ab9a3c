import LTMMPI
import LTMRuntime
import LTMSupport

/// The processes of a job that train together, as one of them sees them:
///
///     guard let ranks = try Communicator.launched() else { return }   // under mpirun or srun
///     let trainer = try Trainer(execution: Execution(communicator: ranks))
///     try trainer.fit(&model)
///     ranks.finish()
///
/// Each process has a number, its rank, and every rank makes the same calls in the same order; where one throws, it calls
/// ``abort(code:)``, since the others would wait for it. Every batch is split among them by rows; logs and checkpoints come
/// from rank 0.
public struct Communicator: Sendable {
  /// This process's number, from 0.
  public let rank: Int
  /// How many processes there are.
  public let count: Int
  /// What moves the bytes, in its own words: `Open MPI v4.1.4, ...`.
  public let library: String
  /// The machine of each rank.
  public let hosts: [String]
  /// The system's number of each process.
  public let processes: [Int]
  /// The cores that each rank may run on.
  private let cores: [Set<Int32>]
  package let ranks: RankThread

  /// The job that a launcher of MPI's kind (`mpirun`, `mpiexec`, `srun`) started this process in; `nil` where it was started
  /// alone.
  ///
  /// - Parameters:
  ///   - library: the MPI library, a path with a slash or a name among the system's. Default: what belongs to the launcher.
  ///   - timeout: seconds after which a rank that waits for another one gives up. Default: 600.
  /// - Throws: where no library can be opened, or one of another MPI than the launcher's.
  public static func launched(library: String? = nil, timeout: Double? = nil) throws(LTMError) -> Communicator? {
    guard let launch = Launch(ProcessEnvironment.all) else { return nil }
    guard timeout ?? 1 > 0 else { throw LTMError("a rank waits for some time: \(timeout ?? 0) s is none") }
    let ranks = try reporting {
      try RankThread.join(launch, library: library, limit: timeout ?? RankThread.usualLimit)
    }
    return try Communicator(ranks)
  }

  /// Goes by a thread that is there already.
  package init(_ ranks: RankThread) throws(LTMError) {
    self.ranks = ranks
    (rank, count, library) = (ranks.rank, ranks.count, ranks.transport)
    let own = ProcessEnvironment.identity
    let all = try reporting { try ranks.gather(Array(own.utf8), "who is there") }
    let fields = all.map {
      String(decoding: $0, as: UTF8.self).split(separator: "\t", omittingEmptySubsequences: false)
    }
    hosts = fields.map { String($0.first ?? "?") }
    processes = fields.map { $0.count > 1 ? Int($0[1]) ?? 0 : 0 }
    cores = fields.map { $0.count > 2 ? Set($0[2].split(separator: ",").compactMap { Int32($0) }) : [] }
  }

  /// Whether this is the rank that shows, logs and saves.
  public var isFirst: Bool { rank == 0 }

  /// The threads that each rank takes where nothing is said: its cores, which it may have in common with other ranks.
  var threadsOfRank: Int {
    let own = cores[rank]
    guard !own.isEmpty else { return max(ThreadPool.coreCount / hosts.count { $0 == hosts[rank] }, 1) }
    let sharing = cores.indices.count { hosts[$0] == hosts[rank] && !cores[$0].isDisjoint(with: own) }
    return max(own.count / max(sharing, 1), 1)
  }

  /// The ranks with their machines and processes: `rank 0 on host a (process 12), ...`.
  public var description: String {
    let all = hosts.indices.map { "rank \($0) on \(hosts[$0]), process \(processes[$0])" }
    let shown = all.count <= 8 ? all : all.prefix(7) + ["... rank \(all.count - 1) on \(hosts[all.count - 1])"]
    return "\(count) ranks by \(library): " + shown.joined(separator: "; ")
  }

  /// Bytes that this rank has sent to others so far.
  public var bytesSent: Int { ranks.collectiveTimes.bytesSent }

  /// What exchanging took so far, in words: how much of it was hidden under other work.
  public var summary: String {
    let times = ranks.collectiveTimes
    let hidden = max(0, times.busy - times.waited)
    let possible = min(times.busy, times.available)
    return "rank \(rank): collectives were under way for \(fixed(times.busy, 3)) s, of which the steps waited "
      + "\(fixed(times.waited, 3)) s: of the \(fixed(possible, 3)) s that other work could hide, "
      + "\(fixed(possible > 0 ? min(hidden / possible, 1) * 100 : 0, 0))% were; \(times.bytesSent) bytes sent"
  }

  /// Leaves the job in good order: every rank calls it once, at the end.
  public func finish() { ranks.finish() }

  /// Ends the whole job at once: the launcher stops the other ranks.
  public func abort(code: Int32 = 1) { ranks.abort(code) }
}

extension Communicator {
  /// What rank 0 has, on every rank.
  func ofFirst(_ values: [Double], _ subject: String) throws(LTMError) -> [Double] {
    guard count > 1 else { return values }
    let memory = UnsafeMutableBufferPointer<Double>.allocate(capacity: values.count)
    defer { memory.deallocate() }
    _ = memory.initialize(fromContentsOf: values)
    guard let base = memory.baseAddress else { return values }
    let array = CollectiveArray(base, count: values.count, dtype: .f64, operation: .first)
    try reporting { try ranks.wait(ranks.start([array], subject)) }
    return Array(memory)
  }

  /// The texts of all ranks, on every rank.
  func gather(_ text: String, _ subject: String) throws(LTMError) -> [String] {
    try reporting { try ranks.gather(Array(text.utf8), subject) }.map { String(decoding: $0, as: UTF8.self) }
  }

  /// Throws on every rank where one of them differs from rank 0 in what all must have in common.
  ///
  /// - Parameter facts: what each is called, and what it is.
  func requireAgreement(_ facts: [(name: String, value: String)]) throws(LTMError) {
    guard count > 1 else { return }
    let own = facts.map { "\($0.name)\u{1f}\($0.value)" }.joined(separator: "\u{1e}")
    let all = try gather(own, "what all ranks must have in common").map { text in
      text.split(separator: "\u{1e}").map {
        $0.split(separator: "\u{1f}", omittingEmptySubsequences: false).map(String.init)
      }
    }
    var differences: [String] = []
    for (rank, theirs) in all.enumerated().dropFirst() {
      for (first, other) in zip(all[0], theirs) where first != other {
        differences.append(
          "rank \(rank) on \(hosts[rank]) has \(other.first ?? "?") \(other.last ?? "?"), and rank 0 on \(hosts[0]) has \(first.last ?? "?")"
        )
      }
      if theirs.count != all[0].count { differences.append("rank \(rank) on \(hosts[rank]) runs another version") }
    }
    guard !differences.isEmpty else { return }
    throw LTMError(
      "the ranks of this job do not run the same thing", notes: Array(differences.prefix(8)))
  }
}

/// What is divided among ranks, instead of being on each.
public enum Sharding: String, Sendable, CaseIterable {
  /// Masters and the optimizer's state: ZeRO's first stage.
  case optimizer
}
