import Foundation
import LTMMPI
import LTMSupport
import Synchronization

/// Runs a body as each of so many ranks, which are threads of this process; gives what each made of it.
func onRanks<R: Sendable>(
  _ count: Int, limit: Double = 60, _ body: @escaping @Sendable (RankThread) throws -> R
) throws -> [R] {
  let hub = LocalTransport.Hub(count: count)
  let results = Mutex<[Int: Result<R, any Error>]>([:])
  let done = DispatchGroup()
  for rank in 0..<count {
    done.enter()
    let thread = Thread {
      let result = Result {
        let ranks = try RankThread.start(limit: limit) { () throws(Diagnostic) in LocalTransport(hub, rank: rank) }
        defer { ranks.finish() }
        do { return try body(ranks) } catch {
          ranks.abort(1)
          throw error
        }
      }
      results.withLock { $0[rank] = result }
      done.leave()
    }
    thread.stackSize = 8 << 20
    thread.start()
  }
  done.wait()
  let all = results.withLock { $0 }
  // The rank that failed by itself says why; the others say that one did.
  if case .failure(let error)? = all.values.first(where: { isOwnFailure($0) }) { throw error }
  return try (0..<count).compactMap { try all[$0]?.get() }
}

private func isOwnFailure<R>(_ result: Result<R, any Error>) -> Bool {
  guard case .failure(let error) = result else { return false }
  return !"\(error)".contains("another rank ended the job")
}
