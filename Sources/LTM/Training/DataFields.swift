import LTMFrontEnd
import LTMIR
import LTMRuntime
import LTMSupport

/// Which tensors of the data files a run reads, and for which parameters of its entries.
struct DataFields {
  private let path: String?
  private let fields: [DataField]
  private let options: TrainingOptions
  /// What arrays in memory are read for: of the entries' arguments those that are given.
  private let arguments: [DataField]
  /// The numbers of categories that the model was trained with; `nil` where they are numbered anew.
  var categories: [String: [String]]?
  /// What tokens may be.
  private let limits: [IndexLimit]
  /// Whether they are for training: how else a model is used, its train block need not say.
  private let isTraining: Bool

  /// For training: what the loss and the reports take.
  init(_ trainer: Trainer, _ model: Model, _ losses: [Graph], _ options: TrainingOptions) throws(LTMError) {
    let reported = model.reportNames + (options.reportTrain ?? [])
    var readers = losses
    for name in reported { readers.append(try model.graph(name, training: false)) }
    let parameters = try Self.parameters(model, options.reportTrain ?? [])
    try self.init(trainer, model, readers, parameters, options, given: losses)
  }

  /// For what some entries take, in evaluation.
  init(
    _ trainer: Trainer, _ model: Model, entries: [String], _ options: TrainingOptions
  ) throws(LTMError) {
    var readers: [Graph] = []
    for name in entries { readers.append(try model.graph(name, training: false)) }
    var parameters: [String] = []
    for input in readers.flatMap(\.inputs) where input.role == .argument && !parameters.contains(input.name) {
      parameters.append(input.name)
    }
    try self.init(trainer, model, readers, parameters, options)
  }

  private init(
    _ trainer: Trainer, _ model: Model, _ readers: [Graph], _ parameters: [String], _ options: TrainingOptions,
    given: [Graph]? = nil
  ) throws(LTMError) {
    self.options = options
    isTraining = given != nil
    categories = model.categories
    path = trainer.dataPath ?? model.settings?.data?.value
    let full = trainer.policy.full
    func dtype(_ parameter: String) -> DType? {
      let dtypes = readers.compactMap { reader in reader.input(parameter).map { reader[$0.value].type.dtype } }
      return dtypes.first.map { $0 == .float ? full : $0 }
    }
    func row(_ parameter: String) -> [Int?]? {
      readers.compactMap { reader in
        reader.input(parameter).map { reader[$0.value].type.shape.dropFirst().map(\.constant) }
      }.first
    }
    var fields = try Self.keys(trainer, model, parameters).map {
      DataField(parameter: $0, key: $1, dtype: dtype($0), row: row($0))
    }
    limits = readers.flatMap(\.indexLimits)
    var names: [String] = []
    let carried = given == nil ? [] : (model.settings?.losses ?? []).flatMap { model.program.carried($0.entry.value) }
    for input in (given ?? Array(readers.prefix(1))).flatMap(\.inputs)
    where input.role == .argument && !names.contains(input.name) && !carried.contains(input.name) {
      names.append(input.name)
    }
    arguments = names.map { DataField(parameter: $0, key: $0, dtype: dtype($0)) }
    for key in options.rowKeys where !fields.contains(where: { $0.parameter == key }) {
      fields.append(DataField(parameter: RunData.splitKey(key), key: key, dtype: nil))
    }
    self.fields = fields
  }

  /// The rows, by parameter. Undecided floats come in the run's full precision.
  func dataset(_ data: TrainingData?) throws -> Dataset {
    if let data {
      let extra = fields.filter { $0.parameter.hasPrefix(RunData.splitKey("")) }
      var train = data.train
      for field in extra { train[field.parameter] = data.train[field.key] }
      let name = "the data given"
      let own = try Dataset(name: name, train: train, test: [:], fields: arguments + extra)
      let all = try Dataset(name: name, train: train, validation: data.validation, test: data.test, fields: arguments)
      return Dataset(path: name, train: own.train, validation: all.validation, test: all.test)
    }
    guard let path else {
      throw LTMError("no data is given", notes: ["name a file with --data, or in the train block's 'data' line"])
    }
    if isTraining { try options.check(kindOf: path) }
    return try Dataset(files: path, fields: fields, reading: try reading(categories))
  }

  /// How files are read: by known numbers of categories, and with the tokenizer, which has no more tokens than the model.
  private func reading(_ categories: [String: [String]]?) throws -> DataReading {
    var reading = options.reading
    reading.categoryRules.known = categories
    guard let path = options.tokenizer else { return reading }
    let text = try TextReading(path: path)
    try text.check(limits.filter { limit in fields.contains { $0.parameter == limit.input && $0.row?.count == 1 } })
    reading.text = text
    return reading
  }

  /// The sets for validation that are named apart, their categories numbered as in the one to train on.
  func others(than dataset: Dataset) throws -> [(name: String?, dataset: Dataset)] {
    let places = (options.valData ?? []).map(Self.named)
    let fields = fields.filter { !$0.parameter.hasPrefix(RunData.splitKey("")) }
    let reading = places.isEmpty ? options.reading : try reading(dataset.categories ?? categories)
    return try places.map { ($0.name, try Dataset(files: $0.path, fields: fields, reading: reading)) }
  }

  /// `FILE` or `NAME=FILE`.
  static func named(_ text: String) -> (name: String?, path: String) {
    let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
    return parts.count == 2 && !parts[0].contains("/") ? (parts[0], parts[1]) : (nil, text)
  }

  /// The parameters of what is minimized and reported, and of other entries.
  private static func parameters(_ model: Model, _ others: [String]) throws(LTMError) -> [String] {
    guard var settings = model.settings else { return [] }
    let place = settings.span
    settings.reports += others.map { TrainSettings.Setting(value: $0, span: place) }
    return model.program.dataParameters(of: settings)
  }

  /// For each parameter its key in the data: its own name where nothing says another.
  private static func keys(
    _ trainer: Trainer, _ model: Model, _ parameters: [String]
  ) throws(LTMError) -> [(parameter: String, key: String)] {
    if let unknown = trainer.dataFields.keys.sorted().first(where: { !parameters.contains($0) }) {
      throw LTMError(
        "no entry that is trained or reported has a parameter '\(unknown)'",
        notes: ["they have \(parameters.joined(separator: ", "))"])
    }
    let fields = model.settings?.fields ?? []
    let written = Dictionary(fields.map { ($0.parameter, $0.key) }, uniquingKeysWith: { first, _ in first })
    return parameters.map { ($0, trainer.dataFields[$0] ?? written[$0] ?? $0) }
  }
}

extension TrainingOptions {
  /// The keys of what is read of each row for the trainer itself.
  var rowKeys: [String] {
    let rule = valSplit == nil ? nil : valSplitBy.flatMap { SplitRule($0) }
    var keys: [String] = []
    for key in [rule?.key, sampleWeight, balance].compactMap(\.self) where !keys.contains(key) { keys.append(key) }
    return keys
  }

  /// Places of a text in a row of so many steps: one more, for what is to be told.
  static func rowLength(steps: Int) -> Int { min(steps, .max - 1) + 1 }

  /// How data files are read.
  var reading: DataReading {
    var reading = DataReading(
      window: window ?? truncatedBpttSteps.map(Self.rowLength), windowStride: windowStride,
      missing: missing.flatMap { MissingRule(rawValue: $0) })
    let classes = rowKeys.filter { $0 != sampleWeight && valSplitBy != "time:\($0)" }
    reading.categories = Set(classes)
    if let unseen { _ = reading.categoryRules.setUnseen(unseen) }
    return reading
  }
}
