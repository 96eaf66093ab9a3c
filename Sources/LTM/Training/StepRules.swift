import LTMFrontEnd
import LTMIR
import LTMSupport

extension Model {
  /// The optimizer of the `train` block, with another learning rate where one is given.
  func optimizer(learningRate: Double? = nil) throws(LTMError) -> OptimizerInstance {
    let first = settings.flatMap { all in all.losses.first.map { all.settings(of: $0) } } ?? settings
    var call = try optimizerCall(first)
    call.learningRate = learningRate
    return try reporting { [call] in try file.optimizer(call) }
  }

  /// The learning rate of a loss: that of its own optimizer, else the one given.
  func learningRate(of loss: LossSettings, given: Double) throws(LTMError) -> Double {
    guard let call = loss.optimizer else { return given }
    return try reporting { try file.optimizer(call).learningRate }
  }

  private func optimizerCall(_ settings: TrainSettings?) throws(LTMError) -> RuleCall {
    guard let call = settings?.optimizer else {
      throw LTMError("\(path) names no optimizer", notes: ["add a line 'optimizer AdamW(lr: 1e-3)' to the train block"])
    }
    return call
  }

  /// What a training step does with the gradients, as the `train` block says.
  ///
  /// - Parameter loss: which of several losses it is the step of; the first where nothing is said.
  func stepRules(of loss: LossSettings? = nil) throws(LTMError) -> StepRules {
    guard let all = settings else { throw LTMError("\(path) has no train block") }
    let settings = (loss ?? all.losses.first).map { all.settings(of: $0) } ?? all
    let call = try optimizerCall(settings)
    var rules = try reporting { try file.stepRules(call, settings, of: program) }
    rules.givesGradients = givesGradients
    rules.tracksNorm = tracksGradientNorm || rules.clip?.measure != nil
    return rules
  }
}
