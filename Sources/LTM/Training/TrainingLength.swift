import LTMFrontEnd
import LTMRuntime
import LTMSupport

/// How long a run is: what comes from outside wins over what the file says, whichever of epochs and steps it is.
struct TrainingLength {
  let epochs: Int?
  let steps: Int?

  init(_ trainer: Trainer, _ model: Model, _ options: TrainingOptions) {
    let settings = model.settings
    let lines = model.linesGiven
    if options.fastDevRun == true {
      (epochs, steps) = (1, 1)
    } else if trainer.maxEpochs != nil || trainer.maxSteps != nil {
      (epochs, steps) = (trainer.maxEpochs, trainer.maxSteps)
    } else if lines.contains("epochs") || lines.contains("steps") {
      epochs = lines.contains("epochs") ? settings?.epochs?.value : nil
      steps = lines.contains("steps") ? settings?.steps?.value : nil
    } else {
      (epochs, steps) = (settings?.epochs?.value, settings?.steps?.value)
    }
  }

  /// The number of step attempts in all, and what it comes from.
  func attempts(_ batches: BatchWindows) throws(LTMError) -> (count: Int, text: String) {
    if let steps, steps < 1 { throw LTMError("\(steps) steps: at least 1 is needed") }
    let passes = epochs ?? (steps == nil ? 1 : nil)
    if let passes, passes < 1 { throw LTMError("\(passes) epochs: at least 1 is needed") }
    let inPasses = passes.map { $0.multipliedReportingOverflow(by: batches.batchesPerEpoch) }
    let ofPasses = inPasses.map { $0.overflow ? Int.max : $0.partialValue } ?? Int.max
    let total = min(ofPasses, steps ?? Int.max)
    guard total <= Int(Int32.max) else { throw LTMError("\(total) steps are more than the step counter holds") }
    guard let passes, ofPasses == total else { return (total, "\(total) steps") }
    return (total, "\(passes) \(passes == 1 ? "epoch" : "epochs") of \(batches.batchesPerEpoch) steps")
  }
}
