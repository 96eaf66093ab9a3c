import LTMIR
import LTMSupport
import LTMSyntax

/// A parameter or a state of a model.
package struct ParameterSpec: Hashable, Sendable {
  /// The checkpoint's key: `blocks.0.fc1.weight`.
  package var name: String
  /// The sizes.
  package var shape: [Int]
  /// `float`, or the dtype that the file pins it to.
  package var dtype: DType
  /// How it begins.
  package var initializer: Initializer
  /// The line that declares it.
  package var location: Location
}

/// A cache of a model.
package struct CacheSpec: Hashable, Sendable {
  /// Its path: `blocks.0.attention.keys`.
  package var name: String
  /// `float`, or the dtype that the file pins it to; symbolic dimensions are those of entries.
  package var type: TensorType
  /// The line that declares it.
  package var location: Location
}

/// What can be run by name: a function of the model whose types are all tensors.
package struct EntryInfo: Hashable, Sendable {
  /// The function's name.
  package var name: String
  /// Its parameters, with symbolic dimensions.
  package var parameters: [Argument]
  /// Its results.
  package var results: [TensorType]

  /// A parameter of an entry.
  package struct Argument: Hashable, Sendable {
    package var name: String
    package var type: TensorType
  }
}

/// A model with its arguments given: what it holds, and the graphs of what it can do.
package struct Program: Sendable {
  /// The model's name.
  package let model: String
  /// In declaration order; tied weights occur once.
  package let parameters: [ParameterSpec]
  /// Layer states, in declaration order.
  package let states: [ParameterSpec]
  /// Caches, in declaration order, with symbolic dimensions.
  package let caches: [CacheSpec]
  /// In declaration order.
  package let entries: [EntryInfo]

  private let file: LoadedFile
  private let world: World
  private let root: InstanceID
  private let storages: [StorageID]

  init(file: LoadedFile, world: World, root: InstanceID, entries: [EntryInfo]) {
    var world = world
    storages = world.nameAll(from: root)
    let specs = storages.map { (kind: world[$0].kind, spec: world[$0].spec) }
    parameters = specs.filter { $0.kind == .parameter }.map(\.spec)
    states = specs.filter { $0.kind == .state }.map(\.spec)
    caches = storages.filter { world[$0].kind == .cache }.map { id in
      CacheSpec(name: world[id].path ?? world[id].name, type: world[id].type, location: Location(world[id].span))
    }
    (self.file, self.world, self.root, self.entries) = (file, world, root, entries)
    model = world[root].type.declaration.name.text
  }

  /// The entry of that name.
  package func entry(_ name: String) -> EntryInfo? { entries.first { $0.name == name } }

  /// The graph of an entry. Inputs are the entry's arguments, then the parameters and states that it uses; outputs are
  /// `result` (or `result.0`, ...), then each state that it writes.
  package func graph(entry name: String, training: Bool) throws(DiagnosticSet) -> Graph {
    try graph(entry: name, training: training, progress: nil)
  }

  func graph(entry name: String, training: Bool, progress: CheckProgress?) throws(DiagnosticSet) -> Graph {
    guard let info = entry(name), let function = function(name) else {
      throw DiagnosticSet([unknownEntry(name)])
    }
    let elaborator = Elaborator(file, world: world, progress: progress)
    elaborator.training = training
    let graph = elaborator.graph(of: function, info, storages: storages)
    try elaborator.diagnostics.throwIfErrors()
    return graph
  }

  private func function(_ name: String) -> FunctionValue? {
    let type = world[root].type
    for case .function(let function) in type.declaration.members where function.name.text == name {
      return FunctionValue(declaration: function, module: type.module, owner: root)
    }
    return nil
  }

  /// The message for an entry that does not exist.
  package func unknownEntry(_ name: String, at span: Span? = nil) -> Diagnostic {
    let names = entries.map(\.name)
    let nearest = suggestion(for: name, among: names)
    let has = names.isEmpty ? "it has none" : "it has \(names.joined(separator: ", "))"
    return Diagnostic(
      "the model '\(model)' has no entry '\(name)'", at: span,
      notes: [nearest == nil || span != nil ? has : "did you mean '\(nearest ?? "")'? \(has)"],
      fixIt: span.flatMap { span in nearest.map { .init(span, $0) } })
  }
}

extension Storage {
  var spec: ParameterSpec {
    ParameterSpec(
      name: path ?? name, shape: shape.compactMap(\.constant), dtype: dtype, initializer: initializer,
      location: Location(span))
  }
}

extension LoadedFile {
  /// The models that the file declares.
  package var models: [String] {
    module.declarations.compactMap { declaration in
      if case .type(let type) = declaration, type.kind == .model { type.name.text } else { nil }
    }
  }

  /// The model of the `train` block, or the only one.
  package var mainModel: String? {
    for case .train(let block) in module.declarations { return block.model.text }
    return models.count == 1 ? models[0] : nil
  }

  /// Makes a model. Arguments that are not given come from the model's own defaults.
  package func instantiate(
    model name: String, arguments: [String: CompileTimeValue] = [:]
  ) throws(DiagnosticSet) -> Program {
    try instantiate(model: name, arguments: arguments, progress: nil)
  }

  private func requireArguments(
    _ type: TypeDeclaration, _ arguments: [String: CompileTimeValue]
  ) throws(DiagnosticSet) {
    let name = type.name.text
    let missing = type.parameters.filter { $0.defaultValue == nil && arguments[$0.name.text] == nil }
    guard let first = missing.first?.name.text else { return }
    let names = missing.map { "'\($0.name.text)'" }.joined(separator: " and ")
    throw DiagnosticSet([
      Diagnostic(
        "the model '\(name)' needs \(names)", at: type.name.span,
        notes: ["give it with --set \(first)=..., or in the file: train \(name)(\(first): ...)"])
    ])
  }

  func instantiate(
    model name: String, arguments: [String: CompileTimeValue], progress: CheckProgress?
  ) throws(DiagnosticSet) -> Program {
    guard let found = declaration(name, in: mainIndex), case .type(let type) = found.declaration, type.kind == .model
    else {
      let nearest = suggestion(for: name, among: models).map { "did you mean '\($0)'?" }
      let has = models.isEmpty ? "the file declares no model" : "the file declares \(models.joined(separator: ", "))"
      throw DiagnosticSet([Diagnostic("there is no model '\(name)'", notes: [nearest, has].compactMap { $0 })])
    }
    let elaborator = Elaborator(self, progress: progress)
    let span = type.name.span
    try requireArguments(type, arguments)
    let given = arguments.sorted { $0.key < $1.key }.map { (key, value) in
      let parameter = type.parameters.first { $0.name.text == key }
      return Given(
        name: Identifier(key, span), value: elaborator.outside(value, for: parameter, in: found.module, at: span),
        span: span)
    }
    let root = elaborator.make(TypeValue(declaration: type, module: found.module), given, span)
    let entries = root.map { elaborator.entries(of: $0) } ?? []
    try elaborator.diagnostics.throwIfErrors()
    guard let root else {
      throw DiagnosticSet([.internalError(in: "elaboration", "no model '\(name)' and no message")])
    }
    return Program(file: self, world: elaborator.world, root: root, entries: entries)
  }
}

extension FunctionDeclaration {
  /// Whether it can be run from outside: only tensors, of known rank.
  var isEntry: Bool {
    let types = parameters.map(\.type) + results.map { Optional($0) }
    return !results.isEmpty
      && types.allSatisfy { type in
        guard case .tensor(_, let dims, _)? = type else { return false }
        return !dims.contains(where: \.isEllipsis)
      }
  }
}

extension Elaborator {
  /// The entries of a model with their types.
  func entries(of root: InstanceID) -> [EntryInfo] {
    let type = world[root].type
    var entries: [EntryInfo] = []
    for case .function(let function) in type.declaration.members where function.isEntry {
      let frame = Frame(name: function.name.text, module: type.module, owner: root)
      let entry = within(frame) { () -> EntryInfo? in
        for type in function.parameters.map(\.type) + function.results { defineSymbols(type) }
        let parameters = function.parameters.compactMap { parameter in
          tensorType(parameter.type).map { EntryInfo.Argument(name: parameter.name.text, type: $0) }
        }
        let results = function.results.compactMap { tensorType($0) }
        guard parameters.count == function.parameters.count, results.count == function.results.count else { return nil }
        return EntryInfo(name: function.name.text, parameters: parameters, results: results)
      }
      if let entry { entries.append(entry) }
    }
    return entries
  }

  /// The symbols of an entry's signature stand for themselves.
  func defineSymbols(_ type: TypeExpr?) {
    guard case .tensor(_, let dims, _)? = type else { return }
    for case .expression(let expr) in dims {
      for (name, span) in expr.symbols where symbol(Expr(.name(name), span)) != nil {
        frame.dims[name] = Dim(symbol: name)
      }
    }
  }

  func tensorType(_ type: TypeExpr?) -> TensorType? {
    guard case .tensor(let dtype, let dims, _)? = type, let shape = shape(dims) else { return nil }
    return TensorType(dtype.flatMap { DType(rawValue: $0.text) } ?? .float, shape)
  }

  /// Elaborates an entry.
  func graph(of function: FunctionValue, _ info: EntryInfo, storages: [StorageID]) -> Graph {
    begin(info.name)
    progress?.reached.insert(function.declaration.name.span)
    let declaration = function.declaration
    var given: [Given] = []
    for (argument, parameter) in zip(info.parameters, declaration.parameters) {
      builder.location = Location(parameter.span)
      let id = builder.input(argument.name, argument.type, role: .argument)
      given.append(Given(value: Value(.tensor(id), parameter.span), span: parameter.span))
    }
    defineStorages(storages)
    defineDraws(info.parameters.map(\.type), at: declaration.name.span)
    let key = draws?.key
    let frame = Frame(
      name: title(function), module: function.module, owner: function.owner, function: declaration.span)
    let result = within(frame) { () -> Value in
      for parameter in declaration.parameters { defineSymbols(parameter.type) }
      for (parameter, given) in zip(declaration.parameters, given) { self.frame.bind(parameter.name.text, given.value) }
      let value = run(declaration.body) ?? missingReturn(declaration)
      return checkResult(value, declaration, at: declaration.name.span)
    }
    outputs(result)
    for id in written {
      let name = world[id].path ?? world[id].name
      if let value = current[id] { builder.output(name, value, updates: name) }
    }
    return builder.graph.withoutUnused(key: key)
  }

  /// Makes every parameter, state and cache an input.
  func defineStorages(_ storages: [StorageID]) {
    for id in storages {
      let storage = world[id]
      builder.location = Location(storage.span)
      current[id] = builder.input(
        storage.path ?? storage.name, storage.type, role: storage.kind.role)
    }
  }

  /// Starts a graph.
  func begin(_ name: String) {
    builder = GraphBuilder(name: name)
    inGraph = true
  }

  private func outputs(_ result: Value) {
    switch result.kind {
    case .tensor(let id): builder.output(resultName("result"), id)
    case .tuple(let items):
      for (index, item) in items.enumerated() {
        if case .tensor(let id) = item.kind { builder.output(resultName("result.\(index)"), id) }
      }
    default: return
    }
  }

  /// The name, or a longer one where a parameter or a state is called that: what runs a graph finds both by name.
  private func resultName(_ name: String) -> String {
    builder.graph.input(name) == nil ? name : resultName(name + "_")
  }
}
