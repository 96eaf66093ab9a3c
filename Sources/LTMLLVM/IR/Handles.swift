package import CLLVM
import Synchronization

/// Collects what LLVM reports on a context. Without a handler LLVM ends the process.
package final class DiagnosticSink {
  package var errors: [String] = []
}

/// A context with one module and a builder: made, filled, compiled and disposed of by one thread.
package struct Workspace: ~Copyable {
  package let context: LLVMContextRef
  package let module: LLVMModuleRef
  package let builder: LLVMBuilderRef
  private let sink: DiagnosticSink

  package init(name: String, machine: borrowing Machine) throws(LLVMFailure) {
    guard let context = LLVMContextCreate(), let module = LLVMModuleCreateWithNameInContext(name, context),
      let builder = LLVMCreateBuilderInContext(context)
    else { throw LLVMFailure("out of memory") }
    self.context = context
    self.module = module
    self.builder = builder
    sink = DiagnosticSink()
    LLVMContextSetDiagnosticHandler(
      context,
      { info, sink in
        guard let sink, LLVMGetDiagInfoSeverity(info) == LLVMDSError else { return }
        let text = takeMessage(LLVMGetDiagInfoDescription(info))
        Unmanaged<DiagnosticSink>.fromOpaque(sink).takeUnretainedValue().errors.append(text)
      }, Unmanaged.passUnretained(sink).toOpaque())
    LLVMSetTarget(module, machine.triple)
    let layout = LLVMCreateTargetDataLayout(machine.ref)
    LLVMSetModuleDataLayout(module, layout)
    LLVMDisposeTargetData(layout)
  }

  deinit {
    LLVMDisposeBuilder(builder)
    LLVMDisposeModule(module)
    LLVMContextDispose(context)
  }

  /// The module as text.
  package var text: String { takeMessage(LLVMPrintModuleToString(module)) }

  /// Throws what LLVM's verifier says against the module: a bug of an emitter.
  package func verify() throws(LLVMFailure) {
    var message: UnsafeMutablePointer<CChar>?
    let failed = LLVMVerifyModule(module, LLVMReturnStatusAction, &message) != 0
    let text = takeMessage(message)
    if failed { throw LLVMFailure("invalid LLVM IR: \(text)") }
  }

  /// Runs a pipeline given in `opt -passes=` syntax.
  package func run(passes: String, machine: borrowing Machine) throws(LLVMFailure) {
    let options = LLVMCreatePassBuilderOptions()
    defer { LLVMDisposePassBuilderOptions(options) }
    try check(LLVMRunPasses(module, passes, machine.ref, options))
    try throwDiagnostics()
  }

  /// Generates code: an object, or its assembly text.
  package func generate(_ kind: LLVMCodeGenFileType, machine: borrowing Machine) throws(LLVMFailure) -> [UInt8] {
    var buffer: LLVMMemoryBufferRef?
    var message: UnsafeMutablePointer<CChar>?
    let failed = LLVMTargetMachineEmitToMemoryBuffer(machine.ref, module, kind, &message, &buffer) != 0
    let text = takeMessage(message)
    guard !failed, let buffer else { throw LLVMFailure(text) }
    defer { LLVMDisposeMemoryBuffer(buffer) }
    try throwDiagnostics()
    return Array(UnsafeRawBufferPointer(start: LLVMGetBufferStart(buffer), count: LLVMGetBufferSize(buffer)))
  }

  private func throwDiagnostics() throws(LLVMFailure) {
    if let first = sink.errors.first { throw LLVMFailure(first) }
  }
}

/// A code generator for one profile. One for each compiling thread.
package struct Machine: ~Copyable {
  package let ref: LLVMTargetMachineRef
  package let triple: String

  package init(_ profile: TargetProfile) throws(LLVMFailure) {
    Bootstrap.done
    var target: LLVMTargetRef?
    var message: UnsafeMutablePointer<CChar>?
    let failed = LLVMGetTargetFromTriple(profile.triple, &target, &message) != 0
    let text = takeMessage(message)
    if failed { throw LLVMFailure(text) }
    guard
      let ref = LLVMCreateTargetMachine(
        target, profile.triple, profile.cpu, profile.features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
        LLVMCodeModelDefault)
    else { throw LLVMFailure("no code generator for \(profile.triple)") }
    self.ref = ref
    triple = profile.triple
  }

  deinit { LLVMDisposeTargetMachine(ref) }
}
