internal import CLLVM
import LTMIR
import LTMKernels
import LTMSupport

/// A plan as an object file and the C header that declares its one function.
package struct AheadOfTimeCode: Sendable {
  package var object: [UInt8]
  package var header: String
}

/// Compiles a plan into one object: its kernels, a static arena, and `int symbol(inputs..., outputs...)`, which runs every
/// launch on the calling thread. The object needs libm.
///
/// - Parameter lines: the folder that paths of source places start from, where line tables are wanted.
package func emitAheadOfTime(
  plan: Plan, symbol: String, profile: TargetProfile = .host, lines folder: String? = nil
) throws(LLVMFailure) -> AheadOfTimeCode {
  CurrentWork.set("plan @\(plan.name)")
  defer { CurrentWork.set(nil) }
  let machine = try Machine(profile)
  let workspace = try Workspace(name: symbol, machine: machine)
  let interface = PlanInterface(plan.flattened(), symbol: cIdentifier(symbol))
  let ir = IRBuilder(workspace, profile: profile)
  ir.debug = folder.flatMap { DebugInfo(workspace, folder: $0) }
  PlanEmitter(ir: ir, interface: interface).emit()
  ir.debug?.finish()
  return AheadOfTimeCode(object: try workspace.finish(.object, machine: machine), header: interface.header)
}

/// What a C caller sees of a plan: a pointer for each input, then for each output, in the plan's order.
struct PlanInterface {
  let plan: Plan
  let symbol: String
  /// Buffers that the caller owns, in the order of the arguments.
  let arguments: [(id: PlanBufferID, name: String)]

  init(_ plan: Plan, symbol: String) {
    self.plan = plan
    self.symbol = symbol
    var (inputs, outputs): ([(PlanBufferID, String)], [(PlanBufferID, String)]) = ([], [])
    for (index, buffer) in plan.buffers.enumerated() {
      switch buffer.place {
      case .input(let name): inputs.append((PlanBufferID(index), name))
      case .output(let name): outputs.append((PlanBufferID(index), name))
      case .arena, .parameter, .part: break
      }
    }
    var taken = wordsOfC
    arguments = (inputs + outputs).map { id, name in
      // `fc1.weight` and `fc1_weight` may both occur, and a name may be a word of C.
      var unique = cIdentifier(name)
      while !taken.insert(unique).inserted { unique += "_" }
      return (id, unique)
    }
  }

  /// The buffers that launches write to.
  private var written: Set<PlanBufferID> {
    plan.steps.flatMap(plan.accesses).reduce(into: []) { found, argument in
      guard argument.access.writes else { return }
      if case .part(let whole, _) = plan[argument.id].place { found.insert(whole) } else { found.insert(argument.id) }
    }
  }

  var header: String {
    let written = written
    let parameters = arguments.map { id, name in
      let buffer = plan[id]
      let shape = buffer.shape.map(String.init).joined(separator: ", ")
      return
        "    \(written.contains(id) ? "" : "const ")\(buffer.dtype.cName) *\(name)  /* \(buffer.dtype)[\(shape)] */"
    }
    return """
      // \(plan.name): compiled by ltm. Link with -lm.
      #ifndef LTM_\(symbol)_H
      #define LTM_\(symbol)_H
      #include <stdint.h>
      #ifdef __cplusplus
      extern "C" {
      #endif

      // Arrays are contiguous, row-major; f16 and bf16 are passed as their bits. Returns 0, or 1 when a pointer is null.
      // Working memory is static (\(plan.arenaBytes) bytes and scratch): not to be called from two threads at once.
      int \(symbol)(
      \(parameters.joined(separator: ",\n"))
      );

      #ifdef __cplusplus
      }
      #endif
      #endif

      """
  }
}

/// The words that no parameter can have as its name, in C or C++, and those that compilers for Linux define.
private let wordsOfC = Set(
  """
  alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class co_await
  co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do double
  dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable namespace new noexcept
  not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires restrict return short
  signed sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid
  typename typeof typeof_unqual union unsigned using virtual void volatile wchar_t while xor xor_eq linux unix i386
  """.split(whereSeparator: \.isWhitespace).map(String.init))

/// Emits the kernels of a plan and the function that launches them in order.
private struct PlanEmitter {
  let ir: IRBuilder
  let interface: PlanInterface
  private var plan: Plan { interface.plan }

  init(ir: IRBuilder, interface: PlanInterface) {
    self.ir = ir
    self.interface = interface
  }

  func emit() {
    let schedules = plan.kernels.map { schedule($0, ir.profile) }
    let functions = zip(plan.kernels, schedules).enumerated().map { index, pair -> LLVMValueRef in
      let name = "\(interface.symbol).\(index).\(cIdentifier(pair.0.name))"
      KernelEmitter.emit(pair.0, pair.1, named: name, isInternal: true, into: ir)
      guard let function = LLVMGetNamedFunction(ir.module, name) else {
        internalFailure("emission", "\(name) is missing")
      }
      return function
    }
    ir.debug?.endKernels()
    let arena = memory("arena", plan.arenaBytes)
    let scratch = memory("scratch", schedules.map(\.scratchBytes).max() ?? 0)
    let workspace = memory("workspace", schedules.map(\.workspaceBytes).max() ?? 0)
    let parameters = ir.begin(
      function: interface.symbol, result: ir.i32, parameters: interface.arguments.map { _ in ir.pointer })
    let bases = self.bases(arena, workspace, parameters)
    returnIfNull(bases, count: parameters.count + LaunchTable.ownBases)
    let table = LaunchTable(interface, taskCounts: schedules.map(\.taskCount))
    table.emitLoop(ir, functions, bases: bases, scratch: scratch)
    LLVMBuildRet(ir.ref, ir.constant(bits: 0, ir.i32))
  }

  /// An array of the pointers that buffers are told from: the arena, the workspace, and the arguments.
  private func bases(_ arena: LLVMValueRef, _ workspace: LLVMValueRef, _ parameters: [LLVMValueRef]) -> LLVMValueRef {
    let all = [arena, workspace] + parameters
    let bases: LLVMValueRef = LLVMBuildArrayAlloca(ir.ref, ir.pointer, ir.index(all.count), "bases")
    for (number, base) in all.enumerated() {
      ir.store(base, ir.address(bases, ir.pointer, ir.index(number)), align: 8)
    }
    return bases
  }

  /// Static memory, aligned for vectors.
  private func memory(_ name: String, _ bytes: Int) -> LLVMValueRef {
    let type: LLVMTypeRef = LLVMArrayType2(ir.i8, UInt64(max(bytes, 1)))
    guard let global = LLVMAddGlobal(ir.module, type, "\(interface.symbol).\(name)") else {
      internalFailure("emission", "no static memory")
    }
    LLVMSetInitializer(global, LLVMConstNull(type))
    LLVMSetLinkage(global, LLVMInternalLinkage)
    LLVMSetAlignment(global, 64)
    return global
  }

  private func returnIfNull(_ bases: LLVMValueRef, count: Int) {
    let found = ir.loop(0..<count, carrying: [ir.constant(bits: 0, ir.i1)]) { index, carried in
      let base = ir.load(ir.pointer, ir.address(bases, ir.pointer, index), align: 8)
      return [LLVMBuildOr(ir.ref, carried[0], LLVMBuildIsNull(ir.ref, base, ""), "")]
    }
    let (refuse, proceed) = (ir.block("refuse"), ir.block("proceed"))
    LLVMBuildCondBr(ir.ref, found[0], refuse, proceed)
    ir.place(at: refuse)
    LLVMBuildRet(ir.ref, ir.constant(bits: 1, ir.i32))
    ir.place(at: proceed)
  }
}

extension DType {
  /// The element type in C.
  fileprivate var cName: String {
    switch self {
    case .float, .f32: "float"
    case .f64: "double"
    case .f16, .bf16: "uint16_t"
    case .i32: "int32_t"
    case .i64: "int64_t"
    case .u8, .bool: "uint8_t"
    }
  }
}
