import LTMFrontEnd
import LTMIR
import LTMRuntime
import LTMSupport

/// The rows of a run by what they are for.
struct RunData {
  /// What messages call where the training rows came from.
  let path: String
  var train: Dataset.Split
  /// What is validated on, in order; the first set has no name unless all have one.
  var validation: [(name: String?, rows: Dataset.Split)]
  var test: Dataset.Split?
  /// Whether the test rows are validated on, for want of others.
  let usesTestRows: Bool
  /// How often each training row is drawn, as against others; `nil` where each comes once.
  private(set) var weights: [Double]?

  /// - Parameter others: the sets that are named apart.
  init(
    _ dataset: Dataset, _ others: [(name: String?, dataset: Dataset)], _ options: TrainingOptions, batch: Int,
    seed: UInt64
  ) throws(LTMError) {
    let path = dataset.path
    self.path = path
    (train, test) = (dataset.train, dataset.test)
    validation = dataset.validation.map { [(nil, $0)] } ?? []
    if let fraction = options.valSplit {
      guard validation.isEmpty else {
        throw LTMError(
          "'\(path)' has rows for validation, and val_split asks for others",
          notes: ["leave out --val-split, or the file's validation rows"])
      }
      let (train, rule) = (train, options.valSplitBy.flatMap { SplitRule($0) } ?? .random)
      let values = try rule.key.map { (key) throws(LTMError) in try Self.values(of: key, in: train, path) }
      let parts = try reporting { try train.split(fraction, rule, values, seed: seed) }
      self.train = parts.train
      validation = [(nil, parts.validation)]
    }
    validation += others.map { ($0.name, $0.dataset.validation ?? $0.dataset.test ?? $0.dataset.train) }
    usesTestRows = validation.isEmpty && dataset.test != nil && options.overfitBatches == nil
    if usesTestRows { validation = dataset.test.map { [(nil, $0)] } ?? [] }
    if let amount = options.overfitBatches {
      let batches = amount.of(max(train.count / max(batch, 1), 1))
      train = train.first(batches * batch)
      validation = [(nil, train)]
    }
    if let amount = options.limitValBatches {
      for index in validation.indices {
        let all = (validation[index].rows.count + batch - 1) / max(batch, 1)
        validation[index].rows = validation[index].rows.first(amount.of(all) * batch)
      }
    }
    weights = try Self.weights(options, train, path)
  }

  private static func weights(
    _ options: TrainingOptions, _ train: Dataset.Split, _ path: String
  ) throws(LTMError) -> [Double]? {
    if let key = options.sampleWeight {
      guard options.balance == nil else {
        throw LTMError("sample_weight and balance both say how often rows are drawn", notes: ["leave one of them out"])
      }
      let weights = try values(of: key, in: train, path)
      guard weights.allSatisfy({ $0 >= 0 && $0.isFinite }), weights.contains(where: { $0 > 0 }) else {
        throw LTMError("'\(key)' of '\(path)' holds weights below 0, or none above it")
      }
      return weights
    }
    guard let key = options.balance else { return nil }
    let classes = try values(of: key, in: train, path)
    let counts = Dictionary(classes.map { ($0, 1.0) }, uniquingKeysWith: +)
    return classes.map { 1 / (counts[$0] ?? 1) }
  }

  /// The values of a key, one for each row.
  private static func values(
    of key: String, in split: Dataset.Split, _ path: String
  ) throws(LTMError) -> [Double] {
    guard let tensor = split.tensors[splitKey(key)] ?? split.tensors[key], tensor.shape.count == 1 else {
      throw LTMError(
        "'\(key)' of '\(path)' is no single number for each row",
        notes: ["the trainer reads a tensor of the shape [rows] for it"])
    }
    let all = tensor.doubles
    return split.rows?.map { all[Int($0)] } ?? all
  }

  /// The name of a tensor that the trainer reads, and no entry.
  static func splitKey(_ key: String) -> String { "split:\(key)" }

  /// The same rows in the dtypes that a step takes them in.
  func converted(_ dtype: (String) -> DType?) throws(LTMError) -> RunData {
    var result = self
    func convert(_ split: Dataset.Split) throws(LTMError) -> Dataset.Split {
      try reporting {
        try Dataset(path: path, train: split, validation: nil, test: nil).converted(dtype).train
      }
    }
    result.train = try convert(train)
    result.test = try test.map { (split) throws(LTMError) in try convert(split) }
    result.validation = try validation.map { (name, rows) throws(LTMError) in (name, try convert(rows)) }
    return result
  }

  /// All rows that something reads.
  var splits: [Dataset.Split] { [train] + validation.map(\.rows) + [test].compactMap(\.self) }
}

extension Dataset.Split {
  /// The first rows, at most so many.
  fileprivate func first(_ rows: Int) -> Dataset.Split {
    rows >= count ? self : selecting((0..<Int32(clamping: rows)).map { $0 })
  }
}
