import ArgumentParser
import LTM

/// A flag of the trainer's that was given, under the name of its line in a `train` block.
struct GivenOption {
  let name: String
  let text: String
}

extension [GivenOption] {
  /// As the trainer takes them; what is wrong is named as the flag.
  func options() throws(LTMError) -> TrainingOptions {
    var options = TrainingOptions()
    for given in self {
      do {
        try options.set(given.name, given.text)
      } catch {
        throw LTMError(
          "'--\(given.name.replacing("_", with: "-")) \(given.text)' is not understood",
          notes: error.diagnostics.first?.notes ?? [])
      }
    }
    return options
  }
}

/// Those of some flags that were given.
func givenOptions(_ flags: [(String, String?)]) -> [GivenOption] {
  flags.compactMap { name, text in text.map { GivenOption(name: name, text: $0) } }
}

/// The flags that choose what is validated on, and when.
struct ValidationOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Keep that fraction of the training rows for validation.", valueName: "0.1"))
  var valSplit: String?
  @Option(
    help: ArgumentHelp(
      "How they are chosen: random, stratified:KEY, group:KEY, or the last by time or time:KEY. Default: random.",
      valueName: "rule"))
  var valSplitBy: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A file with rows to validate on; may be given several times.", valueName: "[name=]file"))
  var valData: [String] = []
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("An entry to report over the training rows too; may be given several times.", valueName: "name"))
  var reportTrain: [String] = []
  @Option(help: ArgumentHelp("Validate after so many steps, or that fraction of an epoch.", valueName: "100|0.25"))
  var valCheckInterval: String?
  @Option(
    name: .customLong("check-val-every-n-epoch"),
    help: ArgumentHelp("Validate after every so many epochs. Default: 1.", valueName: "number"))
  var checkValEveryNEpoch: String?
  @Option(help: ArgumentHelp("Batches of an epoch, or a fraction of them.", valueName: "10|0.1"))
  var limitTrainBatches: String?
  @Option(help: ArgumentHelp("Batches of a validation, or a fraction of them.", valueName: "10|0.1"))
  var limitValBatches: String?
  @Option(help: ArgumentHelp("Batches to evaluate before the first step. Default: 0.", valueName: "number"))
  var numSanityValSteps: String?
  @Option(help: ArgumentHelp("Train and validate on these batches alone.", valueName: "1|0.01"))
  var overfitBatches: String?
  @Flag(help: "One batch of everything, and nothing is written: does it all work?") var fastDevRun = false

  var given: [GivenOption] {
    givenOptions([
      ("val_split", valSplit), ("val_split_by", valSplitBy), ("val_data", list(valData)),
      ("report_train", list(reportTrain)), ("val_check_interval", valCheckInterval),
      ("check_val_every_n_epoch", checkValEveryNEpoch), ("limit_train_batches", limitTrainBatches),
      ("limit_val_batches", limitValBatches), ("num_sanity_val_steps", numSanityValSteps),
      ("overfit_batches", overfitBatches), ("fast_dev_run", fastDevRun ? "true" : nil),
    ])
  }
}

private func list(_ values: [String]) -> String? { values.isEmpty ? nil : values.joined(separator: ",") }

/// The flags that say how rows are read and drawn.
struct RowOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Read the data as text, so many bytes a row.", valueName: "129")) var window: String?
  @Option(help: ArgumentHelp("How many bytes further the next row begins. Default: a row less one.", valueName: "64"))
  var windowStride: String?
  @Option(
    help: ArgumentHelp("What becomes of an empty field of a .csv. Default: an error.", valueName: "drop|mean|zero"))
  var missing: String?
  @Option(
    help: ArgumentHelp(
      "What becomes of a text of a .csv that is no category that training saw. Default: an error.",
      valueName: "drop|last|column:drop"))
  var unseen: String?
  @Option(help: ArgumentHelp("Draw rows as often as this key of theirs says.", valueName: "key"))
  var sampleWeight: String?
  @Option(help: ArgumentHelp("Draw each class of this key equally often.", valueName: "key")) var balance: String?

  @Option(
    help: ArgumentHelp(
      "Read texts as tokens by this tokenizer.json: the lines of a file, a column of a .csv, or rows of --window tokens.",
      valueName: "file"))
  var tokenizer: String?

  @Option(help: ArgumentHelp("Threads that gather batches ahead of the step. Default: none.", valueName: "number"))
  var loaderThreads: String?
  @Flag(help: "The rows that do not fill an epoch's last batch are a smaller one.") var keepLastBatch = false

  @Option(
    help: ArgumentHelp(
      "Read the data as streams of text, so many places a batch; what the loss carries goes from batch to batch.",
      valueName: "64"))
  var truncatedBpttSteps: String?
  @Flag(help: "Several losses have one loss scale in common. Default: each has its own.") var shareLossScale = false

  var given: [GivenOption] {
    givenOptions([
      ("truncated_bptt_steps", truncatedBpttSteps), ("share_loss_scale", shareLossScale ? "true" : nil),
      ("loader_threads", loaderThreads),
      ("keep_last_batch", keepLastBatch ? "true" : nil), ("window", window),
      ("window_stride", windowStride),
      ("missing", missing), ("unseen", unseen), ("tokenizer", tokenizer), ("sample_weight", sampleWeight),
      ("balance", balance),
    ])
  }
}

/// The flags that say when training ends before its last step.
struct StoppingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The metric that stopping and the best checkpoints go by.", valueName: "val_loss"))
  var monitor: String?
  @Option(help: ArgumentHelp("Whether less or more of it is better. Default: by its name.", valueName: "min|max"))
  var monitorMode: String?
  @Option(help: ArgumentHelp("End after so many validations in a row that are not better.", valueName: "number"))
  var patience: String?
  @Option(help: ArgumentHelp("By how much a better value must differ. Default: 0.", valueName: "number"))
  var minDelta: String?
  @Option(help: ArgumentHelp("End after that time, resumed runs included.", valueName: "90s|15m|2h"))
  var maxTime: String?
  @Option(help: ArgumentHelp("Neither patience nor time ends training before.", valueName: "number"))
  var minEpochs: String?
  @Option(help: ArgumentHelp("Neither patience nor time ends training before.", valueName: "number"))
  var minSteps: String?

  var given: [GivenOption] {
    givenOptions([
      ("monitor", monitor), ("monitor_mode", monitorMode), ("patience", patience), ("min_delta", minDelta),
      ("max_time", maxTime), ("min_epochs", minEpochs), ("min_steps", minSteps),
    ])
  }
}

/// The flags that say which checkpoints are kept.
struct CheckpointOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A folder for last.safetensors and the best checkpoints.", valueName: "folder"))
  var saveDir: String?
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("How many of the best are kept; -1 keeps all. Default: 1.", valueName: "number"))
  var saveTopK: String?
  @Option(
    name: .customLong("save-every-n-steps"),
    help: ArgumentHelp("Save after every so many steps too.", valueName: "number"))
  var saveEveryNSteps: String?
  @Option(help: ArgumentHelp("Save after that time, again and again.", valueName: "90s|15m"))
  var saveEvery: String?
  @Option(
    help: ArgumentHelp("What a best checkpoint is called. Default: {epoch}-{step}.", valueName: "'{step}-{val_loss}'"))
  var saveName: String?

  var given: [GivenOption] {
    givenOptions([
      ("save_dir", saveDir), ("save_top_k", saveTopK), ("save_every_n_steps", saveEveryNSteps),
      ("save_every", saveEvery), ("save_name", saveName),
    ])
  }
}

/// The flags that say what is written of steps and metrics.
struct LogOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("What to write; may be given several times.", valueName: "jsonl|csv|tensorboard"))
  var logger: [String] = []
  @Option(help: ArgumentHelp("The folder of the logs. Default: that of --save-dir.", valueName: "folder"))
  var logDir: String?
  @Option(
    name: .customLong("log-every-n-steps"),
    help: ArgumentHelp("Log one step of so many. Default: 1.", valueName: "number"))
  var logEveryNSteps: String?
  @Option(
    help: ArgumentHelp(
      "After every so many steps a histogram of each weight and gradient, for TensorBoard.", valueName: "number"))
  var histograms: String?

  var given: [GivenOption] {
    givenOptions([
      ("logger", list(logger)), ("log_dir", logDir), ("log_every_n_steps", logEveryNSteps), ("histograms", histograms),
    ])
  }
}
