import LTMIR
import LTMKernels
import LTMLLVM
import TestSupport
import Testing

/// One compiler for the whole suite, with no cache on disk.
let compiler: KernelCompiler? = try? KernelCompiler(cache: nil)

/// The order in which a launch's tasks run: phase by phase, or all by one call, as an object for C does.
enum TaskOrder: CaseIterable { case together, oneByOne, backwards, atOnce }

/// Runs a kernel's machine code on host values; memory around each buffer is checked for stray writes.
func launch(_ kernel: Kernel, _ buffers: [[Double]], order: TaskOrder = .together) throws -> [Tensor] {
  let compiler = try #require(compiler)
  let compiled = try #require(try compiler.compile([kernel]).first)
  return try launch(compiled, kernel, buffers, order: order)
}

/// - Parameter earlier: the buffers of a launch before this one, which leaves the workspace as it is.
func launch(
  _ compiled: CompiledKernel, _ kernel: Kernel, _ buffers: [[Double]], order: TaskOrder,
  after earlier: [[Double]]? = nil
) throws -> [Tensor] {
  let margin = 64
  let tensors = try zip(kernel.buffers, buffers).map { buffer, values in
    try #require(Tensor(values, shape: [values.count], dtype: buffer.dtype))
  }
  let memory = tensors.map { tensor in
    let area = UnsafeMutableRawBufferPointer.allocate(byteCount: tensor.bytes.count + 2 * margin, alignment: 64)
    area.initializeMemory(as: UInt8.self, repeating: 0xA5)
    UnsafeMutableRawBufferPointer(rebasing: area[margin...]).copyBytes(from: tensor.bytes)
    return area
  }
  func fill(_ buffers: [[Double]]) throws {
    for ((area, buffer), values) in zip(zip(memory, kernel.buffers), buffers) {
      let tensor = try #require(Tensor(values, shape: [values.count], dtype: buffer.dtype))
      UnsafeMutableRawBufferPointer(rebasing: area[margin...]).copyBytes(from: tensor.bytes)
    }
  }
  let scratch = UnsafeMutableRawPointer.allocate(byteCount: compiled.scratchBytes + margin, alignment: 64)
  scratch.initializeMemory(as: UInt8.self, repeating: 0xFF, count: compiled.scratchBytes + margin)
  let workspace = UnsafeMutableRawPointer.allocate(byteCount: compiled.workspaceBytes + margin, alignment: 64)
  workspace.initializeMemory(as: UInt8.self, repeating: 0xFF, count: compiled.workspaceBytes + margin)
  defer {
    memory.forEach { $0.deallocate() }
    scratch.deallocate()
    workspace.deallocate()
  }
  var pointers = memory.map { $0.baseAddress.map { $0 + margin } } + [workspace]
  func run(_ phases: [Range<Int>]) {
    pointers.withUnsafeMutableBufferPointer { pointers in
      let base = pointers.baseAddress
      for phase in phases {
        switch order {
        case .together, .atOnce: compiled.function(base, phase.lowerBound, phase.upperBound, scratch)
        case .oneByOne: for task in phase { compiled.function(base, task, task + 1, scratch) }
        case .backwards: for task in phase.reversed() { compiled.function(base, task, task + 1, scratch) }
        }
      }
    }
  }
  if let earlier {
    try fill(earlier)
    run(compiled.schedule.phases)
    try fill(buffers)
    run(compiled.schedule.laterPhases)
  } else {
    run(order == .atOnce ? [0..<compiled.taskCount] : compiled.schedule.phases)
  }
  for (area, tensor) in zip(memory, tensors) {
    let outside = Array(area[..<margin]) + Array(area[(margin + tensor.bytes.count)...])
    #expect(outside.allSatisfy { $0 == 0xA5 }, "\(kernel.name) wrote outside a buffer")
  }
  for (area, size) in [(scratch, compiled.scratchBytes), (workspace, compiled.workspaceBytes)] {
    let beyond = UnsafeRawBufferPointer(start: area + size, count: margin)
    #expect(beyond.allSatisfy { $0 == 0xFF }, "\(kernel.name) wrote outside its scratch memory or workspace")
  }
  return try zip(memory, tensors).map { area, tensor in
    try #require(
      Tensor(dtype: tensor.dtype, shape: tensor.shape, bytes: Array(area[margin..<margin + tensor.bytes.count])))
  }
}

/// The buffers after a launch in the reference interpreter, which rounds what the kernel narrows and nothing else.
func interpreted(_ kernel: Kernel, _ buffers: [[Double]]) -> [[Double]] {
  var memory = buffers
  kernel.interpret(&memory, rounding: .narrowing)
  return memory
}

/// Compares a kernel's machine code with the reference interpreter. `tolerance` is relative to the larger of 1 and the value.
func expectInterpreted(
  _ kernel: Kernel, _ buffers: [[Double]], tolerance: Double, by compiler: KernelCompiler? = compiler,
  location: SourceLocation = #_sourceLocation
) throws {
  let complaints = kernel.verify()
  #expect(complaints.isEmpty, "\(complaints)", sourceLocation: location)
  let rounded = zip(kernel.buffers, buffers).map { buffer, values in values.map(buffer.dtype.round) }
  let expected = interpreted(kernel, rounded)
  let compiled = try #require(try compiler?.compile([kernel]).first)
  let results = try launch(compiled, kernel, rounded, order: .together)
  for (index, buffer) in kernel.buffers.enumerated() where buffer.access.writes {
    expectClose(
      results[index].doubles, expected[index], .relative(tolerance), "\(kernel.name) \(buffer.dtype) \(buffer.shape): ",
      sourceLocation: location)
  }
}

/// Numbers that look random and are the same in each run, in -2...2.
func numbers(_ count: Int, seed: UInt64 = 1) -> [Double] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Double(Int64(bitPattern: state) >> 11) * 0x1p-51
  }
}

/// Random contents for a kernel's buffers: floats in -2...2, integers and bools small and not negative.
func contents(_ kernel: Kernel, seed: UInt64 = 1) -> [[Double]] {
  kernel.buffers.enumerated().map { index, buffer in
    let values = numbers(buffer.shape.reduce(1, *), seed: seed &+ UInt64(index))
    return buffer.dtype.isFloating
      ? values : values.map { buffer.dtype == .bool ? ($0 > 0 ? 1 : 0) : ($0 + 2).rounded(.down) }
  }
}
