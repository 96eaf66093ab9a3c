import Foundation
import LTMSupport
import TestSupport
import Testing

/// The target cuda through its whole runtime, on an emulated GPU: the command, the driver's interface, PTX, and back.
@Suite(
  "the target cuda runs", .enabled(if: EmulatedDriver.missing == nil, "\(EmulatedDriver.missing ?? "")"))
struct TrainingTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var flags: String
    var tolerance: Double
    var capability = 80
    var form = EmulatedDriver.Form.whole
    var testDescription: String { "\(flags), compute capability \(capability), \(form)" }
  }

  /// Trains; gives the log.
  private func train(_ flags: String, _ environment: [String: String] = [:]) throws -> [LoggedStep] {
    let folder = try TemporaryFolder()
    let arguments = flags.split(separator: " ").map(String.init)
    let outcome = try Command(["train"] + arguments + ["--log", folder.file("log")], environment: environment)
    try #require(outcome.status == 0, "\(outcome.errors)")
    return try LoggedStep.read(folder.file("log"))
  }

  private func expectSame(_ there: [LoggedStep], _ here: [LoggedStep], _ tolerance: Double) {
    #expect(there.count == here.count)
    for (a, b) in zip(there, here) {
      expectClose(a.loss ?? .nan, b.loss ?? .nan, .relative(tolerance), "\(a), \(b): ")
      var same = a
      same.loss = b.loss
      #expect(same == b)
    }
  }

  @Test(
    "gives the cpu's losses",
    arguments: [
      Case(flags: "samples/digits.ltm --max-steps 6 --precision 16 --amp-level O2", tolerance: 1e-3),
      Case(flags: "samples/digits.ltm --max-steps 4 --precision 16 --amp-level O2", tolerance: 1e-3, capability: 70),
      Case(
        flags: "samples/digits.ltm --max-steps 4 --precision 16 --amp-level O2", tolerance: 1e-3, form: .WITHOUT_GRAPHS),
      Case(flags: "samples/digits.ltm --max-steps 4 --precision 16 --amp-level O1", tolerance: 1e-3, capability: 120),
      Case(flags: "samples/digits.ltm --max-steps 4 --precision 16 --amp-level O2", tolerance: 1e-3, capability: 90),
      Case(flags: "samples/norm.ltm --max-steps 5 --precision 16 --amp-level O1", tolerance: 1e-3),
      Case(flags: "samples/norm.ltm --max-steps 5", tolerance: 1e-5),
      Case(flags: "samples/norm.ltm --max-steps 5 --precision 64", tolerance: 1e-12),
      Case(flags: "samples/tour.ltm --max-steps 4 --precision bf16 --amp-level O2", tolerance: 2e-2),
    ])
  func losses(of given: Case) throws {
    let environment = try EmulatedDriver.environment(given.form, ["EMULATED_CUDA_CAPABILITY": "\(given.capability)"])
    expectSame(try train("\(given.flags) --gpus 1", environment), try train(given.flags), given.tolerance)
  }

  /// With several tries under way the log must still be exact: which were skipped, and with which scale.
  @Test("skips the steps that the cpu skips")
  func skips() throws {
    let flags = "samples/digits.ltm --max-steps 8 --precision 16 --amp-level O2 --loss-scale dynamic:init=16777216"
    let there = try train("\(flags) --target cuda", EmulatedDriver.environment())
    #expect(there.contains { $0.skipped } && there.contains { !$0.skipped })
    expectSame(there, try train(flags), 1e-3)
  }

  @Test("resumes what the cpu has saved, and the other way round", arguments: [false, true])
  func resume(isFirstOnGPU: Bool) throws {
    let folder = try TemporaryFolder()
    let environment = try EmulatedDriver.environment()
    let flags = "samples/digits.ltm --precision 16 --amp-level O2"
    let (first, second) = isFirstOnGPU ? ("cuda", "cpu") : ("cpu", "cuda")
    _ = try train("\(flags) --max-steps 3 --save \(folder.file("a.safetensors")) --target \(first)", environment)
    let rest = try train(
      "\(flags) --max-steps 6 --resume \(folder.file("a.safetensors")) --target \(second)", environment)
    let whole = try train("\(flags) --max-steps 6")
    expectSame(rest, Array(whole.dropFirst(3)), 1e-3)
  }

  /// Reports read the arrays that training writes on the GPU, or casts of them.
  @Test(
    "reports what the cpu reports", arguments: ["--precision 32", "--precision 16 --amp-level O1", "--precision 16"])
  func reports(_ precision: String) throws {
    func values(_ environment: [String: String] = [:], _ target: String) throws -> [Double] {
      let flags = "train samples/norm.ltm --max-steps 5 --report loss --report accuracy --json \(precision) \(target)"
      let outcome = try Command(flags.split(separator: " ").map(String.init), environment: environment)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let reports = try #require(JSON(parsing: Array(outcome.output.utf8))["reports"])
      return try ["loss", "accuracy"].map { try #require(reports[$0]?.doubleValue) }
    }
    let there = try values(EmulatedDriver.environment(), "--target cuda")
    expectClose(there, try values([:], "--target cpu"), .relative(1e-3))
  }

  @Test("runs an entry")
  func entry() throws {
    let inputs = ["image=samples/data/digits.safetensors:x_test", "label=samples/data/digits.safetensors:y_test"]
    let command = ["run", "samples/digits.ltm", "--entry", "loss", "--json"] + inputs.flatMap { ["--input", $0] }
    let there = try Command(command + ["--target", "cuda"], environment: EmulatedDriver.environment())
    let here = try Command(command)
    func loss(_ outcome: Command) throws -> Double {
      try #require(outcome.status == 0, "\(outcome.errors)")
      let numbers = outcome.output.matches(of: /-?\d+\.\d+(e-?\d+)?/).compactMap { Double($0.0) }
      return try #require(numbers.first)
    }
    #expect(abs(try loss(there) - loss(here)) < 1e-5)
  }

  @Test("says which GPU it has, and what code it makes for it")
  func device() throws {
    let environment = try EmulatedDriver.environment(.whole, ["EMULATED_CUDA_CAPABILITY": "120"])
    let outcome = try Command(
      ["train", "samples/norm.ltm", "--max-steps", "1", "--gpus", "1"], environment: environment)
    #expect(outcome.errors.contains("Emulated GPU, compute capability 12.0, code for sm_90, CUDA 12.4"))
  }
}
