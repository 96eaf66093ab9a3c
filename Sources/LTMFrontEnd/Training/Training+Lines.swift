import LTMSupport
import LTMSyntax

extension LoadedFile {
  /// The settings of a model with a line of its `train` block replaced, or added where it has none. The line is read as it
  /// would be in the file.
  package func settings(
    of model: String, _ settings: TrainSettings?, replacing line: SourceFile
  ) throws(DiagnosticSet) -> TrainSettings {
    var diagnostics = DiagnosticSet()
    let read = trainBlock(of: model, line: line, into: &diagnostics)
    try diagnostics.throwIfErrors()
    guard let block = read else {
      throw DiagnosticSet([.internalError(in: "parsing", "no line of a train block and no message")])
    }
    var resolver = Resolver(file: self, diagnostics: DiagnosticSet())
    resolver.resolve(block, in: mainIndex)
    try resolver.diagnostics.throwIfErrors()
    let replacement = try self.settings(of: block)
    return settings?.replaced(by: replacement) ?? replacement
  }
}

extension TrainSettings {
  /// These settings, with what the other ones say in its place.
  fileprivate func replaced(by other: TrainSettings) -> TrainSettings {
    var result = self
    if other.data != nil { (result.data, result.fields) = (other.data, other.fields) }
    result.losses = other.losses.isEmpty ? losses : other.losses
    result.reports = other.reports.isEmpty ? reports : other.reports
    result.optimizer = other.optimizer ?? optimizer
    result.schedule = other.schedule ?? schedule
    result.clip = other.clip ?? clip
    result.average = other.average ?? average
    result.groups += other.groups
    result.freezes += other.freezes
    result.accumulate = other.accumulate ?? accumulate
    result.batch = other.batch ?? batch
    result.epochs = other.epochs ?? epochs
    result.steps = other.steps ?? steps
    result.seed = other.seed ?? seed
    result.options.merge(other.options) { $1 }
    return result
  }
}
