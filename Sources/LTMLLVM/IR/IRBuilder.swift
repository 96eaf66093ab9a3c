package import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

/// Appends instructions to a function. Holds references that a ``Workspace`` owns.
package final class IRBuilder {
  package let context: LLVMContextRef
  package let module: LLVMModuleRef
  package let ref: LLVMBuilderRef
  package let profile: TargetProfile
  package private(set) var function: LLVMValueRef?
  /// Says which line of the source each instruction computes, where that is wanted.
  var debug: DebugInfo?
  /// Formulas in place of the C library, by its names without the final `f`: devices have none.
  package var mathLibrary: ((_ name: String, _ a: Lanes, _ b: Lanes?) -> Lanes)?
  /// Whether contractions call micro-kernels that the JIT links beside them, and bring none of their own.
  var sharesMicroKernels = false
  /// How exact formulas must be in the kernel that is being emitted.
  var accuracy = Accuracy.single

  /// What the results of formulas end up in.
  enum Accuracy {
    /// f32, or anything that shows f32's precision.
    case single
    /// Memory of halves with f32's range, and nothing else.
    case bf16
    /// f16 memory, and nothing else.
    case f16

    init(_ kernel: Kernel) {
      let stored = Set(kernel.body.flatMap(\.writes).map { kernel[$0.buffer].dtype })
      self = stored == [.f16] ? .f16 : !stored.isEmpty && stored.allSatisfy(\.isHalf) ? .bf16 : .single
    }
  }

  package let i1: LLVMTypeRef
  package let i8: LLVMTypeRef
  package let i16: LLVMTypeRef
  package let i32: LLVMTypeRef
  package let i64: LLVMTypeRef
  package let half: LLVMTypeRef
  package let bfloat: LLVMTypeRef
  package let float: LLVMTypeRef
  package let double: LLVMTypeRef
  package let pointer: LLVMTypeRef
  package let void: LLVMTypeRef

  package init(_ workspace: borrowing Workspace, profile: TargetProfile) {
    context = workspace.context
    module = workspace.module
    ref = workspace.builder
    self.profile = profile
    i1 = LLVMInt1TypeInContext(context)
    i8 = LLVMInt8TypeInContext(context)
    i16 = LLVMInt16TypeInContext(context)
    i32 = LLVMInt32TypeInContext(context)
    i64 = LLVMInt64TypeInContext(context)
    half = LLVMHalfTypeInContext(context)
    bfloat = LLVMBFloatTypeInContext(context)
    float = LLVMFloatTypeInContext(context)
    double = LLVMDoubleTypeInContext(context)
    pointer = LLVMPointerTypeInContext(context, 0)
    void = LLVMVoidTypeInContext(context)
  }

  // MARK: Types and constants

  package func vector(_ element: LLVMTypeRef, _ lanes: Int) -> LLVMTypeRef {
    lanes == 1 ? element : LLVMVectorType(element, UInt32(lanes))
  }

  package func lanes(of type: LLVMTypeRef) -> Int {
    LLVMGetTypeKind(type) == LLVMVectorTypeKind ? Int(LLVMGetVectorSize(type)) : 1
  }

  package func element(of type: LLVMTypeRef) -> LLVMTypeRef {
    LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type
  }

  /// The type in registers of a kernel's scalar dtype.
  package func scalar(_ dtype: DType) -> LLVMTypeRef {
    switch dtype.loaded {
    case .f64: double
    case .i64: i64
    case .i32: i32
    case .bool: i1
    case .f32, .float, .f16, .bf16, .u8: float
    }
  }

  /// The type in memory; bf16 as bits.
  package func stored(_ dtype: DType) -> LLVMTypeRef {
    let format = dtype.format
    if dtype == .bf16 { return i16 }
    if format.float != nil { return format.bits == 16 ? half : format.bits == 64 ? double : float }
    return integer(format.bits)
  }

  /// The integers of so many bits.
  private func integer(_ bits: Int) -> LLVMTypeRef {
    guard let type = LLVMIntTypeInContext(context, UInt32(bits)) else { internalFailure("emission", "no i\(bits)") }
    return type
  }

  /// `value` in every lane of `type`.
  package func constant(_ value: Double, _ type: LLVMTypeRef) -> LLVMValueRef {
    splatConstant(LLVMConstReal(element(of: type), value), type)
  }

  package func constant(bits value: Int, _ type: LLVMTypeRef) -> LLVMValueRef {
    splatConstant(LLVMConstInt(element(of: type), UInt64(bitPattern: Int64(value)), 1), type)
  }

  package func index(_ value: Int) -> LLVMValueRef { LLVMConstInt(i64, UInt64(bitPattern: Int64(value)), 1) }

  private func splatConstant(_ value: LLVMValueRef, _ type: LLVMTypeRef) -> LLVMValueRef {
    guard LLVMGetTypeKind(type) == LLVMVectorTypeKind else { return value }
    var elements = [LLVMValueRef?](repeating: value, count: lanes(of: type))
    return LLVMConstVector(&elements, UInt32(elements.count))
  }

  /// A vector of the integers given.
  package func constants(_ values: [Int], _ element: LLVMTypeRef) -> LLVMValueRef {
    if values.count == 1 { return constant(bits: values[0], element) }
    var elements: [LLVMValueRef?] = values.map { constant(bits: $0, element) }
    return LLVMConstVector(&elements, UInt32(elements.count))
  }

  // MARK: Functions and calls

  /// Starts a function and places the builder at its beginning.
  package func begin(function name: String, result: LLVMTypeRef, parameters: [LLVMTypeRef], isInternal: Bool = false)
    -> [LLVMValueRef]
  {
    var types: [LLVMTypeRef?] = parameters
    let signature = LLVMFunctionType(result, &types, UInt32(types.count), 0)
    guard let function = LLVMAddFunction(module, name, signature) else {
      internalFailure("emission", "LLVM made no function \(name)")
    }
    self.function = function
    if isInternal {
      LLVMSetLinkage(function, LLVMInternalLinkage)
      addAttribute(function, "noinline")
    }
    addAttribute(function, "nounwind")
    addAttribute(function, "target-cpu", profile.cpu)
    addAttribute(function, "target-features", profile.features)
    if profile.vectorBytes == 64 { addAttribute(function, "prefer-vector-width", "512") }
    debug?.begin(function, named: name)
    place(at: block("entry"))
    return (0..<parameters.count).map { LLVMGetParam(function, UInt32($0)) }
  }

  /// Continues a function that another one interrupted.
  package func resume(_ function: LLVMValueRef?, at block: LLVMBasicBlockRef?) {
    self.function = function
    debug?.resume(function)
    LLVMPositionBuilderAtEnd(ref, block)
  }

  private func addAttribute(_ function: LLVMValueRef, _ name: String) {
    let kind = LLVMGetEnumAttributeKindForName(name, name.utf8.count)
    let index = LLVMAttributeIndex(bitPattern: Int32(LLVMAttributeFunctionIndex))
    LLVMAddAttributeAtIndex(function, index, LLVMCreateEnumAttribute(context, kind, 0))
  }

  package func addAttribute(_ function: LLVMValueRef, _ key: String, _ value: String) {
    let index = LLVMAttributeIndex(bitPattern: Int32(LLVMAttributeFunctionIndex))
    LLVMAddAttributeAtIndex(
      function, index,
      LLVMCreateStringAttribute(context, key, UInt32(key.utf8.count), value, UInt32(value.utf8.count)))
  }

  package func call(_ function: LLVMValueRef, _ arguments: [LLVMValueRef]) -> LLVMValueRef {
    call(function, as: LLVMGlobalGetValueType(function), arguments)
  }

  /// Calls what a pointer points to, of a signature.
  @discardableResult
  func call(_ pointer: LLVMValueRef, as signature: LLVMTypeRef, _ arguments: [LLVMValueRef]) -> LLVMValueRef {
    var arguments: [LLVMValueRef?] = arguments
    return LLVMBuildCall2(ref, signature, pointer, &arguments, UInt32(arguments.count), "")
  }

  /// Calls a function of the C library, declared on first use.
  package func call(library name: String, _ arguments: [LLVMValueRef]) -> LLVMValueRef {
    let types = arguments.map { LLVMTypeOf($0) as LLVMTypeRef }
    return call(declare(name, result: types[0], types), arguments)
  }

  /// A function that another module has.
  func declare(_ name: String, result: LLVMTypeRef, _ parameters: [LLVMTypeRef]) -> LLVMValueRef {
    if let known = LLVMGetNamedFunction(module, name) { return known }
    var types: [LLVMTypeRef?] = parameters
    let signature = LLVMFunctionType(result, &types, UInt32(types.count), 0)
    guard let function = LLVMAddFunction(module, name, signature) else {
      internalFailure("emission", "LLVM made no function \(name)")
    }
    addAttribute(function, "nounwind")
    return function
  }

  /// What every target of ours selects. Anything else could end the process in LLVM's instruction selection.
  private static let allowed: Set<String> = [
    "llvm.fma", "llvm.sqrt", "llvm.fabs", "llvm.floor", "llvm.ceil", "llvm.roundeven", "llvm.copysign",
    "llvm.fptosi.sat", "llvm.smax", "llvm.smin", "llvm.prefetch", "llvm.x86.sse.sfence",
    "llvm.x86.avx512.mask.reduce.ps.512", "llvm.x86.avx512.mask.scalef.ps.512",
    "llvm.x86.avx512.fpclass.ps.512", "llvm.x86.avx512bf16.dpbf16ps.512",
    "llvm.aarch64.neon.bfdot", "llvm.x86.tilezero.internal",
    "llvm.x86.tileloadd64.internal", "llvm.x86.tilestored64.internal", "llvm.x86.tdpbf16ps.internal",
  ]

  /// Calls an intrinsic of the allow-list, overloaded on `types`.
  package func call(intrinsic name: String, _ types: [LLVMTypeRef], _ arguments: [LLVMValueRef]) -> LLVMValueRef {
    call(intrinsic: name, allowed: Self.allowed, types, arguments)
  }

  /// Calls an intrinsic of a list.
  package func call(
    intrinsic name: String, allowed: Set<String>, _ types: [LLVMTypeRef], _ arguments: [LLVMValueRef]
  ) -> LLVMValueRef {
    internalCheck(allowed.contains(name), "emission", "\(name) is not on the allow-list")
    let id = LLVMLookupIntrinsicID(name, name.utf8.count)
    var overloads: [LLVMTypeRef?] = types
    guard let function = LLVMGetIntrinsicDeclaration(module, id, &overloads, overloads.count) else {
      internalFailure("emission", "LLVM does not know \(name)")
    }
    return call(function, arguments)
  }

  // MARK: Blocks

  package func block(_ name: String) -> LLVMBasicBlockRef { LLVMAppendBasicBlockInContext(context, function, name) }

  package func place(at block: LLVMBasicBlockRef) { LLVMPositionBuilderAtEnd(ref, block) }

  package var currentBlock: LLVMBasicBlockRef? { LLVMGetInsertBlock(ref) }

  /// `for (i = from; i < to; i += step)`, with values carried from one iteration to the next. The test stands at the end.
  @discardableResult
  package func loop(
    from: LLVMValueRef, to: LLVMValueRef, step: Int = 1, carrying initial: [LLVMValueRef] = [],
    _ body: (_ i: LLVMValueRef, _ carried: [LLVMValueRef]) -> [LLVMValueRef]
  ) -> [LLVMValueRef] {
    let before = currentBlock
    let (inside, after) = (block("loop"), block("after"))
    LLVMBuildCondBr(ref, LLVMBuildICmp(ref, LLVMIntSLT, from, to, ""), inside, after)
    place(at: inside)
    let counter = phi(i64)
    let carried = initial.map { phi(LLVMTypeOf($0)) }
    addIncoming(counter, from, before)
    for (value, start) in zip(carried, initial) { addIncoming(value, start, before) }
    let results = body(counter, carried)
    let next: LLVMValueRef = LLVMBuildNSWAdd(ref, counter, index(step), "")
    let latch = currentBlock
    LLVMBuildCondBr(ref, LLVMBuildICmp(ref, LLVMIntSLT, next, to, ""), inside, after)
    addIncoming(counter, next, latch)
    for (value, result) in zip(carried, results) { addIncoming(value, result, latch) }
    place(at: after)
    return zip(initial, results).map { start, result in
      let merged = phi(LLVMTypeOf(start))
      addIncoming(merged, start, before)
      addIncoming(merged, result, latch)
      return merged
    }
  }

  /// A loop whose bounds are known: none or one iteration needs no branch.
  @discardableResult
  package func loop(
    _ range: Range<Int>, step: Int = 1, carrying initial: [LLVMValueRef] = [],
    _ body: (_ i: LLVMValueRef, _ carried: [LLVMValueRef]) -> [LLVMValueRef]
  ) -> [LLVMValueRef] {
    if range.isEmpty { return initial }
    if range.count <= step { return body(index(range.lowerBound), initial) }
    return loop(from: index(range.lowerBound), to: index(range.upperBound), step: step, carrying: initial, body)
  }

  /// Runs `body` where `condition` holds.
  package func when(_ condition: LLVMValueRef, _ body: () -> Void) {
    let (inside, after) = (block("then"), block("after"))
    LLVMBuildCondBr(ref, condition, inside, after)
    place(at: inside)
    body()
    LLVMBuildBr(ref, after)
    place(at: after)
  }

  /// The value of one of two computations. `isRare`: the first runs for edges only, and its constants take no registers from
  /// the second.
  func choose(
    _ condition: LLVMValueRef, isRare: Bool = false, then: () -> Lanes, otherwise: () -> Lanes
  ) -> Lanes {
    let (first, second, after) = (block("then"), block("else"), block("after"))
    let split = LLVMBuildCondBr(ref, condition, first, second)
    if isRare { weigh(split, 1, 2000) }
    func branch(_ start: LLVMBasicBlockRef, _ body: () -> Lanes) -> (value: LLVMValueRef, end: LLVMBasicBlockRef?) {
      place(at: start)
      let value = body().ref
      let end = currentBlock
      LLVMBuildBr(ref, after)
      return (value, end)
    }
    let results = [branch(first, then), branch(second, otherwise)]
    place(at: after)
    let merged = phi(LLVMTypeOf(results[0].value))
    for result in results { addIncoming(merged, result.value, result.end) }
    return Lanes(merged, self)
  }

  /// How often a branch goes either way.
  private func weigh(_ branch: LLVMValueRef?, _ first: Int, _ second: Int) {
    let name = "branch_weights"
    var parts: [LLVMValueRef?] = [
      LLVMMDStringInContext(context, name, UInt32(name.utf8.count)), constant(bits: first, i32),
      constant(bits: second, i32),
    ]
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(context, "prof", 4), LLVMMDNodeInContext(context, &parts, 3))
  }

  /// Whether a bit is set in any lane.
  func any(_ bits: Lanes) -> LLVMValueRef {
    if bits.count == 1 { return bits.ref }
    guard let width = LLVMIntTypeInContext(context, UInt32(bits.count)),
      let whole = LLVMBuildBitCast(ref, bits.ref, width, "")
    else { internalFailure("emission", "a bit of any lane") }
    return LLVMBuildICmp(ref, LLVMIntNE, whole, LLVMConstNull(width), "")
  }

  package func phi(_ type: LLVMTypeRef) -> LLVMValueRef { LLVMBuildPhi(ref, type, "") }

  package func addIncoming(_ phi: LLVMValueRef, _ value: LLVMValueRef, _ block: LLVMBasicBlockRef?) {
    var values: [LLVMValueRef?] = [value]
    var blocks = [block]
    LLVMAddIncoming(phi, &values, &blocks, 1)
  }
}
