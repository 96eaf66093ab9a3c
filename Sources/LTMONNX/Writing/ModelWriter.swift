import Foundation
import LTMIR
import LTMRuntime
import LTMSupport
import LTMSyntax

/// Writes the file: what nobody reads is left out, what is read once stands where it is read, and names are chosen last.
struct ModelWriter {
  private let path: String
  private let model: ONNXModel
  private let builder: Builder
  private let statements: [Builder.Statement]
  private let results: [Expression]
  private let resultTypes: [TensorType]
  private let arguments: [SymbolID]
  private let names: [SymbolID: String]
  private let weightIDs: [SymbolID]
  /// The names of the parameters, by ONNX's names.
  let inputs: [(onnx: String, parameter: String)]

  init(translator: GraphTranslator, path: String) {
    self.path = path
    model = translator.model
    builder = translator.builder
    resultTypes = translator.results.map(\.value.type)
    var results: [Expression] = []
    for (_, value) in translator.results {
      results.append((try? builder.expression(value)) ?? .word("_"))
    }
    let live = Self.live(builder.statements, results)
    (statements, self.results) = Inliner(symbols: builder.symbols).inlined(live, results)
    arguments = translator.arguments.compactMap { _, value in
      if case .expression(.name(let id)) = value.content { id } else { nil }
    }
    let chosen = Self.names(statements, self.results, arguments, builder.symbols)
    names = chosen.names
    weightIDs = chosen.weights
    inputs = arguments.map { [symbols = builder.symbols] in (symbols[$0].name, chosen.names[$0] ?? "_") }
  }

  /// The tensors of the safetensors file.
  var weights: [TensorToSave] {
    weightIDs.compactMap { id in
      guard case .weight(let constant) = builder.symbols[id].kind else { return nil }
      let entry = TensorEntry(name: names[id] ?? "", dtype: constant.dtype, shape: constant.shape)
      return TensorToSave(entry) { body in try constant.bytes.withUnsafeBytes { try body($0) } }
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

  private static func names(
    _ statements: [Builder.Statement], _ results: [Expression], _ arguments: [SymbolID], _ symbols: [Builder.Symbol]
  ) -> (names: [SymbolID: String], weights: [SymbolID]) {
    var texts: [SymbolID: String] = [:]
    var weights: [SymbolID] = []
    var names = Names()
    for id in arguments { texts[id] = names.identifier(symbols[id].name, fallback: "input") }
    var seen: Set<SymbolID> = []
    for expression in statements.map(\.expression) + results {
      expression.forEachName { id in
        guard case .weight = symbols[id].kind, seen.insert(id).inserted else { return }
        weights.append(id)
      }
    }
    for (id, name) in zip(weights, Names.short(weights.map { symbols[$0].name })) {
      texts[id] = names.identifier(name, fallback: "constant")
    }
    for id in statements.flatMap(\.names) {
      texts[id] = names.fresh(Names.local(symbols[id].name, op: symbols[id].op), startsAt: 1)
    }
    return (texts, weights)
  }

  // MARK: Text

  func text() throws -> String {
    let file = SourceFile(
      path: "the imported model", text: ([header] + helpers + [modelText]).joined(separator: "\n\n"))
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

  private var modelText: String {
    let name = Names.type(URL(filePath: path).deletingPathExtension().lastPathComponent)
    let members = weightIDs.map(member).joined(separator: "\n")
    return "model \(name) {\n\(members)\(members.isEmpty ? "" : "\n\n")\(entry)\n}\n"
  }

  /// What is trained is a float; the rest is a state, which is saved and never written.
  private func member(_ id: SymbolID) -> String {
    let type = builder.symbols[id].type
    return "\(type.dtype.isFloating ? "param" : "state") \(names[id] ?? "_"): \(Self.text(type)) = zeros()"
  }

  private static func text(_ type: TensorType) -> String {
    "\(type.dtype == .float ? "" : type.dtype.rawValue)\(shapeText(type.shape))"
  }

  private var entry: String {
    let parameters = arguments.map { "\(names[$0] ?? "_"): \(Self.text(builder.symbols[$0].type))" }
    let flat = parameters.joined(separator: ", ")
    let given = flat.count <= 80 ? flat : "\n\(parameters.joined(separator: ",\n")),\n"
    let types = resultTypes.map(Self.text)
    let gives = types.count == 1 ? types[0] : "(\(types.joined(separator: ", ")))"
    let writer = ExpressionText(names: names)
    let lines = statements.map { statement in
      let texts = statement.names.map { names[$0] ?? "_" }
      let pattern = texts.count == 1 ? texts[0] : "(\(texts.joined(separator: ", ")))"
      return "let \(pattern) = \(writer.text(statement.expression, indent: pattern.count + 10))"
    }
    let result = results.count == 1 ? results[0] : .tuple(results)
    let last = "return \(writer.text(result, indent: 11))"
    return "func forward(\(given)) -> \(gives) {\n\((lines + [last]).joined(separator: "\n"))\n}"
  }
}
