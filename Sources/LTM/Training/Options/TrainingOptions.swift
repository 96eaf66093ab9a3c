import LTMFrontEnd
import LTMRuntime
import LTMSupport

/// How a trainer goes about training: what it validates on and when, when it stops, what it keeps. Whatever is `nil` is what the file's
/// `train` block says, under the same name with underscores (`val_split 0.1`), and else the default.
public struct TrainingOptions: Sendable {
  // MARK: Validation

  /// The fraction of the training rows that is kept for validation.
  public var valSplit: Double?
  /// How they are chosen: `random`, `stratified:KEY`, `group:KEY`, `time` or `time:KEY`.
  public var valSplitBy: String?
  /// Files with rows to validate on, as `FILE` or `NAME=FILE`.
  public var valData: [String]?
  /// Entries to report over the training rows too.
  public var reportTrain: [String]?
  /// Validate after so many steps, or a fraction of an epoch.
  public var valCheckInterval: Amount?
  /// Validate after every so many epochs: 1.
  public var checkValEveryNEpoch: Int?
  /// Batches of an epoch, at most.
  public var limitTrainBatches: Amount?
  /// Batches of a validation, at most.
  public var limitValBatches: Amount?
  /// Batches of each data set that are evaluated once before the first step: none.
  public var numSanityValSteps: Int?
  /// Train and validate on so many batches alone, the same ones in every epoch.
  public var overfitBatches: Amount?
  /// One batch of training and of validation, and nothing is written: whether it all works.
  public var fastDevRun: Bool?

  // MARK: Data

  /// Bytes of a row, where the data is a text that is read byte by byte; tokens, with a tokenizer.
  public var window: Int?
  /// How many bytes further the next row begins: one less than a row has.
  public var windowStride: Int?
  /// Places of a text in a row, where what the loss carries goes from batch to batch: truncated back-propagation through time.
  public var truncatedBpttSteps: Int?
  /// What becomes of an empty field of a `.csv`: `drop`, `mean` or `zero`; an error, where nothing is said.
  public var missing: String?
  /// What becomes of a text of a `.csv` that is no category that training saw: `drop`, `last`, `COLUMN:drop`, or several of them; an error, where
  /// nothing is said.
  public var unseen: String?
  /// A `tokenizer.json` by which texts are tokens: lines, columns of a `.csv`, or windows.
  public var tokenizer: String?
  /// The key of a weight for each row: how often it is drawn, as against others.
  public var sampleWeight: String?
  /// The key of a class for each row: each class is drawn equally often.
  public var balance: String?

  /// Threads that gather batches ahead of the step; each batch is gathered when it is needed, where nothing is said.
  public var loaderThreads: Int?
  /// Whether the rows that do not fill the last batch of an epoch are a smaller one: no.
  public var keepLastBatch: Bool?

  // MARK: Several ranks

  /// Whether a run gives the same bits on any number of ranks, with any number of threads and micro-batches: no.
  public var sameBits: Bool?
  /// Into how many parts the rows of an update are then cut: 8. Runs that are compared have the same number.
  public var batchParts: Int?

  /// What is divided among ranks, instead of being on each: nothing.
  public var shard: Sharding?

  // MARK: Several losses

  /// Whether several losses have one loss scale in common: no, each has its own.
  public var shareLossScale: Bool?

  // MARK: Stopping

  /// The metric that stopping and the best checkpoints go by: `val_loss`, `val_accuracy`, `train_loss`.
  public var monitor: String?
  /// Whether less or more of it is better; by its name, where that says so.
  public var monitorMode: MonitorMode?
  /// After so many validations in a row without a better value training ends.
  public var patience: Int?
  /// By how much a value must be better to count: 0.
  public var minDelta: Double?
  /// Seconds after which training ends, those of the run that is resumed included.
  public var maxTime: Double?
  /// Epochs before which neither patience nor time ends training.
  public var minEpochs: Int?
  /// Steps before which neither does.
  public var minSteps: Int?

  // MARK: Checkpoints

  /// A folder for checkpoints: `last.safetensors`, and the best ones.
  public var saveDir: String?
  /// How many of the best checkpoints are kept; -1 keeps all.
  public var saveTopK: Int?
  /// Save after every so many steps too.
  public var saveEveryNSteps: Int?
  /// Save after every so many seconds too.
  public var saveEvery: Double?
  /// What a best checkpoint is called: `{epoch}-{step}-{val_loss}`.
  public var saveName: String?

  // MARK: Logs

  /// What is written of steps and metrics: `jsonl`, `csv`, `tensorboard`.
  public var loggers: [LogFormat]?
  /// The folder of the logs.
  public var logDir: String?
  /// Log one step of so many: 1.
  public var logEveryNSteps: Int?
  /// After every so many steps the log for TensorBoard has a histogram of each weight and of its gradient: none.
  public var histograms: Int?

  /// Nothing is said.
  public init() {}

  /// Sets one of them by its name in a `train` block, as text.
  public mutating func set(_ name: String, _ text: String) throws(LTMError) {
    guard let field = Self.fields.first(where: { $0.name == name }) else {
      throw LTMError("the trainer has no option '\(name)'", notes: ["it has \(listed(Self.fields.map(\.name)))"])
    }
    guard field.set(&self, text) else {
      throw LTMError("'\(text)' is no value for \(name)", notes: ["it is \(field.form)"])
    }
  }

  /// What is wrong with a line of a `train` block.
  static func problem(_ name: String, _ text: String, at span: Span) -> Diagnostic? {
    do throws(LTMError) {
      var options = TrainingOptions()
      try options.set(name, text)
      return nil
    } catch {
      var problem = error.diagnostics.first
      problem?.span = span
      return problem
    }
  }

  /// These, and where they say nothing what others say.
  func over(_ others: TrainingOptions) -> TrainingOptions {
    var result = others
    for field in Self.fields { field.copy(self, &result) }
    return result
  }
}

extension TrainingOptions {
  /// One of the options: how it is read, and how it goes from one set of options to another.
  package struct Field: Sendable {
    /// As in a `train` block; the flag has hyphens.
    package let name: String
    /// What its values look like.
    package let form: String
    fileprivate let set: @Sendable (inout TrainingOptions, String) -> Bool
    fileprivate let copy: @Sendable (TrainingOptions, inout TrainingOptions) -> Void

    fileprivate init<Value>(
      _ name: String, _ path: WritableKeyPath<TrainingOptions, Value?> & Sendable, _ form: String,
      _ read: @escaping @Sendable (String) -> Value?
    ) {
      (self.name, self.form) = (name, form)
      set = { options, text in
        guard let value = read(text) else { return false }
        options[keyPath: path] = value
        return true
      }
      copy = { from, to in if let value = from[keyPath: path] { to[keyPath: path] = value } }
    }
  }

  /// All of them: one line each.
  package static let fields: [Field] = [
    Field("val_split", \.valSplit, "a fraction between 0 and 1, as 0.1") { between($0, 0, 1) },
    Field("val_split_by", \.valSplitBy, "random, stratified:KEY, group:KEY, time or time:KEY") {
      SplitRule($0) == nil ? nil : $0
    },
    Field("val_data", \.valData, "a file, NAME=FILE, or a list of such", names),
    Field("report_train", \.reportTrain, "an entry of the model, or a list of such", names),
    Field("val_check_interval", \.valCheckInterval, amount) { Amount($0) },
    Field("check_val_every_n_epoch", \.checkValEveryNEpoch, count, positive),
    Field("limit_train_batches", \.limitTrainBatches, amount) { Amount($0) },
    Field("limit_val_batches", \.limitValBatches, amount) { Amount($0) },
    Field("num_sanity_val_steps", \.numSanityValSteps, "a whole number of 0 or more", natural),
    Field("overfit_batches", \.overfitBatches, amount) { Amount($0) },
    Field("fast_dev_run", \.fastDevRun, "true or false") { Bool($0) },
    Field("window", \.window, count, positive),
    Field("window_stride", \.windowStride, count, positive),
    Field("truncated_bptt_steps", \.truncatedBpttSteps, count, positive),
    Field("missing", \.missing, "drop, mean or zero") { MissingRule(rawValue: $0) == nil ? nil : $0 },
    Field("unseen", \.unseen, "drop, last, COLUMN:drop, COLUMN:last, or a list of such") { text in
      var rules = CategoryRules()
      let inner = names(text)?.joined(separator: ",") ?? ""
      return rules.setUnseen(inner) ? inner : nil
    },
    Field("tokenizer", \.tokenizer, "a tokenizer.json") { $0.isEmpty ? nil : $0 },
    Field("sample_weight", \.sampleWeight, "a key of the data") { $0.isEmpty ? nil : $0 },
    Field("loader_threads", \.loaderThreads, count, positive),
    Field("keep_last_batch", \.keepLastBatch, "true or false") { Bool($0) },
    Field("balance", \.balance, "a key of the data") { $0.isEmpty ? nil : $0 },
    Field("same_bits", \.sameBits, "true or false") { Bool($0) },
    Field("shard", \.shard, "optimizer") { Sharding(rawValue: $0) },
    Field("batch_parts", \.batchParts, count, positive),
    Field("share_loss_scale", \.shareLossScale, "true or false") { Bool($0) },
    Field("monitor", \.monitor, "a metric, as val_loss") { $0.isEmpty ? nil : $0 },
    Field("monitor_mode", \.monitorMode, "min or max") { MonitorMode(rawValue: $0) },
    Field("patience", \.patience, count, positive),
    Field("min_delta", \.minDelta, "a number of 0 or more") { between($0, -.leastNonzeroMagnitude, .infinity) },
    Field("max_time", \.maxTime, "a time, as 90s, 15m, 1h30m or 00:12:00:00", duration),
    Field("min_epochs", \.minEpochs, count, positive),
    Field("min_steps", \.minSteps, count, positive),
    Field("save_dir", \.saveDir, "a folder") { $0.isEmpty ? nil : $0 },
    Field("save_top_k", \.saveTopK, "a whole number, -1 for all") { Int($0).flatMap { $0 >= -1 ? $0 : nil } },
    Field("save_every_n_steps", \.saveEveryNSteps, count, positive),
    Field("save_every", \.saveEvery, "a time, as 90s or 15m", duration),
    Field("save_name", \.saveName, "a name with {epoch}, {step} or {val_loss} in it") { $0.isEmpty ? nil : $0 },
    Field("logger", \.loggers, "jsonl, csv, tensorboard, or a list of such") { text in
      let formats = (names(text) ?? []).map { LogFormat(rawValue: $0) }
      return formats.contains(nil) || formats.isEmpty ? nil : formats.compactMap(\.self)
    },
    Field("log_dir", \.logDir, "a folder") { $0.isEmpty ? nil : $0 },
    Field("log_every_n_steps", \.logEveryNSteps, count, positive),
    Field("histograms", \.histograms, count, positive),
  ]

  /// The names that a `train` block takes.
  package static var lines: [String] { TrainSettings.options }

  private static let amount = "a whole number of 1 or more, or a fraction up to 1.0"
  private static let count = "a whole number of 1 or more"
}

@Sendable private func positive(_ text: String) -> Int? { Int(text).flatMap { $0 >= 1 ? $0 : nil } }

@Sendable private func natural(_ text: String) -> Int? { Int(text).flatMap { $0 >= 0 ? $0 : nil } }

private func between(_ text: String, _ low: Double, _ high: Double) -> Double? {
  Double(text).flatMap { $0 > low && $0 < high ? $0 : nil }
}

/// `a`, `a,b` or `[a, b]`.
@Sendable private func names(_ text: String) -> [String]? {
  let inner = text.hasPrefix("[") && text.hasSuffix("]") ? text.dropFirst().dropLast() : text[...]
  let parts = inner.split(separator: ",").map { $0.drop { $0 == " " } }.map(String.init)
  return parts.isEmpty || parts.contains("") ? nil : parts
}
