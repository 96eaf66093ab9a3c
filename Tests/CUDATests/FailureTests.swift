import Foundation
import LTM
import TestSupport
import Testing

/// What can go wrong between the command and a GPU: each has a message with a remedy, and ends with 1.
@Suite("the target cuda fails with a message")
struct FailureTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var setting: [String: String]
    var form = EmulatedDriver.Form.whole
    var says: [String]
    var testDescription: String { says.joined(separator: ", ") }
  }

  @Test(
    "of the driver",
    .enabled(if: EmulatedDriver.missing == nil, "\(EmulatedDriver.missing ?? "")"),
    arguments: [
      Case(setting: ["EMULATED_CUDA_DEVICES": "0"], says: ["CUDA_ERROR_NO_DEVICE", "nvidia-smi"]),
      Case(setting: ["EMULATED_CUDA_COUNT": "0"], says: ["sees none", "nvidia-smi"]),
      Case(setting: ["EMULATED_CUDA_CAPABILITY": "61"], says: ["compute capability 6.1", "7.0 is the least"]),
      Case(setting: ["EMULATED_CUDA_VERSION": "11080"], says: ["is of CUDA 11.8", "12.0 or newer"]),
      Case(
        setting: ["EMULATED_CUDA_MEMORY": "100000"],
        says: ["CUDA_ERROR_OUT_OF_MEMORY", "allocating", "100.0 kB of its 100.0 kB are free", "--batch"]),
      Case(
        setting: ["EMULATED_CUDA_FAIL": "cuMemAllocHost_v2:2:1"],
        says: ["CUDA_ERROR_OUT_OF_MEMORY", "pinned memory"]),
      Case(
        setting: ["EMULATED_CUDA_FAIL": "cuModuleLoadDataEx:222:1"],
        says: ["UNSUPPORTED_PTX_VERSION", "newer NVIDIA driver"]),
      Case(
        setting: ["EMULATED_CUDA_TOOLS": "/nowhere", "EMULATED_CUDA_CACHE": root.appending(path: ".build").path],
        says: ["CUDA_ERROR_INVALID_PTX", "the driver's compiler: ", "--emit ptx"]),
      Case(
        setting: ["EMULATED_CUDA_FAIL": "cuModuleGetFunction:500:2"],
        says: ["CUDA_ERROR_NOT_FOUND", "looking for the kernel k"]),
      Case(setting: ["EMULATED_CUDA_FAIL": "cuFuncLoad:2:1"], says: ["OUT_OF_MEMORY", "loading the kernel"]),
      Case(
        setting: ["EMULATED_CUDA_FAIL": "cuLaunchKernel:701:3"],
        says: ["CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "launching the kernel k"]),
      Case(
        setting: ["EMULATED_CUDA_FAIL": "run:700:3"],
        says: ["CUDA_ERROR_ILLEGAL_ADDRESS", "CUDA_LAUNCH_BLOCKING=1", "compute-sanitizer"]),
      Case(
        setting: ["EMULATED_CUDA_FAIL": "run:700:3", "CUDA_LAUNCH_BLOCKING": "1"],
        says: ["CUDA_ERROR_ILLEGAL_ADDRESS", "running the kernel k"]),
      Case(
        setting: ["EMULATED_CUDA_FAIL": "cuStreamSynchronize:719:4"], says: ["CUDA_ERROR_LAUNCH_FAILED", "copying"]),
      Case(setting: [:], form: .WITHOUT_SHARED_MEMORY, says: ["no function cuFuncSetAttribute", "too old"]),
      Case(
        setting: ["LTM_CUDA_DRIVER": "/nowhere/libcuda.so.1"],
        says: ["tried /nowhere/libcuda.so.1", "LTM_CUDA_DRIVER=PATH"]),
      Case(setting: ["LTM_CUDA_DRIVER": "README.md"], says: ["tried README.md", "LTM_CUDA_DRIVER=PATH"]),
      Case(setting: ["LTM_CUDA_DRIVER": "libc.so.6"], says: ["it has no function cuInit", "no NVIDIA driver"]),
    ])
  func driver(_ given: Case) throws {
    let environment = try EmulatedDriver.environment(given.form, given.setting)
    let outcome = try Command(
      ["train", "samples/norm.ltm", "--target", "cuda", "--max-steps", "2", "--precision", "16"],
      environment: environment)
    #expect(outcome.status == 1)
    for text in given.says { #expect(outcome.errors.contains(text), "\(outcome.errors)") }
  }

  @Test(
    "of the command",
    arguments: ["train samples/norm.ltm --max-steps 1", "compile samples/norm.ltm --emit ptx"],
    [
      ("--gpus 2", "several at once"), ("--gpus 0", "1 is needed"), ("--gpus -1", "1 is needed"),
      ("--gpus 1 --target cpu", "--gpus is for --target cuda"),
    ])
  func command(_ command: String, _ wrong: (String, String)) throws {
    let outcome = try Command("\(command) \(wrong.0)".split(separator: " ").map(String.init))
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains(wrong.1), "\(outcome.errors)")
  }

  @Test("of the Swift API")
  func api() throws {
    #expect(throws: LTMError.self) { try Trainer(precision: .sixteen, gpus: 2) }
    #expect(throws: LTMError.self) { try Execution(target: .cpu, gpus: 1) }
    let cpu = try Execution()
    let error = #expect(throws: LTMError.self) { try Trainer(gpus: 1, execution: cpu) }
    #expect(error?.description.contains("Execution(target: .cuda, gpus: 1)") == true)
  }
}
