import LTMSupport

extension Program {
  /// The paths of groups and frozen weights that mean no weight of the model.
  package func pathProblems(with settings: TrainSettings) -> [Diagnostic] {
    let names = parameters.map(\.name)
    let patterns = settings.groups.map(\.pattern) + settings.freezes + settings.losses.flatMap(\.paths)
    let problems: [Diagnostic] = patterns.compactMap { setting in
      let pattern = PathPattern(setting.value)
      if names.contains(where: pattern.matches) { return nil }
      return Diagnostic(
        "no weight of '\(settings.model)' has the path \"\(setting.value)\"", at: setting.span,
        notes: ["it has \(names.prefix(12).joined(separator: ", "))\(names.count > 12 ? ", ..." : "")"],
        fixIt: nearest(to: setting.value, among: names).map { .init(setting.span, "\"\($0)\"") })
    }
    return problems.isEmpty ? lossProblems(with: settings) : problems
  }

  /// The pattern with one name replaced by a likely one, where that means something.
  private func nearest(to text: String, among paths: [String]) -> String? {
    let known = Set(paths.flatMap { $0.split(separator: ".").map(String.init) }).sorted()
    let parts = text.split(separator: ".").map(String.init)
    for index in parts.indices where !parts[index].contains("*") {
      guard let name = suggestion(for: parts[index], among: known), name != parts[index] else { continue }
      var mended = parts
      mended[index] = name
      let pattern = mended.joined(separator: ".")
      if paths.contains(where: PathPattern(pattern).matches) { return pattern }
    }
    return nil
  }

  /// The weights that are not trained.
  package func frozen(by settings: TrainSettings) -> Set<String> {
    let patterns = settings.freezes.map { PathPattern($0.value) }
    return Set(parameters.map(\.name).filter { name in patterns.contains { $0.matches(name) } })
  }

  /// For each weight the indices of the groups that hold for it, where any does.
  package func groups(of settings: TrainSettings) -> [String: [Int]] {
    let patterns = settings.groups.map { PathPattern($0.pattern.value) }
    var result: [String: [Int]] = [:]
    for parameter in parameters {
      let indices = patterns.indices.filter { patterns[$0].matches(parameter.name) }
      if !indices.isEmpty { result[parameter.name] = indices }
    }
    return result
  }
}
