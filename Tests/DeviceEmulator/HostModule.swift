internal import CLLVM
import LTMLLVM

/// A device module made into an object for this machine.
struct HostModule {
  /// The object's bytes.
  let object: [UInt8]
  /// The names and sizes of the memory that a block's threads share.
  let shared: [(name: String, bytes: Int)]

  /// The function that takes a kernel's arguments as an array of pointers.
  static func entry(_ symbol: String) -> String { "\(symbol).entry" }

  init(ir: String, symbols: [String]) throws {
    let machine = try Machine(.host)
    let editor = try ModuleEditor(ir + Intrinsics.definitions + Intrinsics.assembly(of: ir))
    defer { editor.dispose() }
    editor.retarget(machine)
    try editor.replaceIntrinsics()
    try editor.replaceAssembly()
    for symbol in symbols { try editor.addEntry(symbol) }
    shared = editor.exportShared()
    object = try editor.object(machine)
  }
}

/// A module under change.
private struct ModuleEditor {
  let context: LLVMContextRef
  let module: LLVMModuleRef

  init(_ ir: String) throws(EmulationFailure) {
    guard let context = LLVMContextCreate() else { throw EmulationFailure(description: "out of memory") }
    var (parsed, message): (LLVMModuleRef?, UnsafeMutablePointer<CChar>?) = (nil, nil)
    let bytes = ir.utf8CString
    let buffer = bytes.withUnsafeBufferPointer {
      LLVMCreateMemoryBufferWithMemoryRangeCopy($0.baseAddress, bytes.count - 1, "device")
    }
    let failed = LLVMParseIRInContext(context, buffer, &parsed, &message) != 0
    guard !failed, let parsed else {
      throw EmulationFailure(description: message.map { String(cString: $0) } ?? "no module")
    }
    (self.context, module) = (context, parsed)
  }

  func dispose() {
    LLVMDisposeModule(module)
    LLVMContextDispose(context)
  }

  private func list<T>(_ first: T?, _ next: (T) -> T?) -> [T] {
    var (items, item): ([T], T?) = ([], first)
    while let known = item {
      items.append(known)
      item = next(known)
    }
    return items
  }

  private var functions: [LLVMValueRef] { list(LLVMGetFirstFunction(module)) { LLVMGetNextFunction($0) } }
  private var globals: [LLVMValueRef] { list(LLVMGetFirstGlobal(module)) { LLVMGetNextGlobal($0) } }

  private func name(_ value: LLVMValueRef) -> String {
    var length = 0
    return LLVMGetValueName2(value, &length).map { String(cString: $0) } ?? ""
  }

  /// Makes every function one of this machine.
  func retarget(_ machine: borrowing Machine) {
    LLVMSetTarget(module, machine.triple)
    let layout = LLVMCreateTargetDataLayout(machine.ref)
    LLVMSetModuleDataLayout(module, layout)
    LLVMDisposeTargetData(layout)
    for function in functions {
      LLVMSetFunctionCallConv(function, UInt32(LLVMCCallConv.rawValue))
      for key in ["target-cpu", "target-features"] {
        let place = LLVMAttributeIndex(bitPattern: Int32(LLVMAttributeFunctionIndex))
        LLVMRemoveStringAttributeAtIndex(function, place, key, UInt32(key.utf8.count))
      }
    }
  }

  func replaceIntrinsics() throws(EmulationFailure) {
    for function in functions where name(function).hasPrefix("llvm.nvvm.") {
      guard let target = Intrinsics.replacements[name(function)], let own = LLVMGetNamedFunction(module, target) else {
        throw EmulationFailure(description: "the emulator does not know \(name(function))")
      }
      LLVMReplaceAllUsesWith(function, own)
      LLVMDeleteFunction(function)
    }
  }

  /// Calls functions where the module has PTX of its own.
  func replaceAssembly() throws(EmulationFailure) {
    let blocks = functions.flatMap { list(LLVMGetFirstBasicBlock($0)) { LLVMGetNextBasicBlock($0) } }
    for instruction in blocks.flatMap({ list(LLVMGetFirstInstruction($0)) { LLVMGetNextInstruction($0) } }) {
      guard LLVMGetInstructionOpcode(instruction) == LLVMCall, let callee = LLVMGetCalledValue(instruction),
        LLVMIsAInlineAsm(callee) != nil
      else { continue }
      var length = 0
      let text = LLVMGetInlineAsmAsmString(callee, &length).map { String(cString: $0) } ?? ""
      guard let name = Intrinsics.name(ofAssembly: text), let own = LLVMGetNamedFunction(module, name) else {
        throw EmulationFailure(description: "the emulator does not know \(text)")
      }
      LLVMSetOperand(instruction, UInt32(LLVMGetNumOperands(instruction) - 1), own)
    }
  }

  /// Adds a function that takes an array of pointers and calls a kernel with them.
  func addEntry(_ symbol: String) throws(EmulationFailure) {
    guard let kernel = LLVMGetNamedFunction(module, symbol), let builder = LLVMCreateBuilderInContext(context),
      let pointer = LLVMPointerTypeInContext(context, 0)
    else { throw EmulationFailure(description: "there is no kernel \(symbol)") }
    defer { LLVMDisposeBuilder(builder) }
    var parameters: [LLVMTypeRef?] = [pointer]
    let type = LLVMFunctionType(LLVMVoidTypeInContext(context), &parameters, 1, 0)
    let entry = LLVMAddFunction(module, HostModule.entry(symbol), type)
    LLVMPositionBuilderAtEnd(builder, LLVMAppendBasicBlockInContext(context, entry, ""))
    var arguments: [LLVMValueRef?] = (0..<LLVMCountParams(kernel)).map { number in
      var place: [LLVMValueRef?] = [LLVMConstInt(LLVMInt64TypeInContext(context), UInt64(number), 0)]
      let address = LLVMBuildGEP2(builder, pointer, LLVMGetParam(entry, 0), &place, 1, "")
      return LLVMBuildLoad2(builder, LLVMTypeOf(LLVMGetParam(kernel, number)), address, "")
    }
    _ = LLVMBuildCall2(builder, LLVMGlobalGetValueType(kernel), kernel, &arguments, UInt32(arguments.count), "")
    LLVMBuildRetVoid(builder)
  }

  /// Makes shared memory visible to the linker; its names and sizes, without what the launch provides.
  func exportShared() -> [(name: String, bytes: Int)] {
    let layout = LLVMGetModuleDataLayout(module)
    return globals.filter { LLVMGetPointerAddressSpace(LLVMTypeOf($0)) == 3 && LLVMGetInitializer($0) != nil }
      .map { global in
        LLVMSetLinkage(global, LLVMExternalLinkage)
        return (name(global), Int(LLVMABISizeOfType(layout, LLVMGlobalGetValueType(global))))
      }
  }

  func object(_ machine: borrowing Machine) throws(EmulationFailure) -> [UInt8] {
    var (buffer, message): (LLVMMemoryBufferRef?, UnsafeMutablePointer<CChar>?) = (nil, nil)
    let failed = LLVMTargetMachineEmitToMemoryBuffer(machine.ref, module, LLVMObjectFile, &message, &buffer) != 0
    guard !failed, let buffer else {
      throw EmulationFailure(description: message.map { String(cString: $0) } ?? "no object")
    }
    defer { LLVMDisposeMemoryBuffer(buffer) }
    return Array(UnsafeRawBufferPointer(start: LLVMGetBufferStart(buffer), count: LLVMGetBufferSize(buffer)))
  }
}
