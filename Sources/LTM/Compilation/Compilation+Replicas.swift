import LTMIR
import LTMPrecision
import LTMSupport

extension Compilation {
  /// The sizes of a training step's symbolic dimensions on each replica: rows, the first dimension of every argument, are
  /// split evenly.
  func replicaSizes() throws(LTMError) -> [String: Int] {
    let sizes = try sizes(training: true)
    try TPUBackend.check(cores: tpuCores)
    guard tpuCores > 1 else { return sizes }
    let graph = try model.graph(entry, training: true)
    let bound = try reporting { try graph.bound(sizes) }
    var shapes: [String: [Int]] = [:]
    for input in bound.inputs where input.role == .argument {
      guard let shape = bound[input.value].type.staticShape, let rows = shape.first else {
        throw LTMError("'\(input.name)' has no rows to split over \(tpuCores) cores")
      }
      shapes[input.name] = [try TrainingPlan.share(of: rows, Replicas(count: tpuCores))] + shape.dropFirst()
    }
    return try reporting { try graph.bindings(shapes) }
  }

  /// Throws where several cores are asked for what runs on one.
  func checkCores() throws(LTMError) {
    try TPUBackend.check(cores: tpuCores)
    guard tpuCores == 1 || isTrainingStep else {
      throw LTMError(
        "'\(entry)' runs on one core: only a training step is split over several",
        notes: ["add --step, or leave out --tpu-cores"])
    }
  }
}
