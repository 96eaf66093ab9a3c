internal import CLLVM
import LTMKernels
import LTMSupport

/// What a kernel can be turned into.
package enum EmittedForm: String, Sendable, CaseIterable {
  case llvmIR = "llvm"
  case optimizedIR = "optimized-llvm"
  case assembly = "asm"
  case object = "obj"
}

/// A kernel in one of the forms that `ltm compile` writes, for any profile.
///
/// - Parameters:
///   - lines: the folder that paths of source places start from, where line tables are wanted.
///   - sharesMicroKernels: whether a contraction calls micro-kernels of other objects.
package func emit(
  _ kernel: Kernel, as form: EmittedForm, profile: TargetProfile, symbol: String? = nil, schedule: Schedule? = nil,
  lines folder: String? = nil, sharesMicroKernels: Bool = false
) throws(LLVMFailure) -> [UInt8] {
  CurrentWork.set("kernel @\(kernel.name) (\(kernel.locations.map(\.description).joined(separator: ", ")))")
  defer { CurrentWork.set(nil) }
  let machine = try Machine(profile)
  let workspace = try Workspace(name: kernel.name, machine: machine)
  let symbol = symbol ?? cIdentifier(kernel.name)
  let ir = IRBuilder(workspace, profile: profile)
  ir.debug = folder.flatMap { DebugInfo(workspace, folder: $0) }
  ir.sharesMicroKernels = sharesMicroKernels
  KernelEmitter.emit(kernel, schedule ?? LTMLLVM.schedule(kernel, profile), named: symbol, into: ir)
  ir.debug?.finish()
  return try workspace.finish(form, machine: machine)
}

extension Workspace {
  /// The cheapest pipeline that keeps the speed: the vectors are explicit, so only redundant integers are left to remove.
  private static var passes: String {
    "function(early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),early-cse<memssa>,simplifycfg)"
  }

  /// Verifies what was emitted and turns it into the form asked for.
  func finish(_ form: EmittedForm, machine: borrowing Machine) throws(LLVMFailure) -> [UInt8] {
    try verify()
    if form == .llvmIR { return Array(text.utf8) }
    try run(passes: Self.passes, machine: machine)
    switch form {
    case .llvmIR, .optimizedIR: return Array(text.utf8)
    case .assembly: return try generate(LLVMAssemblyFile, machine: machine)
    case .object: return try generate(LLVMObjectFile, machine: machine)
    }
  }
}

/// A name that C accepts.
package func cIdentifier(_ name: String) -> String {
  let body = String(
    name.unicodeScalars.map { ("a"..."z" ~= $0 || "A"..."Z" ~= $0 || "0"..."9" ~= $0) ? Character($0) : "_" })
  return body.first.map { $0.isNumber } ?? true ? "_" + body : body
}
