internal import CLLVM
import LTMKernels
import LTMSupport

/// The launches of a plan as constant data, and the loop that goes through them: as much code for a thousand as for one.
struct LaunchTable {
  private let plan: Plan
  private let launches: [Launch]
  private let taskCounts: [Int]
  /// For each buffer, which base it lies at and the bytes behind it: the arena is base 0, the workspace 1, arguments follow.
  private let places: [(base: Int, offset: Int)]

  init(_ interface: PlanInterface, taskCounts: [Int]) {
    plan = interface.plan
    launches = plan.launches.map(\.launch)
    self.taskCounts = taskCounts
    var places = plan.buffers.map { buffer in
      if case .arena(let offset) = buffer.place { (base: 0, offset: offset) } else { (base: 0, offset: 0) }
    }
    for (number, argument) in interface.arguments.enumerated() {
      places[argument.id.index].base = number + Self.ownBases
    }
    for (index, buffer) in plan.buffers.enumerated() {
      if case .part(let whole, let offset) = buffer.place {
        places[index] = (places[whole.index].base, places[whole.index].offset + offset)
      }
    }
    self.places = places
  }

  /// How many bases stand before the arguments.
  static let ownBases = 2

  /// Calls the kernel of each launch with its buffers and the workspace.
  func emitLoop(_ ir: IRBuilder, _ functions: [LLVMValueRef], bases: LLVMValueRef, scratch: LLVMValueRef) {
    let most = launches.map(\.arguments.count).max() ?? 0
    guard most > 0 else { return }
    let callees = table("functions", launches.map { functions[$0.kernel] }, ir.pointer, ir)
    let counts = table(
      "launches",
      launches.flatMap { [$0.arguments.count, taskCounts[$0.kernel]] }.map(ir.index), ir.i64, ir)
    let arguments = table(
      "buffers",
      launches.flatMap(\.arguments).flatMap { [places[$0.index].base, places[$0.index].offset] }.map(ir.index),
      ir.i64, ir)
    let block: LLVMValueRef = LLVMBuildArrayAlloca(ir.ref, ir.pointer, ir.index(most + 1), "arguments")
    func number(_ table: LLVMValueRef, _ index: LLVMValueRef, _ field: Int) -> LLVMValueRef {
      ir.load(ir.i64, ir.address(table, ir.i64, ir.add(ir.multiply(index, 2), ir.index(field))), align: 8)
    }
    ir.loop(0..<launches.count, carrying: [ir.index(0)]) { launch, carried in
      let count = number(counts, launch, 0)
      ir.loop(from: ir.index(0), to: count) { argument, _ in
        let buffer = ir.add(carried[0], argument)
        let base = ir.load(ir.pointer, ir.address(bases, ir.pointer, number(arguments, buffer, 0)), align: 8)
        let start = ir.address(base, ir.i8, number(arguments, buffer, 1))
        ir.store(start, ir.address(block, ir.pointer, argument), align: 8)
        return []
      }
      let workspace = ir.load(ir.pointer, ir.address(bases, ir.pointer, ir.index(1)), align: 8)
      ir.store(workspace, ir.address(block, ir.pointer, count), align: 8)
      let function = ir.load(ir.pointer, ir.address(callees, ir.pointer, launch), align: 8)
      ir.call(
        function, as: LLVMGlobalGetValueType(functions[0]), [block, ir.index(0), number(counts, launch, 1), scratch])
      return [ir.add(carried[0], count)]
    }
  }

  private func table(_ name: String, _ values: [LLVMValueRef], _ type: LLVMTypeRef, _ ir: IRBuilder) -> LLVMValueRef {
    var elements: [LLVMValueRef?] = values
    guard let whole: LLVMTypeRef = LLVMArrayType2(type, UInt64(values.count)),
      let global = LLVMAddGlobal(ir.module, whole, "\(plan.name).\(name)")
    else { internalFailure("emission", "no table of launches") }
    LLVMSetInitializer(global, LLVMConstArray2(type, &elements, UInt64(values.count)))
    LLVMSetLinkage(global, LLVMInternalLinkage)
    LLVMSetGlobalConstant(global, 1)
    LLVMSetAlignment(global, 8)
    return global
  }
}
