import LTMIR
import LTMSupport

/// The scalars of a step, by the name of their input.
package enum StepControl: String, Sendable, CaseIterable {
  /// f32: what the gradient is scaled by. Absent where scaling is off.
  case lossScale = "control/loss_scale"
  /// i32: good steps since the scale moved. Only a dynamic scale has it.
  case goodSteps = "control/good_steps"
  /// i32: updates made; the schedule and bias corrections read it.
  case step = "control/step"
  /// i32: tries made, skipped ones included; random numbers and the order of data follow it.
  case attempt = "control/attempt"
  /// i32[4]: the seed's words, given by the host. Only a step that draws random numbers has it.
  case seed = "control/seed"
  /// i32: skips in a row with the scale at its floor.
  case skips = "control/skips"
  /// i32: how many of the micro-batches hold data, given by the host. Only a step that accumulates has it.
  case microBatches = "control/micro_batches"
  /// i32: the number of this replica's first part of the batch, given by the host. Only a step that is cut into parts has it.
  case firstPart = "control/first_part"
  /// The last value of what is watched, given by the host; likewise f64 or f32. Only a schedule that observes has it.
  case metric = "control/metric"
  /// i32: 1 where the metric is new, until a step has taken it. Likewise.
  case observed = "control/observed"
  /// The base learning rate, given by the host; f64 in a run with precision 64, else f32.
  case learningRate = "control/lr"
  /// The number of updates of the whole run, given by the host; likewise.
  case totalSteps = "control/total_steps"
}

/// A buffer that lives from one step to the next.
package struct StateSlot: Sendable, Hashable {
  /// How a run that starts fresh fills the slot.
  package enum Initial: Sendable, Hashable {
    /// The initial value of the parameter of that name.
    case parameter(String)
    /// The value of another slot, rounded to this one's dtype.
    case copy(of: String)
    /// The initial value of the layer state of that name.
    case layerState(String)
    /// An optimizer's own rule.
    case initializer(Initializer)
    /// A number.
    case number(Double)
    /// Set by the host before the first step.
    case host
  }
  /// The graph input.
  package let name: String
  /// What it is for.
  package let role: GraphInput.Role
  /// Its dtype and shape.
  package let type: TensorType
  /// Its first value.
  package let initial: Initial
  /// The key that a checkpoint keeps it under; `nil` for what follows from another slot or from the host. A parameter's
  /// own name holds its master where there is one.
  package let checkpointKey: String?
  /// What this replica holds of the value; `nil` where it holds all of it.
  package var shard: SlotShard?

  package init(
    name: String, role: GraphInput.Role, type: TensorType, initial: Initial, checkpointKey: String?,
    shard: SlotShard? = nil
  ) {
    (self.name, self.role, self.type, self.initial) = (name, role, type, initial)
    (self.checkpointKey, self.shard) = (checkpointKey, shard)
  }
}

/// A replica's part of a value, whose elements are divided evenly in the order of memory, with zeros behind the last.
package struct SlotShard: Hashable, Sendable {
  /// The shape of the whole.
  package let shape: [Int]
  /// How many replicas there are, and which this is.
  package let count: Int
  package let rank: Int
}

/// A training step as one graph: forward, gradients, overflow check, unscaling, optimizer, loss scale. A step in which
/// something was not finite writes back every value as it was.
package struct StepProgram: Sendable {
  /// Inputs are the arguments of the loss and the slots; outputs the results named below, and the slots' new values.
  package var graph: Graph
  /// What lives on, in the order of the graph's inputs.
  package var slots: [StateSlot]
  /// How many nodes at the beginning compute the loss.
  package var forwardCount: Int
  /// What the outputs ``Graph/outsideCount(_:)`` count.
  package var indexReads: [IndexRead]
  /// What a user should know before training.
  package var warnings: [Diagnostic]
  /// The loss whose own the scalars are, where a run has steps of several; and those that are common to all.
  private(set) var owner: (loss: String, shared: Set<StepControl>)?

  /// What the names of states begin with that a loss hands from batch to batch.
  package static let carry = "carry/"
  /// The name of the output that holds the loss, never scaled.
  package static let loss = "loss"
  /// The name of the output, a bool, that tells whether the step was skipped.
  package static let foundInf = "found_inf"
  /// The name of the output that holds the learning rate of this step.
  package static let learningRate = "lr"
  /// The name of the output that holds the norm of all gradients together, unscaled and before they are clipped. Only a
  /// step that tracks it has it.
  package static let gradientNorm = "grad_norm"
  /// The name of the output that holds a weight's gradient, unscaled and before it is clipped. Only a step that gives them has it.
  package static func gradient(of weight: String) -> String { "gradient/\(weight)" }
  /// The names that no argument, parameter or state of a loss can have.
  static let results = [loss, foundInf, learningRate, gradientNorm]
}

// MARK: - Steps of several losses

extension StepProgram {
  /// The step with scalars of its own, beside those of other losses: `control/step` becomes `control/critic_loss/step`.
  ///
  /// - Parameter shared: those that are common to all.
  package func withScalars(of loss: String, sharing shared: Set<StepControl>) -> StepProgram {
    var step = self
    step.owner = (loss, shared)
    step.graph.inputs = graph.inputs.map { input in
      GraphInput(name: step.own(input.name), role: input.role, value: input.value)
    }
    step.graph.outputs = graph.outputs.map { output in
      GraphOutput(name: step.own(output.name), value: output.value, updates: output.updates.map(step.own))
    }
    step.slots = slots.map { slot in
      StateSlot(
        name: step.own(slot.name), role: slot.role, type: slot.type, initial: slot.initial,
        checkpointKey: slot.checkpointKey.map(step.own))
    }
    return step
  }

  /// The input of a scalar.
  package func name(of control: StepControl) -> String { own(control.rawValue) }

  private func own(_ name: String) -> String {
    guard let owner, !owner.shared.contains(where: { $0.rawValue == name }) else { return name }
    for prefix in ["control/", "schedule/", Self.carry] where name.hasPrefix(prefix) {
      return prefix + owner.loss + "/" + name.dropFirst(prefix.count)
    }
    return name
  }
}
