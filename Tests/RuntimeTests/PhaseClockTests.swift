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
    let value = clock.time("made") { 7 }
    #expect(value == 7)
    #expect(clock.phases.map(\.name) == ["refused", "made"])
    #expect(clock.phases.allSatisfy { $0.seconds >= 0 })
  }

  @Test func theProcessBeganBeforeNow() {
    let first = ResourceUsage.secondsSinceStart
    #expect(first > 0)
    #expect(ResourceUsage.secondsSinceStart >= first)
  }
}
