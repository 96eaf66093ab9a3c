import LTMIR
import LTMSupport
import LTMSyntax

extension LoadedFile {
  /// Everything that `ltm check` reports: every entry of every model, in training and in evaluation, the optimizers and
  /// schedules of the file, its `train` blocks, and what no model uses. Names were resolved when the file was loaded.
  package func check() -> DiagnosticSet {
    let checker = Checker(file: self, diagnostics: DiagnosticSet(warnings))
    for name in models where !checker.progress.isExhausted { checker.checkModel(name) }
    for rule in main.rules.values.sorted(by: { $0.span.start < $1.span.start }) { checker.checkRule(rule) }
    for block in trainBlocks { checker.check(block) }
    for problem in weightProblems { checker.diagnostics.add(problem) }
    checker.checkRest()
    return checker.diagnostics
  }
}

private final class Checker {
  let file: LoadedFile
  var diagnostics: DiagnosticSet
  let progress = CheckProgress()
  private var programs: [String: Program] = [:]

  init(file: LoadedFile, diagnostics: DiagnosticSet) {
    self.file = file
    self.diagnostics = diagnostics
  }

  /// Keeps a message, unless the same was said of the same place: an entry that calls another repeats its mistakes.
  private func add(_ diagnostic: Diagnostic) {
    let isKnown = diagnostics.all.contains { $0.span == diagnostic.span && $0.message == diagnostic.message }
    if !isKnown || diagnostic.span == nil { diagnostics.add(diagnostic) }
  }

  /// Keeps what `body` throws.
  private func collect<T>(_ body: () throws(DiagnosticSet) -> T) -> T? {
    do {
      return try body()
    } catch {
      for diagnostic in error.all { add(diagnostic) }
      return nil
    }
  }

  func checkModel(_ name: String) {
    var arguments: [String: CompileTimeValue] = [:]
    if let block = file.trainBlocks.first(where: { $0.model.text == name }) {
      arguments = file.checkedSettings(of: block).0.arguments
    }
    // A model whose arguments are not all known is checked when it is made.
    guard case .type(let type)? = file.declaration(name, in: file.mainIndex)?.declaration,
      type.parameters.allSatisfy({ $0.defaultValue != nil || arguments[$0.name.text] != nil })
    else { return }
    let made = collect { () throws(DiagnosticSet) in
      try file.instantiate(model: name, arguments: arguments, progress: progress)
    }
    guard let made else { return }
    programs[name] = made
    for entry in made.entries where !progress.isExhausted {
      for training in [false, true] {
        let graph = collect { () throws(DiagnosticSet) in
          try made.graph(entry: entry.name, training: training, progress: progress)
        }
        for problem in graph?.knownIndexProblems ?? [] { add(problem) }
      }
    }
  }

  /// What nothing above has run, checked by itself; nothing is said twice about one place.
  func checkRest() {
    let hasErrors = diagnostics.hasErrors
    for diagnostic in file.checkUnreached(progress) {
      let isNew = !diagnostics.all.contains { $0.span == diagnostic.span }
      // Errors may have kept code from being run with its arguments, which would have settled the warnings.
      if isNew, diagnostic.severity == .error || !hasErrors { diagnostics.add(diagnostic) }
    }
  }

  /// A rule is tried with its defaults, and with common values for what has none.
  func checkRule(_ rule: TypeDeclaration) {
    var call = RuleCall(name: rule.name.text)
    for parameter in rule.parameters where parameter.defaultValue == nil {
      guard case .named(let type)? = parameter.type else { return }
      call.generic = Generic()
      switch type.text {
      case "Int": call.set(parameter.name.text, .int(10))
      case "Float": call.set(parameter.name.text, .float(0.001))
      case "Bool": call.set(parameter.name.text, .bool(true))
      default: return
      }
    }
    make(call, rule.kind)
  }

  private func make(_ call: RuleCall, _ kind: TypeDeclaration.Kind) {
    switch kind {
    case .optimizer: _ = collect { () throws(DiagnosticSet) in try file.optimizer(call) }
    case .schedule: _ = collect { () throws(DiagnosticSet) in try file.schedule(call) }
    case .clip: _ = collect { () throws(DiagnosticSet) in try file.clip(call) }
    case .average: _ = collect { () throws(DiagnosticSet) in try file.average(call) }
    case .layer, .model: return
    }
  }

  func check(_ block: TrainDeclaration) {
    let (settings, problems) = file.checkedSettings(of: block)
    for problem in problems.all { diagnostics.add(problem) }
    if let optimizer = settings.optimizer { make(optimizer, .optimizer) }
    for group in settings.groups {
      if var call = settings.optimizer {
        call.overrides = group.arguments
        make(call, .optimizer)
      }
    }
    if let schedule = settings.schedule { make(schedule, .schedule) }
    if let clip = settings.clip { make(clip, .clip) }
    if let average = settings.average { make(average, .average) }
    for loss in settings.losses {
      for (call, kind) in [(loss.optimizer, .optimizer), (loss.schedule, .schedule), (loss.clip, .clip)]
        as [(RuleCall?, TypeDeclaration.Kind)]
      {
        if let call { make(call, kind) }
      }
    }
    guard let program = programs[settings.model] else { return }
    for problem in program.problems(with: settings) { diagnostics.add(problem) }
  }
}

extension Program {
  /// What in a `train` block does not go with the model: entries that it lacks, fields that no parameter takes.
  package func problems(with settings: TrainSettings) -> [Diagnostic] {
    let problems = entryProblems(with: settings) + pathProblems(with: settings)
    // Where an entry is not known, neither are the fields that it needs.
    guard settings.data != nil, problems.isEmpty else { return problems }
    return fieldProblems(settings, dataParameters(of: settings))
  }

  /// The parameters of the entries that are minimized and reported, in order.
  package func dataParameters(of settings: TrainSettings) -> [String] {
    var names: [String] = []
    func add(_ entry: String, but carried: [String]) {
      for parameter in self.entry(entry)?.parameters ?? []
      where !names.contains(parameter.name) && !carried.contains(parameter.name) {
        names.append(parameter.name)
      }
    }
    for loss in settings.losses { add(loss.entry.value, but: carried(loss.entry.value)) }
    for report in settings.reports { add(report.value, but: []) }
    return names
  }

  /// The entries of a `train` block that the model lacks, or that are no scalars.
  package func entryProblems(with settings: TrainSettings) -> [Diagnostic] {
    var problems: [Diagnostic] = []
    for setting in settings.losses.map(\.entry) + settings.reports {
      guard let entry = entry(setting.value) else {
        problems.append(unknownEntry(setting.value, at: setting.span))
        continue
      }
      let isMinimized = settings.losses.contains { $0.entry.span == setting.span }
      let results = isMinimized ? Array(entry.results.dropLast(carried(setting.value).count)) : entry.results
      let areScalars = results.allSatisfy { $0.rank == 0 && $0.dtype.isFloating }
      if !areScalars || results.isEmpty || results.count > (isMinimized ? 2 : 1) {
        let types = entry.results.map { Elaborator.text($0) }.joined(separator: ", ")
        problems.append(
          Diagnostic("'\(setting.value)' returns \(types), and a scalar float, [], is needed here", at: setting.span))
      }
    }
    return problems
  }

  private func fieldProblems(_ settings: TrainSettings, _ needed: [String]) -> [Diagnostic] {
    var problems: [Diagnostic] = []
    let given = settings.fields.map(\.parameter)
    for field in settings.fields where !needed.contains(field.parameter) {
      let names = Set(needed).sorted()
      problems.append(
        Diagnostic(
          "no entry that is trained or reported has a parameter '\(field.parameter)'", at: field.span,
          notes: names.isEmpty ? [] : ["they have \(names.joined(separator: ", "))"],
          fixIt: suggestion(for: field.parameter, among: names).map { .init(field.span, $0) }))
    }
    // A line without braces leaves every parameter the key of its own name.
    for name in Set(needed).subtracting(given).sorted() where !given.isEmpty {
      problems.append(
        Diagnostic(
          "the data gives nothing for the parameter '\(name)'", at: settings.data?.span, notes: ["add '\(name): key'"]))
    }
    return problems
  }
}
