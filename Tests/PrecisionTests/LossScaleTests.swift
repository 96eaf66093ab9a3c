import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

@Suite("loss scale")
struct LossScaleTests {
  private func machine(_ line: String, schedule: ScheduleTemplate? = nil) throws -> StepMachine {
    try StepMachine(
      step(productLoss(), policy(line), schedule: schedule), parameters: ["w": [1, 2], "seen": [0, 0]])
  }

  private func batch(_ x: [Double], _ line: String) throws -> [String: Tensor] {
    let policy = try policy(line)
    let isHalf = policy.level.inputs == .half
    return ["x": try tensor(x, [2], isHalf ? policy.half ?? .f32 : policy.full)]
  }

  static let scaled = [
    "16 O1", "16 O2", "16 O2 loss-scale=1024", "16 O3 loss-scale=dynamic", "bf16 O2 loss-scale=dynamic",
  ]
  static let unscaled = ["16 O0", "16 O3", "bf16 O1", "bf16 O2", "32 O0", "64 O0"]

  @Test("an overflow changes nothing but the scale and the number of tries", arguments: scaled + unscaled)
  func skip(_ line: String) throws {
    var machine = try machine(line, schedule: decay())
    _ = try machine.run(batch([0.5, -0.25], line))
    let before = machine.state
    for bad in [[Double.infinity, 1], [.nan, 1]] {
      let outputs = try machine.run(batch(bad, line))
      #expect(outputs["found_inf"] == [1])
    }
    let moving = [StepControl.lossScale, .goodSteps, .attempt, .skips].map(\.rawValue)
    for (name, value) in before where !moving.contains(name) {
      #expect(machine.state[name] == value, "\(name)")
    }
    #expect(try machine.number(.attempt) == 3)
    #expect(try machine.number(.step) == 1)
    let outputs = try machine.run(batch([0.5, -0.25], line))
    #expect(outputs["found_inf"] == [0])
    #expect(try #require(outputs["lr"])[0] < 0.051, "the schedule did not move with the skipped tries")
    #expect(machine.state["seen"] != before["seen"])
  }

  @Test func aGradientThatOnlyTheScaleMakesInfiniteIsFoundBeforeUnscaling() throws {
    let line = "16 O2"
    var machine = try machine(line)
    // The gradient is x / 2: 2 * 2^16 is infinite in f16, 2 is not.
    #expect(try machine.run(batch([4, 1], line))["found_inf"] == [1])
    #expect(try machine.number(.lossScale) == 0x1p15)
    #expect(try machine.run(batch([1, 1], line))["found_inf"] == [0])
    #expect(try machine.numbers("master/w")[0] == DType.f32.round(1 - DType.f32.round(0.1) / 2))
  }

  /// A loss that overflows by itself: `0 * 1 + 2e38 * 2`, whose gradient is `x / 2`.
  @Test("a loss that is not finite is found where every gradient is", arguments: ["32 O0", "bf16 O1", "bf16 O2"])
  func onlyTheLoss(_ line: String) throws {
    var machine = try machine(line)
    let outputs = try machine.run(batch([0, 2e38], line))
    #expect(outputs["loss"] == [.infinity])
    #expect(outputs["found_inf"] == [1])
    #expect(try machine.numbers("w") == [1, 2] && machine.number(.step) == 0)
  }

  @Test func aStaticScaleIsCheckedToo() throws {
    let line = "16 O2 loss-scale=65536"
    var machine = try machine(line)
    #expect(try machine.run(batch([4, 1], line))["found_inf"] == [1])
    #expect(try machine.number(.lossScale) == 65536)
    #expect(try machine.numbers("w") == [1, 2])
  }

  @Test func theScaleNeverFallsBelowItsFloor() throws {
    let line = "16 O2 loss-scale=dynamic:init=8:min=2"
    var machine = try machine(line)
    var scales: [Double] = []
    for _ in 0..<5 {
      _ = try machine.run(batch([.infinity, 0], line))
      scales.append(try machine.number(.lossScale))
    }
    #expect(scales == [4, 2, 2, 2, 2])
    #expect(try machine.number(.skips) == 3)
  }

  @Test func theScaleGrowsAfterItsWindowAndNotBeyondItsMaximum() throws {
    let line = "16 O2 loss-scale=dynamic:init=8:window=3:max=32"
    var machine = try machine(line)
    var scales: [Double] = []
    for _ in 0..<10 {
      _ = try machine.run(batch([0.01, 0.01], line))
      scales.append(try machine.number(.lossScale))
    }
    #expect(scales == [8, 8, 16, 16, 16, 32, 32, 32, 32, 32])
  }

  @Test func theDefaultsAreApexs() throws {
    var scale = LossScale(.dynamic)
    #expect(scale.scale == 65536)
    for _ in 0..<1999 { scale.update(foundInf: false) }
    #expect(scale.scale == 65536)
    scale.update(foundInf: false)
    #expect(scale.scale == 131072)
    for _ in 0..<100_000 { scale.update(foundInf: false) }
    #expect(scale.scale == 0x1p24)
    for _ in 0..<100 { scale.update(foundInf: true) }
    #expect(scale.scale == 1)
    #expect(scale.isStuck)
    scale.update(foundInf: false)
    #expect(!scale.isStuck)
  }

  @Test("the twentieth skip in a row at the floor is the last") func stuck() {
    var scale = LossScale(.static(128))
    for skip in 1...20 {
      #expect(!scale.isStuck)
      scale.update(foundInf: true)
      #expect(scale.skips == skip)
    }
    #expect(scale.isStuck)
  }

  @Test(
    "numbers that would not move the scale the right way are refused",
    arguments: [
      "backoff=1", "backoff=2", "growth=0.99", "min=2:max=1", "init=1:min=2", "window=0", "init=inf", "max=nan",
    ])
  func refused(_ numbers: String) {
    #expect(throws: Diagnostic.self) { try LossScaling(parsing: "dynamic:\(numbers)") }
  }

  static let scalings = [
    "off", "256", "dynamic", "dynamic:init=64:window=2:min=4:max=512",
    "dynamic:init=10:window=3:growth=1.5:backoff=0.3:min=0.1",
  ]

  @Test("the compiled step is the state machine", arguments: scalings, [UInt64(1), 2, 3])
  func stepEqualsStateMachine(_ scaling: String, _ seed: UInt64) throws {
    let line = "16 O2 loss-scale=\(scaling)"
    var machine = try machine(line)
    var model = LossScale(try LossScaling(parsing: scaling))
    var random = SeededGenerator(seed: seed)
    for _ in 0..<60 {
      let isBad = Int.random(in: 0..<5, using: &random) == 0
      let outputs = try machine.run(batch(isBad ? [.nan, 0] : [0.001, 0.001], line))
      model.update(foundInf: isBad)
      #expect(outputs["found_inf"] == [isBad ? 1 : 0])
      #expect(try machine.number(.step) == Double(model.step))
      #expect(try machine.number(.attempt) == Double(model.attempt))
      #expect(try machine.number(.skips) == Double(model.skips))
      if scaling != "off" { #expect(try machine.number(.lossScale) == model.scale) }
      if scaling.hasPrefix("dynamic") { #expect(try machine.number(.goodSteps) == Double(model.goodSteps)) }
    }
  }
}
