import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

extension Compilation {
  /// Runs the entry, or the training step, on arguments made up for its shapes, and times each launch.
  ///
  /// - Parameters:
  ///   - runs: how often; the least time counts.
  ///   - execution: where to run: on the CPU.
  public func profile(runs: Int = 30, execution: Execution) throws(LTMError) -> Profile {
    guard let executable = try executable(on: execution) as? any Profilable else {
      throw LTMError("only the targets cpu and cuda have kernels to profile")
    }
    guard runs > 0 else { throw LTMError("\(runs) runs: at least 1 is needed") }
    // The first run meets cold caches and untouched pages.
    try executable.run()
    var whole = Double.infinity
    for _ in 0..<runs {
      let start = ResourceUsage.monotonicSeconds
      try executable.run()
      whole = min(whole, ResourceUsage.monotonicSeconds - start)
    }
    return Profile(try executable.profile(runs: runs), seconds: whole, try Ceilings(execution: execution))
  }

  /// Compiles to something that runs: weights and the optimizer's state as at the start of training, arguments made up.
  package func executable(on execution: Execution) throws(LTMError) -> any Executable {
    let graph: Graph
    let executable: any Executable
    if isTrainingStep {
      let program = try execution.clock.time("graph") { () throws(LTMError) in try trainingProgram() }
      graph = program.lowered
      let rate = try model.optimizer().learningRate
      executable = try TrainingSession(
        model, program, policy, execution, learningRate: rate, totalSteps: Int(Int32.max)
      ).executable
    } else {
      graph = try execution.clock.time("graph") { () throws(LTMError) in
        let traced = try model.graph(entry, training: false)
        return try Pipeline.inference(try sizes(training: false), policy).run(traced)
      }
      executable = try execution.backend.compile(graph)
      for input in graph.inputs where input.role != .argument {
        if let tensor = model.weight(input.name) { try executable.write(converting: tensor, to: input.name) }
      }
    }
    for input in graph.inputs where input.role == .argument {
      try executable.fill(input.name) { fill($0, graph[input.value].type.dtype) }
    }
    return executable
  }
}

/// Numbers of mean 0 and variance 1, or small indices, the same at every call.
private func fill(_ bytes: UnsafeMutableRawBufferPointer, _ dtype: DType) {
  var state: UInt64 = 1
  let values = (0..<4096).map { index -> Double in
    guard dtype.isFloating else { return Double(index % 2) }
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    // Uniform with the width that gives variance 1.
    return (Double(state >> 11) * 0x1p-53 - 0.5) * 12.0.squareRoot()
  }
  guard let tensor = Tensor(values, shape: [values.count], dtype: dtype) else { return }
  tensor.withUnsafeBytes { pattern in
    for start in stride(from: 0, to: bytes.count, by: pattern.count) {
      let count = min(pattern.count, bytes.count - start)
      UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + count]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: pattern[..<count]))
    }
  }
}
