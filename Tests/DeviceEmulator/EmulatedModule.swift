internal import CLLVM
internal import CWarp
import LTMKernels
import LTMLLVM
import LTMPTX
import Synchronization

/// What device threads did that a GPU forbids, or why their code could not be made.
package struct EmulationFailure: Error, CustomStringConvertible {
  package let description: String
}

/// The order in which an emulated GPU does what may happen in any order. Correct kernels give the same bits in all.
package enum EmulatedOrder: CaseIterable, Sendable {
  /// Ascending; asynchronous copies land when they are waited for.
  case forward
  /// Descending; asynchronous copies land at once.
  case backward
}

/// A device module that runs on this CPU: the LLVM IR that its PTX is made of, with the intrinsics of a GPU replaced by calls
/// of an emulator of warps.
package final class EmulatedModule: @unchecked Sendable {
  // The JIT never changes after `init`; launches take turns.
  private let jit: LLVMOrcLLJITRef
  private let turn = Mutex(())
  private let entries: [String: UInt]
  private let shared: [(address: UInt, bytes: Int)]
  private let dynamic: UnsafeMutableRawPointer
  /// What a multiprocessor of the largest GPUs has.
  private static let dynamicBytes = 227 << 10

  /// Compiles kernels, whose entries have the names that ``deviceSymbols(_:)`` gives.
  package convenience init(_ kernels: [Kernel], _ architecture: DeviceArchitecture) throws {
    try self.init(ir: emitDevice(kernels, as: .optimizedIR, architecture), symbols: deviceSymbols(kernels))
  }

  /// Compiles a device module's LLVM IR.
  package init(ir: String, symbols: [String]) throws {
    dynamic = .allocate(byteCount: Self.dynamicBytes, alignment: 1 << 18)
    do {
      let source = try HostModule(ir: ir, symbols: symbols)
      jit = try makeJIT(dynamicMemory: dynamic)
      try add(source.object, to: jit)
      var entries: [String: UInt] = [:]
      for symbol in symbols { entries[symbol] = try address(of: HostModule.entry(symbol), in: jit) }
      self.entries = entries
      var shared: [(UInt, Int)] = []
      for (name, bytes) in source.shared { shared.append((try address(of: name, in: jit), bytes)) }
      self.shared = shared
    } catch {
      dynamic.deallocate()
      throw error
    }
  }

  deinit {
    if let error = LLVMOrcDisposeLLJIT(jit) { LLVMConsumeError(error) }
    dynamic.deallocate()
  }

  /// Runs a kernel on buffers in this machine's memory.
  package func launch(
    _ symbol: String, grid: Int, block: Int, sharedBytes: Int, _ arguments: [UnsafeMutableRawPointer],
    order: EmulatedOrder = .forward
  ) throws(EmulationFailure) {
    guard let entry = entries[symbol].flatMap({ UnsafeRawPointer(bitPattern: $0) }) else {
      throw EmulationFailure(description: "there is no kernel \(symbol)")
    }
    guard sharedBytes <= Self.dynamicBytes, let threads = Int32(exactly: block) else {
      throw EmulationFailure(description: "\(symbol): a block of \(block) threads with \(sharedBytes) bytes")
    }
    var arguments: [UnsafeMutableRawPointer?] = arguments
    let memory =
      shared.map { WarpMemory(address: UnsafeMutableRawPointer(bitPattern: $0.address), bytes: UInt64($0.bytes)) }
      + [WarpMemory(address: dynamic, bytes: UInt64(sharedBytes))]
    let failure: String? = turn.withLock { _ in
      arguments.withUnsafeMutableBufferPointer { arguments in
        memory.withUnsafeBufferPointer { memory in
          var launch = WarpLaunch()
          launch.entry = unsafeBitCast(
            entry, to: (@convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> Void).self)
          launch.arguments = arguments.baseAddress
          launch.grid = Int64(grid)
          launch.threads = threads
          launch.sharedCount = Int32(memory.count)
          launch.shared = memory.baseAddress
          launch.isReversed = order == .backward ? 1 : 0
          launch.copiesEarly = order == .backward ? 1 : 0
          return warpLaunch(&launch).map { String(cString: $0) }
        }
      }
    }
    if let failure { throw EmulationFailure(description: "\(symbol): \(failure)") }
  }
}

// MARK: The linker

private func check(_ error: LLVMErrorRef?) throws(EmulationFailure) {
  guard let error, let message = LLVMGetErrorMessage(error) else { return }
  defer { LLVMDisposeErrorMessage(message) }
  throw EmulationFailure(description: String(cString: message))
}

/// A linker that knows the emulator's functions and where dynamic shared memory lies.
private func makeJIT(dynamicMemory: UnsafeMutableRawPointer) throws(EmulationFailure) -> LLVMOrcLLJITRef {
  var made: LLVMOrcLLJITRef?
  try check(LLVMOrcCreateLLJIT(&made, nil))
  guard let jit = made else { throw EmulationFailure(description: "no JIT") }
  var count: Int32 = 0
  let functions = UnsafeBufferPointer(start: warpSymbols(&count), count: Int(count))
  let known = functions.map { (String(cString: $0.name), UInt(bitPattern: $0.address)) }
  var pairs = (known + [("ltm_dynamic", UInt(bitPattern: dynamicMemory))]).map { name, address in
    LLVMOrcCSymbolMapPair(
      Name: LLVMOrcLLJITMangleAndIntern(jit, name),
      Sym: LLVMJITEvaluatedSymbol(
        Address: UInt64(address),
        Flags: LLVMJITSymbolFlags(GenericFlags: UInt8(LLVMJITSymbolGenericFlagsExported.rawValue), TargetFlags: 0)))
  }
  let library = LLVMOrcLLJITGetMainJITDylib(jit)
  try check(LLVMOrcJITDylibDefine(library, LLVMOrcAbsoluteSymbols(&pairs, pairs.count)))
  var generator: LLVMOrcDefinitionGeneratorRef?
  try check(
    LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&generator, LLVMOrcLLJITGetGlobalPrefix(jit), nil, nil))
  LLVMOrcJITDylibAddGenerator(library, generator)
  return jit
}

private func add(_ object: [UInt8], to jit: LLVMOrcLLJITRef) throws(EmulationFailure) {
  let buffer = object.withUnsafeBytes { bytes in
    LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes.baseAddress, bytes.count, "device")
  }
  try check(LLVMOrcLLJITAddObjectFile(jit, LLVMOrcLLJITGetMainJITDylib(jit), buffer))
}

private func address(of symbol: String, in jit: LLVMOrcLLJITRef) throws(EmulationFailure) -> UInt {
  var address: LLVMOrcExecutorAddress = 0
  try check(LLVMOrcLLJITLookup(jit, &address, symbol))
  return UInt(address)
}
