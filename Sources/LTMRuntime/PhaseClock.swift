import Synchronization

/// How long each phase of a compilation took, in the order in which they first began. Phases of one name add up.
package final class PhaseClock: Sendable {
  private let held = Mutex<[(name: String, seconds: Double)]>([])

  package init() {}

  /// What was measured so far.
  package var phases: [(name: String, seconds: Double)] { held.withLock { $0 } }

  /// Runs a phase; one that fails counts too.
  package func time<R, E: Error>(_ name: String, _ body: () throws(E) -> R) throws(E) -> R {
    let start = ResourceUsage.monotonicSeconds
    defer { add(name, ResourceUsage.monotonicSeconds - start) }
    return try body()
  }

  /// Adds a phase that was measured elsewhere.
  package func add(_ name: String, _ seconds: Double) {
    held.withLock { phases in
      if let place = phases.firstIndex(where: { $0.name == name }) {
        phases[place].seconds += seconds
      } else {
        phases.append((name, seconds))
      }
    }
  }
}
