internal import CLLVM
import LTMIR
import LTMKernels
import LTMLLVM

/// What a plan's kernels can be turned into for a GPU.
package enum DeviceForm: String, Sendable, CaseIterable {
  case llvmIR = "llvm"
  case optimizedIR = "optimized-llvm"
  case ptx
}

/// A plan's kernels as one module for a GPU, one entry for each kernel.
package func emitDevice(_ kernels: [Kernel], as form: DeviceForm, _ architecture: DeviceArchitecture)
  throws(LLVMFailure) -> String
{
  if let problem = kernels.compactMap(\.epilogueProblem).first { throw LLVMFailure(problem) }
  defer { CurrentWork.set(nil) }
  let profile = architecture.profile
  let machine = try Machine(profile)
  let workspace = try Workspace(name: "ltm", machine: machine)
  let ir = IRBuilder(workspace, profile: profile)
  for (kernel, symbol) in zip(kernels, deviceSymbols(kernels)) {
    CurrentWork.set("kernel @\(kernel.name) (\(kernel.locations.map(\.description).joined(separator: ", ")))")
    DeviceEmitter.emit(kernel, deviceSchedule(kernel, architecture), named: symbol, into: ir)
  }
  try workspace.verify()
  if form == .llvmIR { return workspace.text }
  try workspace.run(passes: "default<O2>", machine: machine)
  if form == .optimizedIR { return workspace.text }
  return String(decoding: try workspace.generate(LLVMAssemblyFile, machine: machine), as: UTF8.self)
}

extension Kernel {
  /// Why no GPU runs it; `nil` where nothing is reduced in the epilogue.
  var epilogueProblem: String? {
    epilogueReductions ? "kernel \(name) epilogueReductions what it contracts, which only the CPU's plans do" : nil
  }
}

/// The entry's name of each kernel, no two alike.
package func deviceSymbols(_ kernels: [Kernel]) -> [String] {
  var taken = Set<String>()
  return kernels.map { kernel in
    var symbol = cIdentifier(kernel.name)
    while !taken.insert(symbol).inserted { symbol += "_" }
    return symbol
  }
}
