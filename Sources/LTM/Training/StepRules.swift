import LTMFrontEnd
import LTMIR
import LTMSupport

extension Model {
  /// The optimizer of the `train` block, with another learning rate where one is given.
  func optimizer(learningRate: Double? = nil) throws(LTMError) -> OptimizerInstance {
    var call = try optimizerCall()
    call.learningRate = learningRate
    return try reporting { [call] in try file.optimizer(call) }
  }

  private func optimizerCall() throws(LTMError) -> RuleCall {
    guard let call = settings?.optimizer else {
      throw LTMError("\(path) names no optimizer", notes: ["add a line 'optimizer AdamW(lr: 1e-3)' to the train block"])
    }
    return call
  }

  /// What a training step does with the gradients, as the `train` block says.
  func stepRules() throws(LTMError) -> StepRules {
    let call = try optimizerCall()
    guard let settings else { throw LTMError("\(path) has no train block") }
    var rules = try reporting { try file.stepRules(call, settings, of: program) }
    rules.tracksNorm = tracksGradientNorm || rules.clip?.measure != nil
    return rules
  }
}
