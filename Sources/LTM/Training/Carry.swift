import LTMFrontEnd
import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

// Truncated back-propagation through time: what a loss gives beside itself is what its last parameters are with the next batch. In the step
// it is a state, through which no gradient goes.

extension Graph {
  /// The graph of a loss whose parameters of these names are states that its last results replace.
  func carrying(_ names: [String]) -> Graph {
    guard !names.isEmpty else { return self }
    var graph = self
    graph.inputs = inputs.map { input in
      guard names.contains(input.name) else { return input }
      return GraphInput(name: StepProgram.carry + input.name, role: .state, value: input.value)
    }
    let results = outputs.indices.filter { outputs[$0].updates == nil }.suffix(names.count)
    for (index, name) in zip(results, names) {
      let state = StepProgram.carry + name
      graph.outputs[index] = GraphOutput(name: state, value: outputs[index].value, updates: state)
    }
    return graph
  }
}

extension TrainingSession {
  /// Makes what is carried from batch to batch zeros again, as at an epoch's start.
  func resetCarries() throws(LTMError) {
    for slot in slots where slot.name.hasPrefix(StepProgram.carry) {
      guard let zeros = Tensor(zeros: slot.type.staticShape ?? [], dtype: slot.type.dtype) else { continue }
      try executable.write(zeros, to: slot.name)
    }
  }
}

extension Model {
  /// Throws where what is carried and `truncated_bptt_steps` do not go together.
  func checkCarries(_ options: TrainingOptions, keepsLast: Bool, replicas: Replicas) throws(LTMError) {
    let losses = settings?.losses.map(\.entry.value) ?? []
    let carried = losses.flatMap(program.carried)
    guard let steps = options.truncatedBpttSteps else {
      guard let name = carried.first else { return }
      throw LTMError(
        "'\(losses[0])' hands '\(name)' from batch to batch, and the order of the data does not say which rows follow each other",
        notes: ["say how many places of a text a batch holds, as in --truncated-bptt-steps 64"])
    }
    guard !carried.isEmpty else {
      throw LTMError(
        "'\(losses.first ?? "loss")' carries nothing from batch to batch",
        notes: [
          "what it gives beside the loss is what its last parameters are next: func loss(x: [B, T], h: [B, 8]) -> ([], [B, 8])"
        ])
    }
    let others = [
      (options.sampleWeight != nil, "sample_weight"), (options.balance != nil, "balance"),
      (keepsLast, "keep_last_batch"),
      (replicas.count > 1, replicas.rank == nil ? "--tpu-cores" : "a job of several ranks"),
      (options.valSplit != nil && options.valSplitBy?.hasPrefix("time") != true, "val_split"),
    ]
    guard let other = others.first(where: { $0.0 })?.1 else { return }
    throw LTMError(
      "truncated_bptt_steps \(steps) reads rows in the order of their text, and \(other) takes them out of it",
      notes: [other == "val_split" ? "--val-split-by time keeps the last rows" : "leave one of them out"])
  }
}

extension Dataset.Split {
  /// Throws where rows do not hold so many places of a text.
  func checkPlaces(_ steps: Int, _ path: String) throws(LTMError) {
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) where tensor.shape.count > 1 {
      let places = tensor.shape[1]
      guard places != steps, places != TrainingOptions.rowLength(steps: steps) else { continue }
      throw LTMError(
        "a row of '\(path)' holds \(places) places for '\(name)', and truncated_bptt_steps is \(steps)",
        notes: ["with one place more for what is to be told, \(places - 1) goes with these rows"])
    }
  }
}
