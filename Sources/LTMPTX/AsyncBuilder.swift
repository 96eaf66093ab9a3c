internal import CLLVM
import LTMIR
import LTMLLVM
import LTMSupport

// What goes on while a thread does something else: copies into shared memory, products of four warps.
extension IRBuilder {
  /// Starts to copy 16 bytes from global to shared memory, those after the first `bytes` as zeros.
  func copy(from source: LLVMValueRef, to target: LLVMValueRef, bytes: LLVMValueRef) {
    _ = call(device: "llvm.nvvm.cp.async.cg.shared.global.16.s", [target, source, bytes])
  }

  /// Closes a group of copies, which may be empty.
  func commitCopies() { _ = call(device: "llvm.nvvm.cp.async.commit.group", []) }

  /// Waits until this thread's copies have landed, but for those of the last groups.
  func waitForCopies(left: Int) {
    _ = call(device: "llvm.nvvm.cp.async.wait.group", [constant(bits: left, i32)])
  }

  /// Lets the tensor cores see what was written to shared memory.
  func fenceAsynchronousReads() { _ = call(device: "llvm.nvvm.fence.proxy.async.shared_cta", []) }

  /// Orders products after what registers and shared memory went through before.
  func beginProducts() { _ = call(device: "llvm.nvvm.wgmma.fence.sync.aligned", []) }

  /// Closes a group of products.
  func commitProducts() { _ = call(device: "llvm.nvvm.wgmma.commit_group.sync.aligned", []) }

  /// Waits until products are made, but for those of the last groups.
  func waitForProducts(left: Int) {
    _ = call(device: "llvm.nvvm.wgmma.wait_group.sync.aligned", [index(left)])
  }

  /// The place of shared memory that a descriptor holds, with its fixed bits.
  func descriptor(_ address: LLVMValueRef, _ fixed: Int) -> LLVMValueRef {
    let place: LLVMValueRef = LLVMBuildPtrToInt(ref, address, i64, "")
    let bits: LLVMValueRef = LLVMBuildLShr(ref, LLVMBuildAnd(ref, place, index(0x3FFFF), ""), index(4), "")
    return LLVMBuildOr(ref, bits, index(fixed), "")
  }

  /// Starts the products of 64 rows, 16 deep, of two operands in shared memory; the sums so far become the new ones.
  func multiplyGroup(
    _ sums: [LLVMValueRef], _ dtype: DType, _ left: LLVMValueRef, _ right: LLVMValueRef, transposed: [Bool]
  ) -> [LLVMValueRef] {
    let count = sums.count
    let list = (0..<count).map { "$\($0)" }.joined(separator: ", ")
    let flags = transposed.map { $0 ? "1" : "0" }.joined(separator: ", ")
    let text =
      "wgmma.mma_async.sync.aligned.m64n\(count * 2)k16.f32.\(dtype).\(dtype) {\(list)}, $\(count), $\(count + 1), "
      + "1, 1, 1, \(flags);"
    let constraints =
      [String](repeating: "=f", count: count) + ["l", "l"] + (0..<count).map(String.init)
    let result = assembly(text, constraints.joined(separator: ","), [left, right] + sums, results: count)
    return (0..<count).map { member(result, $0) }
  }

  /// An instruction that LLVM has no intrinsic for; its results are f32.
  private func assembly(_ text: String, _ constraints: String, _ arguments: [LLVMValueRef], results: Int)
    -> LLVMValueRef
  {
    var members = [LLVMTypeRef?](repeating: float, count: results)
    let result = LLVMStructTypeInContext(context, &members, UInt32(results), 0)
    var types: [LLVMTypeRef?] = arguments.map { LLVMTypeOf($0) }
    let signature = LLVMFunctionType(result, &types, UInt32(types.count), 0)
    let code = LLVMGetInlineAsm(
      signature, text, text.utf8.count, constraints, constraints.utf8.count, 1, 0, LLVMInlineAsmDialectATT, 0)
    var operands: [LLVMValueRef?] = arguments
    guard let value = LLVMBuildCall2(ref, signature, code, &operands, UInt32(operands.count), "") else {
      internalFailure("emission", "no \(text)")
    }
    // All threads of the warps come to it together: no pass may move it behind a branch.
    let kind = LLVMGetEnumAttributeKindForName("convergent", 10)
    LLVMAddCallSiteAttribute(
      value, LLVMAttributeIndex(bitPattern: Int32(LLVMAttributeFunctionIndex)),
      LLVMCreateEnumAttribute(context, kind, 0))
    return value
  }
}
