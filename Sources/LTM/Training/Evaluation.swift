import LTMIR
import LTMKernelPasses
import LTMRuntime
import LTMSupport

/// An entry that is reported, over all rows of a split, put together from batches where it can be.
struct Evaluation {
  /// What the value is called: `val_accuracy`.
  let value: ReportValue
  /// What is run on a batch; `nil` where the value is made of arguments alone.
  let entry: CompiledEntry?
  private let graph: Graph
  private let combination: RowParts?
  private let split: Dataset.Split
  private let batches: [ArraySlice<Int32>]
  private let storage: SessionStorage
  /// The other processes, which evaluate other batches.
  private let communicator: Communicator?
  /// The dtype of floats between the parts and in what follows.
  private static let exact = DType.f64

  /// - Parameters:
  ///   - value: the name of the entry and of the split.
  ///   - storage: what the session that trains lets be read.
  init(
    _ value: ReportValue, _ model: Model, _ trainer: Trainer, _ split: Dataset.Split, batch: Int,
    in storage: SessionStorage
  ) throws(LTMError) {
    graph = try model.graph(value.name, training: false)
    combination = RowParts(graph)
    let runs = combination.map { $0.values.contains { $0.argument == nil } } ?? true
    entry =
      runs
      ? try CompiledEntry(
        model, value.name, trainer.policy, trainer.execution, in: storage, graph: combination?.partial) : nil
    (self.value, self.storage, self.split) = (value, storage, split)
    communicator = trainer.execution.communicator
    batches = split.evaluationBatches(
      combination == nil ? split.count : try Self.rows(of: graph, split.shapes, batch: batch))
    if combination == nil { try checkMemory(trainer) }
    // Compiled here, for the sizes of its batches: no epoch's time should hold it.
    for count in Set(batches.map(\.count)) { try entry?.prepare(shapes(of: count)) }
  }

  /// How many rows are evaluated at once: 256, or a batch where that is more, or where 256 rows make so many numbers that
  /// evaluation could take more memory than training.
  private static func rows(of graph: Graph, _ all: [String: [Int]], batch: Int) throws(LTMError) -> Int {
    if batch >= 256 { return batch }
    let shapes = graph.shapes(of: all) { min($0, 256) }
    let bound = try reporting { try graph.bound(graph.bindings(shapes)) }
    let numbers = bound.nodes.reduce(0.0) { $0 + Double($1.type.staticShape.flatMap(elementCount) ?? 0) }
    return numbers > 0x1p30 ? batch : 256
  }

  private func shapes(of count: Int) -> [String: [Int]] { graph.shapes(of: split.shapes) { _ in count } }

  /// Throws where the whole of the rows does not fit into memory.
  private func checkMemory(_ trainer: Trainer) throws(LTMError) {
    let sizes = try reporting { try graph.bindings(shapes(of: split.count)) }
    let settled = try Pipeline.inference(sizes, trainer.policy).run(graph)
    let bytes = try reporting { MemoryUse(settled, try buildPlan(settled)).ofRun }
    guard bytes > ResourceUsage.allowedBytes / 2 else { return }
    throw LTMError(
      "'\(value.name)' on all \(split.count) rows takes \(bytes) bytes, more than half of this machine's memory",
      notes: [
        "what the model computes mixes rows, so that parts of them do not give its value",
        "report what depends on one row at a time, up to a sum, a mean or an order, or fewer rows",
      ])
  }

  /// The value over all rows, with the weights as they are now.
  ///
  /// - Parameter limit: how many batches are looked at, at most.
  func evaluate(limit: Int = .max) throws(LTMError) -> ReportValue {
    try storage.refresh()
    guard let combination else { return value.with(try run(batch(batches[0]))[0].doubles.first ?? .nan) }
    var merged = combination.values.map { MergedValue($0.merge) }
    let all = try communicator.map { (ranks) throws(LTMError) -> [[Tensor]] in try results(limit, ranks) }
    for (number, rows) in batches.prefix(limit).enumerated() {
      let inputs = try batch(rows)
      var results = if let all { all[number] } else { try run(inputs) }
      for (index, value) in combination.values.enumerated() {
        let tensor = value.argument.map { inputs[$0] } ?? (results.isEmpty ? nil : results.removeFirst())
        if let tensor { merged[index].add(tensor, rows: rows.count) }
      }
    }
    return value.with(try finish(combination, merged, rows: batches.prefix(limit).reduce(0) { $0 + $1.count }))
  }

  private func batch(_ rows: ArraySlice<Int32>) throws(LTMError) -> [String: Tensor] {
    try reporting { try split.batch(rows) }
  }

  private func run(_ inputs: [String: Tensor]) throws(LTMError) -> [Tensor] {
    guard let entry else { return [] }
    return try entry(inputs.filter { entry.takes($0.key) }).map(\.tensor)
  }

  /// What each batch gives, computed by one rank each and the same on all: merged in the order of the batches, they make what
  /// one process makes of them.
  private func results(_ limit: Int, _ ranks: Communicator) throws(LTMError) -> [[Tensor]] {
    let batches = batches.prefix(limit)
    guard entry != nil else { return batches.map { _ in [] } }
    var own: [[Tensor]] = []
    for (number, rows) in batches.enumerated() where number % ranks.count == ranks.rank {
      own.append(try run(batch(rows)))
    }
    let all = try ranks.gather(own, "the evaluation of '\(value.name)'")
    return batches.indices.map { all[($0 - batches.startIndex) % ranks.count][($0 - batches.startIndex) / ranks.count] }
  }

  /// What follows once the values of all rows are there, in f64.
  private func finish(_ parts: RowParts, _ merged: [MergedValue], rows: Int) throws(LTMError) -> Double {
    var inputs: [String: Tensor] = [:]
    for (value, merged) in zip(parts.values, merged) {
      guard let input = parts.whole.input(value.name) else { continue }
      let dtype = parts.whole[input.value].type.dtype
      inputs[value.name] = merged.value(as: dtype.isFloating ? Self.exact : dtype)
    }
    let (graph, given) = (graph, inputs)
    let shapes = shapes(of: rows)
    let result = try reporting {
      try parts.whole.bound(graph.bindings(shapes)).evaluate(given)[RowParts.result]?.data.first
    }
    return result ?? .nan
  }
}

extension Graph {
  /// The shapes of the arguments among some, with another number of rows.
  fileprivate func shapes(of all: [String: [Int]], _ rows: (Int) -> Int) -> [String: [Int]] {
    let arguments = Set(inputs.filter { $0.role == .argument }.map(\.name))
    return all.filter { arguments.contains($0.key) }.mapValues { [rows($0[0])] + $0.dropFirst() }
  }
}
