import LTMGraphPasses
import LTMIR
import LTMRuntime
import LTMSupport

/// Which rows of the data something is done with.
public enum DataSplit: String, Hashable, Sendable, CaseIterable {
  /// Those to train on, those to validate on, those to test on.
  case train, val, test
}

extension Trainer {
  /// What is reported, over rows of the data with the weights as they are: over the test rows, or where there are none those for validation, or
  /// all.
  public func evaluate(
    _ model: Model, data: TrainingData? = nil, on split: DataSplit? = nil
  ) throws(LTMError) -> [ReportValue] {
    let options = try settledOptions(model)
    var model = model
    try model.addReports(for: options)
    let names = model.reportNames.isEmpty ? [model.settings?.minimize?.value].compactMap(\.self) : model.reportNames
    guard !names.isEmpty else {
      throw LTMError("nothing is reported", notes: ["name an entry, as in --report accuracy"])
    }
    let (data, batch) = try rows(model, data, entries: names, options)
    let storage = SessionStorage(contents: WeightSource(model).contents)
    var values: [ReportValue] = []
    for (split, dataset, rows) in try data.chosen(split) {
      for name in names {
        let value = ReportValue(name: name, split: split.rawValue, dataset: dataset)
        values.append(try Evaluation(value, model, self, rows, batch: batch, in: storage).evaluate())
      }
    }
    return values
  }

  /// What an entry gives for each row of the data, computed batch by batch.
  ///
  /// - Parameter buckets: bounds that sizes are filled up to, so that other data compiles nothing new.
  public func predict(
    _ model: Model, entry name: String = "forward", data: TrainingData? = nil, on split: DataSplit? = nil,
    buckets: Buckets? = nil
  ) throws(LTMError) -> [(name: String, tensor: Tensor)] {
    let graph = try model.graph(name, training: false)
    let roles = RowAnalysis(graph).roles
    for output in graph.outputs where output.updates == nil && roles[output.value.index] != .rows(axis: 0) {
      throw LTMError(
        "'\(name)' does not give a result for each row", notes: ["'ltm run' gives what it computes of all rows at once"]
      )
    }
    let options = try settledOptions(model)
    let (data, batch) = try rows(model, data, entries: [name], options)
    let entry = try CompiledEntry(model, name, policy, execution, buckets: buckets)
    var parts: [(name: String, tensors: [Tensor])] = []
    for (_, _, rows) in try data.chosen(split) {
      for batch in rows.evaluationBatches(max(batch, 256)) {
        let inputs = try reporting { try rows.batch(batch) }
        let results = try entry(inputs.filter { entry.takes($0.key) })
        if parts.isEmpty { parts = results.map { ($0.name, []) } }
        for (index, result) in results.enumerated() { parts[index].tensors.append(result.tensor) }
      }
    }
    return try parts.map { (name, tensors) throws(LTMError) in (name, try joined(tensors, name)) }
  }

  private func rows(
    _ model: Model, _ data: TrainingData?, entries: [String], _ options: TrainingOptions
  ) throws(LTMError) -> (RunData, batch: Int) {
    let fields = try DataFields(self, model, entries: entries, options)
    let (dataset, others) = try reporting {
      let dataset = try fields.dataset(data)
      return (dataset, try fields.others(than: dataset))
    }
    let batch = batchSize ?? model.settings?.batch?.value ?? 256
    return (try RunData(dataset, others, options, batch: batch, seed: seed ?? model.seed), batch)
  }
}

extension RunData {
  /// The rows of a split, or of the first that there is of test, validation and all.
  fileprivate func chosen(
    _ split: DataSplit?
  ) throws(LTMError) -> [(split: DataSplit, dataset: String?, rows: Dataset.Split)] {
    switch split ?? (test != nil ? .test : !validation.isEmpty ? .val : .train) {
    case .train: return [(.train, nil, train)]
    case .val where !validation.isEmpty: return validation.map { (.val, $0.name, $0.rows) }
    case .test where test != nil: return test.map { [(.test, nil, $0)] } ?? []
    case .val, .test:
      throw LTMError(
        "'\(path)' has no such rows",
        notes: ["choose others: --on train, val or test", "--val-split 0.1 makes some for val"])
    }
  }
}

/// Rows one after the other.
private func joined(_ parts: [Tensor], _ name: String) throws(LTMError) -> Tensor {
  guard let first = parts.first, parts.count > 1 else {
    if let first = parts.first { return first }
    throw LTMError("'\(name)' has no rows")
  }
  let shape = [parts.reduce(0) { $0 + $1.shape[0] }] + first.shape.dropFirst()
  guard let tensor = Tensor(dtype: first.dtype, shape: shape, bytes: parts.flatMap(\.bytes)) else {
    throw LTMError("'\(name)' has too many rows for one tensor")
  }
  return tensor
}
