import Foundation
import LTMIR
import LTMRuntime
import LTMSupport
import LTMSyntax

/// Writes the file: what nobody reads is left out, equal parts become a list of layers, what is read once stands where it is
/// read, and names are chosen last.
struct ModelWriter {
  private let path: String
  private let model: ONNXModel
  private let builder: Builder
  private let steps: [Step]
  private let results: [Expression]
  private let resultTypes: [TensorType]
  private let arguments: [SymbolID]
  private let paths: WeightPaths
  private let tree: WeightTree
  private let names: [SymbolID: String]
  private let element: String
  /// The names of the parameters, by ONNX's names.
  let inputs: [(onnx: String, parameter: String)]

  init(translator: GraphTranslator, path: String) {
    self.path = path
    model = translator.model
    builder = translator.builder
    let symbols = builder.symbols
    resultTypes = translator.results.map(\.type)
    let given = translator.results.map(\.expression)
    let live = Self.live(builder.statements, given)
    paths = WeightPaths(live, given, symbols)
    let found = BlockFinder(statements: live, results: given, symbols: symbols, paths: paths).steps()
    let plain = Self.inlined(found, given, symbols)
    tree = WeightTree(paths, blocks: found.compactMap { if case .block(let block) = $0 { block } else { nil } })
    arguments = translator.arguments.compactMap { _, value in
      if case .expression(.name(let id)) = value.content { id } else { nil }
    }
    var chosen = Names(calling: Self.calls(plain.steps, plain.results))
    let known = Self.argumentNames(arguments, symbols, &chosen)
    tree.chooseNames(root: &chosen)
    let calls = LayerCalls(tree: tree, paths: paths, symbols: symbols, uses: paths.uses, base: [])
    results = plain.results.map(calls.rewritten)
    steps = plain.steps.map { step in
      guard case .statement(var statement) = step else { return step }
      statement.expression = calls.rewritten(statement.expression)
      return .statement(statement)
    }
    names = Self.names(steps, known, symbols, tree, paths, &chosen)
    element = chosen.fresh("block", startsAt: 1)
    inputs = arguments.map { (symbols[$0].name, known[$0] ?? "_") }
  }

  /// The tensors of the safetensors file.
  var weights: [TensorToSave] {
    paths.order.compactMap { id in
      guard case .weight(let constant) = builder.symbols[id].kind else { return nil }
      let entry = TensorEntry(name: tree.key(id), dtype: constant.dtype, shape: constant.shape)
      return TensorToSave(entry) { body in try constant.orderedBytes.withUnsafeBytes { try body($0) } }
    }
  }

  /// What is read by a result, through others or itself, in order.
  private static func live(_ statements: [Builder.Statement], _ results: [Expression]) -> [Builder.Statement] {
    var needed: Set<SymbolID> = []
    for result in results { result.forEachName { needed.insert($0) } }
    var kept: [Builder.Statement] = []
    for statement in statements.reversed() where statement.names.contains(where: needed.contains) {
      statement.expression.forEachName { needed.insert($0) }
      kept.append(statement)
    }
    return kept.reversed()
  }

  private static func inlined(
    _ steps: [Step], _ results: [Expression], _ symbols: [Builder.Symbol]
  ) -> (steps: [Step], results: [Expression]) {
    var plain: [Builder.Statement] = []
    var named: Set<SymbolID> = []
    for step in steps {
      switch step {
      case .statement(let statement): plain.append(statement)
      case .block(let block): named.formUnion(block.inputs)
      }
    }
    let (kept, results) = Inliner(symbols: symbols).inlined(plain, results, keeping: named)
    let byName = Dictionary(kept.map { ($0.names[0], $0) }, uniquingKeysWith: { first, _ in first })
    let left = steps.compactMap { step -> Step? in
      guard case .statement(let statement) = step else { return step }
      return byName[statement.names[0]].map { .statement($0) }
    }
    return (left, results)
  }

  // MARK: Names

  private static func calls(_ steps: [Step], _ results: [Expression]) -> Set<String> {
    var calls = results.reduce(into: Expression.rewritten) { $0.formUnion($1.calls) }
    for step in steps { if case .statement(let statement) = step { calls.formUnion(statement.expression.calls) } }
    return calls
  }

  private static func argumentNames(
    _ arguments: [SymbolID], _ symbols: [Builder.Symbol], _ names: inout Names
  ) -> [SymbolID: String] {
    var texts: [SymbolID: String] = [:]
    for id in arguments { texts[id] = names.identifier(symbols[id].name, fallback: "input") }
    return texts
  }

  private static func names(
    _ steps: [Step], _ known: [SymbolID: String], _ symbols: [Builder.Symbol], _ tree: WeightTree, _ paths: WeightPaths,
    _ names: inout Names
  ) -> [SymbolID: String] {
    var texts = known
    for id in paths.order { texts[id] = tree.access(id) }
    for step in steps {
      switch step {
      case .statement(let statement):
        for id in statement.names {
          texts[id] = names.fresh(Names.local(symbols[id].name, op: symbols[id].op), startsAt: 1)
        }
      case .block(let block): texts[block.result] = names.fresh("hidden", startsAt: 1)
      }
    }
    return texts
  }

  // MARK: Text

  func text() throws -> String {
    var layers = LayerWriter(tree: tree, paths: paths, symbols: builder.symbols, model: modelName)
    let members = layers.members(tree.root, [])
    let declared = layers.declarations.map { "layer \($0.name) {\n\($0.body)\n}" }
    let parts = [header] + helpers + declared + [modelText(members)]
    let file = SourceFile(path: "the imported model", text: parts.joined(separator: "\n\n"))
    do {
      return try format(file)
    } catch {
      throw Diagnostic.internalError(in: "import", "what was written does not parse: \(error)")
    }
  }

  private var header: String {
    "// Imported from \(URL(filePath: path).lastPathComponent.shownSafely), opset \(model.opset)."
  }

  private var helpers: [String] { builder.helpers.sorted { $0.rawValue < $1.rawValue }.map(\.text) }

  private var modelName: String { Names.type(URL(filePath: path).deletingPathExtension().lastPathComponent) }

  private func modelText(_ members: String) -> String {
    "model \(modelName) {\n\(members)\(members.isEmpty ? "" : "\n\n")\(entry)\n}\n"
  }

  private var entry: String {
    let parameters = arguments.map { "\(names[$0] ?? "_"): \(LayerWriter.text(builder.symbols[$0].type))" }
    let flat = parameters.joined(separator: ", ")
    let given = flat.count <= 80 ? flat : "\n\(parameters.joined(separator: ",\n")),\n"
    let types = resultTypes.map(LayerWriter.text)
    let gives = types.count == 1 ? types[0] : "(\(types.joined(separator: ", ")))"
    let writer = ExpressionText(names: names)
    let lines = steps.flatMap { step in
      switch step {
      case .statement(let statement): [writer.line(statement)]
      case .block(let block): loop(block)
      }
    }
    let result = results.count == 1 ? results[0] : .tuple(results)
    let last = "return \(writer.text(result, indent: 11))"
    return "func forward(\(given)) -> \(gives) {\n\((lines + [last]).joined(separator: "\n"))\n}"
  }

  private func loop(_ block: Block) -> [String] {
    let result = names[block.result] ?? "_"
    let operands = [result] + block.inputs.dropFirst().map { names[$0] ?? "_" }
    return [
      "var \(result) = \(names[block.inputs[0]] ?? "_")",
      "for \(element) in \(tree.text(of: block.list)) { \(result) = \(element)(\(operands.joined(separator: ", "))) }",
    ]
  }
}
