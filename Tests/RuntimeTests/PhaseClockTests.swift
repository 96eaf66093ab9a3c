import Foundation
import LTMRuntime
import Testing

@Suite struct PhaseClockTests {
  private struct Refusal: Error {}

  @Test func phasesAddUpInTheOrderOfTheirBeginnings() {
    let clock = PhaseClock()
    clock.add("first", 1)
    clock.add("second", 2)
    clock.add("first", 0.5)
    #expect(clock.phases.map(\.name) == ["first", "second"])
    #expect(clock.phases.map(\.seconds) == [1.5, 2])
  }

  @Test func aPhaseThatFailsCountsToo() {
    let clock = PhaseClock()
    #expect(throws: Refusal.self) { try clock.time("refused") { throw Refusal() } }
    var inside = 0.0
    let outside = seconds {
      let value = clock.time("made") {
        inside = seconds { usleep(2000) }
        return 7
      }
      #expect(value == 7)
    }
    #expect(clock.phases.map(\.name) == ["refused", "made"])
    #expect(clock.phases[0].seconds >= 0 && inside...outside ~= clock.phases[1].seconds, "\(clock.phases)")
  }

  /// What another clock of the system tells of a body.
  private func seconds(_ body: () -> Void) -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    body()
    return Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
  }

  /// Read twice, with a wait between: what passed lies between what passed inside and outside of the readings.
  @Test(
    arguments: [{ ResourceUsage.secondsSinceStart }, { ResourceUsage.monotonicSeconds }] as [@Sendable () -> Double])
  func clocksTellWhatPassed(read: @Sendable () -> Double) {
    var (first, second, inside) = (0.0, 0.0, 0.0)
    let outside = seconds {
      first = read()
      inside = seconds { usleep(30_000) }
      second = read()
    }
    #expect(inside - 1e-6...outside + 1e-6 ~= second - first)
  }

  @Test func theProcessBeganBeforeItsTestsAndAfterTheSystem() {
    let uptime = Double(DispatchTime.now().uptimeNanoseconds) * 1e-9
    #expect(0.001...uptime ~= ResourceUsage.secondsSinceStart)
  }
}
