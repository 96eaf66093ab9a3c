import LTMFrontEnd
import LTMSupport

extension Trainer {
  /// What is said of the run from outside, over what the file says, as it counts.
  func settledOptions(_ model: Model) throws(LTMError) -> TrainingOptions {
    var written = TrainingOptions()
    for (name, setting) in (model.settings?.options ?? [:]).sorted(by: { $0.key < $1.key }) {
      if let problem = TrainingOptions.problem(name, setting.value, at: setting.span) { throw LTMError(problem) }
      try written.set(name, setting.value)
    }
    written.valData = written.valData?.map { text in
      let (name, path) = DataFields.named(text)
      let resolved = resolvePath(path, relativeTo: model.path)
      return name.map { "\($0)=\(resolved)" } ?? resolved
    }
    var settled = options.over(written)
    if settled.fastDevRun == true { settled.keepOneBatch() }
    return settled
  }
}

extension TrainingOptions {
  /// One batch of everything, and nothing that lasts.
  fileprivate mutating func keepOneBatch() {
    (limitTrainBatches, limitValBatches, numSanityValSteps) = (1, 1, nil)
    (patience, saveDir, saveTopK, saveName) = (nil, nil, nil, nil)
    (loggers, logDir, histograms) = (nil, nil, nil)
    (saveEveryNSteps, saveEvery, minEpochs, minSteps, maxTime) = (nil, nil, nil, nil, nil)
  }
}

extension Model {
  /// Reports what the options ask for beside what the file reports: the entry that is monitored; the loss, where rows are kept for validation
  /// and nothing else is reported.
  mutating func addReports(for options: TrainingOptions) throws(LTMError) {
    if let key = options.monitor, key.hasPrefix("val_") {
      let name = String(key.dropFirst(4).prefix { $0 != "/" })
      if entries.contains(name), !reportNames.contains(name) { try setReports(reportNames + [name]) }
    }
    let keepsRows = options.valSplit != nil || options.valData != nil || options.overfitBatches != nil
    if keepsRows, reportNames.isEmpty, let loss = settings?.minimize?.value { try setReports([loss]) }
  }
}
