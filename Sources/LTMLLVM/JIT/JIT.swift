internal import CLLVM
import Synchronization

/// The linker of code made on the spot: objects in memory become callable, and leave with their ``CodeImage``.
final class JIT: @unchecked Sendable {
  // LLJIT locks for itself; the reference never changes.
  private let ref: LLVMOrcLLJITRef

  /// - Parameter registersCode: tells gdb, through its JIT interface, and perf, through a jitdump, of each object.
  init(registersCode: Bool = false) throws(LLVMFailure) {
    Bootstrap.done
    var jit: LLVMOrcLLJITRef?
    try check(LLVMOrcCreateLLJIT(&jit, registersCode ? Self.registering() : nil))
    guard let jit else { throw LLVMFailure("no JIT") }
    ref = jit
    // libm, and libgcc's conversions where a CPU lacks the instructions.
    var generator: LLVMOrcDefinitionGeneratorRef?
    try check(
      LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&generator, LLVMOrcLLJITGetGlobalPrefix(ref), nil, nil))
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(ref), generator)
  }

  /// The older linking layer: the one that has listeners.
  private static func registering() -> LLVMOrcLLJITBuilderRef? {
    let builder = LLVMOrcCreateLLJITBuilder()
    LLVMOrcLLJITBuilderSetObjectLinkingLayerCreator(
      builder,
      { _, session, _ in
        let layer = LLVMOrcCreateRTDyldObjectLinkingLayerWithSectionMemoryManager(session)
        for listener in [LLVMCreateGDBRegistrationListener(), LLVMCreatePerfJITEventListener()] {
          if let listener { LLVMOrcRTDyldObjectLinkingLayerRegisterJITEventListener(layer, listener) }
        }
        return layer
      }, nil)
    return builder
  }

  deinit { if let error = LLVMOrcDisposeLLJIT(ref) { LLVMConsumeError(error) } }

  /// Links an object.
  func add(object: [UInt8]) throws(LLVMFailure) -> CodeImage {
    let buffer = object.withUnsafeBytes { bytes in
      LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes.baseAddress, bytes.count, "kernel")
    }
    guard let tracker = LLVMOrcJITDylibCreateResourceTracker(LLVMOrcLLJITGetMainJITDylib(ref)) else {
      throw LLVMFailure("no resource tracker")
    }
    let image = CodeImage(jit: self, tracker: tracker)
    // The JIT consumes the buffer, also when it fails.
    try check(LLVMOrcLLJITAddObjectFileWithRT(ref, tracker, buffer))
    return image
  }

  /// The address of a function.
  func address(of symbol: String) throws(LLVMFailure) -> UInt {
    var address: LLVMOrcExecutorAddress = 0
    try check(LLVMOrcLLJITLookup(ref, &address, symbol))
    return UInt(address)
  }
}

/// Code in memory, unloaded when no one holds this any more.
final class CodeImage: @unchecked Sendable {
  private let jit: JIT
  private let tracker: LLVMOrcResourceTrackerRef

  init(jit: JIT, tracker: LLVMOrcResourceTrackerRef) {
    self.jit = jit
    self.tracker = tracker
  }

  deinit {
    if let error = LLVMOrcResourceTrackerRemove(tracker) { LLVMConsumeError(error) }
    LLVMOrcReleaseResourceTracker(tracker)
  }
}
