import LTMFrontEnd
import LTMIR
import LTMRuntime
import LTMSupport

extension Compilation {
  /// The sizes of the entry's symbolic dimensions: those given, the batch, and those of the `train` block's data. One that
  /// is still not known is an error, but where it does not matter: then `assumes` takes the batch's size for it.
  func sizes(training: Bool, assumes: Bool = false) throws(LTMError) -> [String: Int] {
    let graph = try model.graph(entry, training: training)
    let symbols = Set(graph.inputs.flatMap { graph[$0.value].type.shape.flatMap(\.symbols) })
    if let unknown = dimensions.keys.sorted().first(where: { !symbols.contains($0) }) {
      throw LTMError("'\(entry)' has no dimension '\(unknown)'", notes: ["it has \(listed(symbols))"])
    }
    var sizes = dimensions
    let batch = model.settings?.batch?.value
    if sizes["B"] == nil, symbols.contains("B"), let batch { sizes["B"] = batch }
    if !symbols.isSubset(of: sizes.keys) { sizes.merge(sizesOfData(graph, batch: batch ?? 32)) { given, _ in given } }
    for symbol in symbols.sorted() where sizes[symbol] == nil {
      guard assumes else {
        throw LTMError(
          "the size of '\(symbol)' in '\(entry)' is not known", notes: ["give it, as in --dim \(symbol)=64"])
      }
      sizes[symbol] = batch ?? 32
    }
    return sizes
  }

  /// The sizes that a batch of the data has, in an entry all of whose parameters are in it; none where there is no data, or
  /// where it does not fit, which training says.
  private func sizesOfData(_ graph: Graph, batch: Int) -> [String: Int] {
    guard let settings = model.settings, let path = settings.data?.value else { return [:] }
    let keys = Dictionary(settings.fields.map { ($0.parameter, $0.key) }, uniquingKeysWith: { first, _ in first })
    let carried = model.program.carried(entry)
    let arguments = graph.inputs.filter { $0.role == .argument && !carried.contains($0.name) }.map(\.name)
    let fields = arguments.map { DataField(parameter: $0, key: keys[$0] ?? $0) }
    let reading = DataReading(
      window: settings.options["window"].flatMap { Int($0.value) }
        ?? settings.options["truncated_bptt_steps"].flatMap { Int($0.value) }.map(TrainingOptions.rowLength))
    guard let rows = try? Dataset.rowShapes(path: path, fields: fields, reading: reading) else { return [:] }
    let shapes = rows.mapValues { [dimensions["B"] ?? batch] + $0 }
    return (try? graph.bindings(shapes)) ?? [:]
  }
}
