import LTMSupport

extension StepRecord {
  /// One line of the step log. A number that is not finite is null.
  public var json: String {
    JSON.object(
      [
        .init("attempt", .int(attempt)), .init("step", .int(step)), .init("loss", .number(loss)),
        .init("scale", .number(scale)), .init("skipped", .bool(skipped)), .init("seconds", .number(seconds)),
      ] + values.map { .init($0.name, .number($0.value)) }
    ).text()
  }
}

extension ReportValue {
  /// Values as one JSON object, by key.
  public static func json(_ values: [ReportValue]) -> String {
    JSON.object(values.map { .init($0.key, .number($0.value)) }).text()
  }
}

extension TrainingResult {
  /// The result as one JSON object; `saved` is the checkpoint's path.
  public func json(saved: String? = nil) -> String {
    JSON.object([
      .init("steps", .int(steps)), .init("skipped", .int(skipped)), .init("loss", .number(loss)),
      .init("report", reports.first.map { .string($0.name) } ?? .null),
      .init("value", reports.first.map { .number($0.value) } ?? .null),
      .init("reports", .object(reports.map { .init($0.dataset == nil ? $0.name : $0.key, .number($0.value)) })),
      .init("best", best.map { .number($0.value) } ?? .null), .init("best_step", best.map { .int($0.step) } ?? .null),
      .init("ending", ending.map { .string($0) } ?? .null),
      .init("seconds", .number(seconds)), .init("stopped", .bool(wasStopped)),
      .init("saved", saved.map { .string($0) } ?? .null), .init("memory", memory.json),
    ]).text()
  }
}

extension MemoryUse {
  /// The bytes by use.
  package var json: JSON {
    .object([
      .init("weights", .int(weights)), .init("activations", .int(activations)), .init("masters", .int(masters)),
      .init("optimizer", .int(optimizerState)), .init("layer_state", .int(layerState)), .init("arena", .int(arena)),
      .init("workspaces", .int(workspaces)), .init("arguments", .int(arguments)),
    ])
  }
}
