internal import CLLVM
import LTMIR
import LTMLLVM
import LTMSupport

// What only a GPU has: thread numbers, barriers, shuffles, shared memory, matrices in registers.
extension IRBuilder {
  /// Starts a kernel whose parameters are pointers to global memory, and places the builder at its beginning.
  func begin(kernel name: String, parameters: [Bool], threads: Int) -> [LLVMValueRef] {
    let types = parameters.map { _ -> LLVMTypeRef in LLVMPointerTypeInContext(context, 1) }
    let values = begin(function: name, result: void, parameters: types)
    guard let function else { internalFailure("emission", "no function \(name)") }
    LLVMSetFunctionCallConv(function, UInt32(LLVMPTXKernelCallConv.rawValue))
    addAttribute(function, "nvvm.reqntid", "\(threads)")
    // Without it ptxas spills a few registers to fit more blocks than need to be there.
    addAttribute(function, "nvvm.minctasm", "1")
    for (place, isReadOnly) in parameters.enumerated() {
      addParameterAttribute(function, place, "noalias")
      if isReadOnly { addParameterAttribute(function, place, "readonly") }
    }
    return values
  }

  private func addParameterAttribute(_ function: LLVMValueRef, _ place: Int, _ name: String) {
    let kind = LLVMGetEnumAttributeKindForName(name, name.utf8.count)
    LLVMAddAttributeAtIndex(function, LLVMAttributeIndex(place + 1), LLVMCreateEnumAttribute(context, kind, 0))
  }

  /// What every architecture of ours selects. Anything else could end the process in LLVM's instruction selection.
  private static let allowed: Set<String> = [
    "llvm.nvvm.read.ptx.sreg.ctaid.x", "llvm.nvvm.read.ptx.sreg.tid.x", "llvm.nvvm.barrier.cta.sync.aligned.all",
    "llvm.nvvm.bar.warp.sync", "llvm.nvvm.shfl.sync.bfly.i32", "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16",
    "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16", "llvm.nvvm.mma.m16n8k16.row.col.f32.f32",
    "llvm.nvvm.mma.m16n8k16.row.col.bf16", "llvm.nvvm.mma.m8n8k4.row.col.f32.f32",
    // From sm_80 on.
    "llvm.nvvm.cp.async.cg.shared.global.16.s", "llvm.nvvm.cp.async.commit.group", "llvm.nvvm.cp.async.wait.group",
    // Of sm_90a.
    "llvm.nvvm.fence.proxy.async.shared_cta", "llvm.nvvm.wgmma.fence.sync.aligned",
    "llvm.nvvm.wgmma.commit_group.sync.aligned", "llvm.nvvm.wgmma.wait_group.sync.aligned",
  ]

  func call(device name: String, overloads: [LLVMTypeRef] = [], _ arguments: [LLVMValueRef]) -> LLVMValueRef {
    call(intrinsic: name, allowed: Self.allowed, overloads, arguments)
  }

  /// The block's number, as i64.
  var blockNumber: LLVMValueRef { extended(call(device: "llvm.nvvm.read.ptx.sreg.ctaid.x", [])) }
  /// The thread's number in its block, as i64.
  var threadNumber: LLVMValueRef { extended(call(device: "llvm.nvvm.read.ptx.sreg.tid.x", [])) }

  private func extended(_ value: LLVMValueRef) -> LLVMValueRef { LLVMBuildZExt(ref, value, i64, "") }

  /// Waits for every thread of the block.
  func barrier() { _ = call(device: "llvm.nvvm.barrier.cta.sync.aligned.all", [constant(bits: 0, i32)]) }
  /// Waits for every thread of the warp.
  func warpBarrier() { _ = call(device: "llvm.nvvm.bar.warp.sync", [constant(bits: -1, i32)]) }

  /// The value of the thread whose number differs in the bits of `mask`.
  func exchange(_ value: Lanes, _ mask: Int) -> Lanes {
    let element = element(of: value.type)
    if element == double || element == i64 {
      let words = Lanes(value.cast(to: i64).ref, self)
      let low = exchange(words.truncated(to: i32), mask).extended(to: i64)
      let high = exchange(words.shiftedRight(32).truncated(to: i32), mask).extended(to: i64)
      return low.or(high.shiftedLeft(32)).cast(to: element)
    }
    if element == i1 || element == i8 {
      let wide = exchange(value.extended(to: i32), mask)
      return wide.truncated(to: element)
    }
    let bits = value.cast(to: i32).ref
    let moved = call(
      device: "llvm.nvvm.shfl.sync.bfly.i32",
      [constant(bits: -1, i32), bits, constant(bits: mask, i32), constant(bits: 31, i32)])
    return Lanes(moved, self).cast(to: element)
  }

  /// Memory that a block's threads share.
  func shared(_ name: String, bytes: Int) -> LLVMValueRef {
    global(name, bytes: bytes, space: 3) { LLVMGetUndef($0) }
  }

  /// Memory that a block's threads share, as much as the launch gives.
  var dynamicMemory: LLVMValueRef {
    if let known = LLVMGetNamedGlobal(module, "ltm_dynamic") { return known }
    guard let memory = LLVMAddGlobalInAddressSpace(module, LLVMArrayType2(i8, 0), "ltm_dynamic", 3) else {
      internalFailure("emission", "no dynamic memory")
    }
    LLVMSetLinkage(memory, LLVMExternalLinkage)
    LLVMSetAlignment(memory, 1024)
    return memory
  }

  /// Zeros in global memory, which may be read in place of elements out of range.
  var spareMemory: LLVMValueRef {
    LLVMGetNamedGlobal(module, "ltm_spare") ?? global("ltm_spare", bytes: 64, space: 1) { LLVMConstNull($0) }
  }

  private func global(_ name: String, bytes: Int, space: UInt32, _ initial: (LLVMTypeRef) -> LLVMValueRef)
    -> LLVMValueRef
  {
    let type: LLVMTypeRef = LLVMArrayType2(i8, UInt64(bytes))
    guard let global = LLVMAddGlobalInAddressSpace(module, type, name, space) else {
      internalFailure("emission", "no memory \(name)")
    }
    LLVMSetInitializer(global, initial(type))
    LLVMSetLinkage(global, LLVMInternalLinkage)
    LLVMSetAlignment(global, 128)
    return global
  }

  /// What `body` gives where `condition` holds, else zeros.
  func valueWhere(_ condition: LLVMValueRef, _ type: LLVMTypeRef, _ body: () -> LLVMValueRef) -> LLVMValueRef {
    let (inside, after) = (block("then"), block("after"))
    let before = currentBlock
    LLVMBuildCondBr(ref, condition, inside, after)
    place(at: inside)
    let value = body()
    let end = currentBlock
    LLVMBuildBr(ref, after)
    place(at: after)
    let merged = phi(type)
    addIncoming(merged, LLVMConstNull(type), before)
    addIncoming(merged, value, end)
    return merged
  }

  func both(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { LLVMBuildAnd(ref, a, b, "") }

  /// A member of what an instruction with several results gave.
  func member(_ value: LLVMValueRef, _ place: Int) -> LLVMValueRef {
    LLVMBuildExtractValue(ref, value, UInt32(place), "")
  }

  func bits(_ value: LLVMValueRef, as type: LLVMTypeRef) -> LLVMValueRef { LLVMBuildBitCast(ref, value, type, "") }

  func exclusiveOr(_ a: LLVMValueRef, _ b: LLVMValueRef) -> LLVMValueRef { LLVMBuildXor(ref, a, b, "") }
}
