import LTMIR
import LTMKernelPasses
import LTMRuntime
import LTMSupport

/// An entry that is reported, over all test rows: as a mean or a sum of parts where it is one, else on all of them at once.
struct Evaluation {
  let entry: CompiledEntry
  private let combination: RowCombination
  private let test: Dataset.Split
  private let parts: [ArraySlice<Int32>]
  private let storage: SessionStorage

  /// - Parameter storage: what the session that trains lets be read.
  init(
    _ name: String, _ model: Model, _ trainer: Trainer, _ test: Dataset.Split, batch: Int, in storage: SessionStorage
  ) throws(LTMError) {
    let graph = try model.graph(name, training: false)
    entry = try CompiledEntry(model, name, trainer.policy, trainer.execution, in: storage)
    self.storage = storage
    combination = try graph.rowCombination
    self.test = test
    parts = test.evaluationBatches(
      combination == .none ? test.count : try Self.rows(of: graph, test.tensors, batch: batch))
    if combination == .none { try checkMemory(graph, trainer) }
    // Compiled here, for the sizes of its parts: no epoch's time should hold it.
    for count in Set(parts.map(\.count)) { try entry.prepare(shapes(of: count)) }
  }

  /// How many rows are evaluated at once: 256, or a batch where that is more, or where 256 rows make so many numbers that
  /// evaluation could take more memory than training.
  private static func rows(of graph: Graph, _ tensors: [String: Tensor], batch: Int) throws(LTMError) -> Int {
    if batch >= 256 { return batch }
    let arguments = Set(graph.inputs.filter { $0.role == .argument }.map(\.name))
    let shapes = tensors.filter { arguments.contains($0.key) }.mapValues {
      [min($0.shape[0], 256)] + $0.shape.dropFirst()
    }
    let bound = try reporting { try graph.bound(graph.bindings(shapes)) }
    let numbers = bound.nodes.reduce(0.0) { $0 + Double($1.type.staticShape.flatMap(elementCount) ?? 0) }
    return numbers > 0x1p30 ? batch : 256
  }

  private func shapes(of count: Int) -> [String: [Int]] {
    test.tensors.filter { entry.takes($0.key) }.mapValues { [count] + $0.shape.dropFirst() }
  }

  /// Throws where the whole of the test rows does not fit into memory.
  private func checkMemory(_ graph: Graph, _ trainer: Trainer) throws(LTMError) {
    let sizes = try reporting { try graph.bindings(shapes(of: test.count)) }
    let settled = try Pipeline.inference(sizes, trainer.policy).run(graph)
    let bytes = try reporting { MemoryUse(settled, try buildPlan(settled)).ofRun }
    guard bytes > ResourceUsage.allowedBytes / 2 else { return }
    throw LTMError(
      "'\(entry.name)' on all \(test.count) test rows takes \(bytes) bytes, more than half of this machine's memory",
      notes: [
        "it is no mean and no sum over rows, so that parts of the rows do not give its value",
        "report what is a mean over rows, mse_loss and not its root say, or test on fewer rows",
      ])
  }

  /// The value over all rows, with the weights as they are now.
  func value() throws(LTMError) -> Double {
    try storage.refresh()
    var sum = 0.0
    for rows in parts {
      let inputs = test.batch(rows).filter { entry.takes($0.key) }
      let value = try entry(inputs).first?.tensor.doubles.first ?? .nan
      sum += combination == .mean ? value * Double(rows.count) : value
    }
    return combination == .mean ? sum / Double(test.count) : sum
  }
}
