import LTMSupport
import Synchronization

/// Ranks that are threads of one process: what tests run without a launcher.
package final class LocalTransport: Transport {
  /// What the ranks have in common.
  package final class Hub: Sendable {
    let count: Int
    /// What was sent and not received yet, by sender and receiver.
    fileprivate let mail = Mutex<[Route: [[UInt8]]]>([:])
    /// The rank that ended the job.
    package let aborted = Mutex<Int32?>(nil)
    package init(count: Int) { self.count = count }
  }

  fileprivate struct Route: Hashable {
    let from: Int
    let to: Int
  }

  private let hub: Hub
  package let rank: Int
  package var count: Int { hub.count }
  package var description: String { "threads of one process" }
  /// Where messages go that have yet to come, in order, by their sender.
  private var waiting: [Int: [(handle: Int, bytes: UnsafeMutableRawBufferPointer)]] = [:]
  private var done: Set<Int> = []
  private var handles = 0

  package init(_ hub: Hub, rank: Int) { (self.hub, self.rank) = (hub, rank) }

  private func newHandle() -> Int {
    handles += 1
    return handles
  }

  package func send(
    _ bytes: UnsafeRawBufferPointer, to rank: Int, _ message: UnsafeMutablePointer<Message>
  ) throws(Diagnostic) {
    let handle = newHandle()
    message.pointee.handle = handle
    let route = Route(from: self.rank, to: rank)
    let copy = [UInt8](bytes)
    hub.mail.withLock { $0[route, default: []].append(copy) }
    done.insert(handle)
  }

  package func receive(
    _ bytes: UnsafeMutableRawBufferPointer, from rank: Int, _ message: UnsafeMutablePointer<Message>
  ) throws(Diagnostic) {
    let handle = newHandle()
    message.pointee.handle = handle
    waiting[rank, default: []].append((handle, bytes))
  }

  package func isDone(_ message: UnsafeMutablePointer<Message>) throws(Diagnostic) -> Bool {
    if hub.aborted.withLock({ $0 }) != nil { throw Diagnostic(.error, "rank \(rank): another rank ended the job") }
    let route = Route(from: message.pointee.peer, to: rank)
    while let next = waiting[route.from]?.first {
      let mail = hub.mail.withLock { mail -> [UInt8]? in
        mail[route]?.isEmpty == false ? mail[route]?.removeFirst() : nil
      }
      guard let mail else { break }
      guard mail.count == next.bytes.count else {
        throw Diagnostic(
          .error, "rank \(rank): \(mail.count) bytes came from rank \(route.from), not \(next.bytes.count)")
      }
      mail.withUnsafeBytes { next.bytes.copyMemory(from: $0) }
      waiting[route.from]?.removeFirst()
      done.insert(next.handle)
    }
    return done.remove(message.pointee.handle) != nil
  }

  package func abort(_ code: Int32) { hub.aborted.withLock { $0 = $0 ?? code } }
  package func finish() {}
}
