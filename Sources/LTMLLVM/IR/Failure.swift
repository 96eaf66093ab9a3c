internal import CLLVM
import Glibc
import Synchronization

/// Why code could not be generated, linked or found.
package struct LLVMFailure: Error, Hashable, Sendable, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// Takes over a message that LLVM allocated.
func takeMessage(_ pointer: UnsafeMutablePointer<CChar>?) -> String {
  guard let pointer else { return "" }
  defer { LLVMDisposeMessage(pointer) }
  return String(cString: pointer)
}

/// Turns LLVM's error, which this consumes, into a thrown one.
func check(_ error: LLVMErrorRef?) throws(LLVMFailure) {
  guard let error else { return }
  guard let message = LLVMGetErrorMessage(error) else { throw LLVMFailure("unknown error") }
  defer { LLVMDisposeErrorMessage(message) }
  throw LLVMFailure(String(cString: message))
}

/// What each thread is compiling: LLVM's fatal errors cannot be caught, so they say at least what they were at.
package enum CurrentWork {
  private static let names = Mutex<[UInt: String]>([:])

  package static func set(_ name: String?) { names.withLock { $0[UInt(pthread_self())] = name } }
  static var text: String { names.withLock { $0[UInt(pthread_self())] } ?? "no kernel" }
}

/// One-time set-up of LLVM: its targets and the handler of errors it cannot return.
enum Bootstrap {
  static let done: Void = {
    LLVMInitializeX86TargetInfo()
    LLVMInitializeX86Target()
    LLVMInitializeX86TargetMC()
    LLVMInitializeX86AsmPrinter()
    LLVMInitializeAArch64TargetInfo()
    LLVMInitializeAArch64Target()
    LLVMInitializeAArch64TargetMC()
    LLVMInitializeAArch64AsmPrinter()
    LLVMInitializeNVPTXTargetInfo()
    LLVMInitializeNVPTXTarget()
    LLVMInitializeNVPTXTargetMC()
    LLVMInitializeNVPTXAsmPrinter()
    LLVMInstallFatalErrorHandler { reason in
      let text = reason.map { String(cString: $0) } ?? "unknown"
      let message = Array("ltm: internal error: LLVM stopped on \(CurrentWork.text): \(text)\n".utf8)
      _ = write(STDERR_FILENO, message, message.count)
    }
  }()

  /// `22.1.8`
  static let version: String = {
    var (major, minor, patch): (UInt32, UInt32, UInt32) = (0, 0, 0)
    LLVMGetVersion(&major, &minor, &patch)
    return "\(major).\(minor).\(patch)"
  }()
}
