import LTMSupport
import LTMSyntax

/// Checks that every name means something, in all code, whether or not a model uses it; and what can be said of a body
/// without running it: that it ends in `return`, that only a `var` is assigned and only a `state` written.
struct Resolver {
  let file: LoadedFile
  var diagnostics: DiagnosticSet
  var module = 0
  /// Names in scope beside the file's: members, parameters, dimensions, locals; the innermost last.
  var scopes: [[String: LocalName]] = []

  init(file: LoadedFile, diagnostics: DiagnosticSet) {
    self.file = file
    self.diagnostics = diagnostics
  }

  /// What names what, and the declaration whose code is being resolved.
  private var graph = NameGraph()
  private var user: Span?
  /// The functions of the type whose code is being resolved.
  private var siblings: [String: Span] = [:]

  /// What the function whose code is being resolved could name among its parameters.
  private var stepNames: [String] = []

  /// What a local name is, as far as statements care.
  enum LocalName { case constant, variable, state, cache, dimension, function }

  mutating func resolveAll() {
    for index in file.modules.indices {
      module = index
      for declaration in file.modules[index].module.declarations { resolve(declaration) }
    }
    for cycle in graph.cycles() { diagnostics.add(cycle) }
  }

  private mutating func resolve(_ declaration: Declaration) {
    switch declaration {
    case .import, .weights: return
    case .constant(let binding):
      naming(binding.span, binding.names.map(\.text).joined(separator: ", "), .constant) { $0.resolve(binding.value) }
    case .function(let function): resolve(function, in: nil)
    case .type(let type): naming(type.name.span, type.name.text, .type) { $0.resolve(type) }
    case .train(let block): resolve(block)
    }
  }

  /// Resolves code whose names are uses by one declaration.
  private mutating func naming(
    _ id: Span, _ title: String, _ kind: NameGraph.Kind, _ body: (inout Resolver) -> Void
  ) {
    let outer = user
    graph.add(id, title, kind)
    user = id
    body(&self)
    user = outer
  }

  /// Notes that the code being resolved names a declaration.
  private mutating func noteUse(_ name: String, _ span: Span) {
    guard let user else { return }
    if let kind = local(name) {
      if kind == .function, let target = siblings[name] { graph.add(from: user, to: target, at: span) }
      return
    }
    guard let found = file.declaration(name, in: module)?.declaration, let target = found.id else { return }
    graph.add(from: user, to: target, at: span)
  }

  /// Resolves the names of a block that stands in no file, as a module sees them.
  mutating func resolve(_ block: TrainDeclaration, in module: Int) {
    self.module = module
    resolve(block)
  }

  private mutating func resolve(_ block: TrainDeclaration) {
    for argument in block.arguments { resolve(argument.value) }
    for item in block.items { resolve(item, options: TrainSettings.options) }
  }

  private mutating func resolve(_ item: TrainItem, options: [String]) {
    switch item {
    case .optimizer(_, let arguments, _), .group(_, let arguments, _):
      for argument in arguments { resolve(argument.value) }
    case .schedule(let rules, _): for rule in rules { resolve(rule) }
    case .clip(let rule, _), .average(let rule, _): resolve(rule)
    case .setting(let name, let value, _):
      // An unknown setting is reported as such, later; its value may be anything.
      if TrainSettings.numbers.contains(name.text) { resolve(value) }
    case .option(let name, let value, _):
      // A name alone is a word, `monitor val_loss`.
      if options.contains(name.text), value.bareName == nil { resolve(value) }
    case .minimize(let loss, _): for item in loss.items { resolve(item, options: LossSettings.options) }
    case .data, .report, .freeze: return
    }
  }

  private mutating func resolve(_ rule: UsedRule) {
    for argument in rule.arguments { resolve(argument.value) }
  }

  private mutating func resolve(_ type: TypeDeclaration) {
    // An optimizer is made for each weight, and its members may look at it.
    scopes = [type.kind == .optimizer ? ["weight": .constant] : [:]]
    siblings = [:]
    defer { (scopes, siblings) = ([], [:]) }
    for parameter in type.parameters {
      if let value = parameter.defaultValue { resolve(value) }
      if let declared = parameter.type { resolve(declared, of: .storage) }
      define(parameter.name, .constant, what: "parameter")
    }
    // Functions see every member; a member sees those before it.
    for case .function(let function) in type.members {
      define(function.name, .function, what: "member")
      siblings[function.name.text] = function.name.span
    }
    for member in type.members { resolve(member, of: type) }
    for case .function(let function) in type.members { resolve(function, in: type) }
  }

  private mutating func resolve(_ member: Member, of type: TypeDeclaration) {
    switch member {
    case .binding(let binding):
      resolve(binding.value)
      if let name = binding.computedName { resolve(name) }
      for name in binding.names { define(name, .constant, what: "member") }
    case .param(let storage): resolve(storage, .constant, of: type)
    case .state(let storage): resolve(storage, .state, of: type)
    case .cache(let storage): resolve(storage, .cache, of: type)
    case .require(let requirement): resolve(requirement.condition)
    case .function: return
    case .loop(let loop): resolve(loop, of: type)
    case .conditional(let condition, let then, let otherwise, _):
      resolve(condition)
      // One of the two is made, and the code behind sees what it declares.
      let declared = names(of: then, in: type).merging(names(of: otherwise, in: type)) { old, _ in old }
      for (name, kind) in declared.sorted(by: { $0.key < $1.key }) {
        define(Identifier(name, condition.span), kind, what: "member")
      }
    }
  }

  /// Resolves members in a scope of their own; what they declare.
  private mutating func names(of members: [Member], in type: TypeDeclaration) -> [String: LocalName] {
    scopes.append([:])
    for member in members { resolve(member, of: type) }
    return scopes.removeLast()
  }

  private mutating func resolve(_ loop: MemberLoop, of type: TypeDeclaration) {
    resolve(loop.values)
    scopes.append([:])
    for name in loop.names { define(name, .constant, what: "name") }
    for member in loop.members {
      if case .param(let storage) = member, storage.computedName == nil { refuseRepeated(storage, "param", loop) }
      if case .state(let storage) = member, storage.computedName == nil { refuseRepeated(storage, "state", loop) }
      if case .cache(let storage) = member, storage.computedName == nil { refuseRepeated(storage, "cache", loop) }
      resolve(member, of: type)
    }
    scopes.removeLast()
  }

  private mutating func refuseRepeated(_ storage: StorageMember, _ word: String, _ loop: MemberLoop) {
    let counter = loop.names.first { $0.text != "_" }?.text ?? "i"
    diagnostics.add(
      Diagnostic(
        "every round of the loop would declare '\(storage.name.text)'", at: storage.name.span,
        notes: ["a name that differs is computed: \(word) \"\(storage.name.text)_\\(\(counter))\": ..."]))
  }

  private mutating func resolve(_ storage: StorageMember, _ kind: LocalName, of type: TypeDeclaration) {
    if let name = storage.computedName { resolve(name) }
    if let declared = storage.type { resolve(declared, of: kind == .cache ? .cache : .storage) }
    if let first = storage.initializer { resolve(first) }
    if storage.computedName == nil { define(storage.name, kind, what: "member") }
  }

  private mutating func resolve(_ function: FunctionDeclaration, in type: TypeDeclaration?) {
    let title = (type.map { "\($0.name.text)." } ?? "") + function.name.text
    naming(function.name.span, title, .function) { $0.resolveCode(of: function, in: type) }
  }

  private mutating func resolveCode(of function: FunctionDeclaration, in type: TypeDeclaration?) {
    scopes.append([Names.training: .constant])
    stepNames = type.map { RuleFunction.given(to: function.name.text, of: $0.kind) } ?? []
    scopes.append([:])
    defer { scopes.removeLast(2) }
    for parameter in function.parameters { if let declared = parameter.type { declareSymbols(declared) } }
    for parameter in function.parameters { if let declared = parameter.type { declareSolved(declared) } }
    for parameter in function.parameters {
      if let value = parameter.defaultValue { resolve(value) }
      if let declared = parameter.type { resolve(declared, of: .parameter) }
      define(parameter.name, .constant, what: "parameter")
    }
    for result in function.results { resolve(result, of: .result) }
    scopes.append([:])
    resolve(function.body)
    scopes.removeLast()
    if !RuleFunction.onlyWrites(function.name.text, of: type?.kind) { requireReturn(function) }
  }

  // MARK: Names

  /// Adds a name to the innermost scope, where it must be new.
  mutating func define(_ name: Identifier, _ kind: LocalName, what: String) {
    guard name.text != "_", !scopes.isEmpty else { return }
    if scopes[scopes.count - 1][name.text] != nil {
      diagnostics.add(Diagnostic("the \(what) '\(name.text)' is declared twice", at: name.span))
    }
    scopes[scopes.count - 1][name.text] = kind
  }

  func local(_ name: String) -> LocalName? { scopes.reversed().lazy.compactMap { $0[name] }.first }

  func isKnown(_ name: String) -> Bool {
    local(name) != nil || file.declaration(name, in: module) != nil || Names.all.contains(name)
  }

  /// Reports a name that means nothing.
  mutating func requireKnown(_ name: String, _ span: Span, notes: [String] = []) {
    if isKnown(name) { return noteUse(name, span) }
    guard !diagnostics.isFull else { return diagnostics.add(Diagnostic("unknown name '\(name)'", at: span)) }
    var visible = scopes.flatMap(\.keys) + file.visibleNames(in: module)
    let near = nearest(name, among: visible)
    visible += Names.all
    visible += ["true", "false"]
    let (hints, fix) = ForeignNames.advice(name, among: visible, near: near ?? nearest(name, among: visible))
    if stepNames.contains(name) {
      diagnostics.add(
        Diagnostic(
          "unknown name '\(name)'", at: span,
          notes: ["what a rule reads of the step stands among its function's parameters: add '\(name)' there"]))
      return
    }
    let isSize = Names.isSymbol(name) && name.count == 1 && notes.isEmpty && hints.isEmpty
    let size =
      isSize ? ["a dimension has a name where a parameter of this function has it, as in x: [\(name), 64]"] : []
    diagnostics.add(
      Diagnostic("unknown name '\(name)'", at: span, notes: notes + hints + size, fixIt: fix.map { .init(span, $0) }))
  }

  /// A name of one letter is near to every other; only its other case is meant.
  func nearest(_ name: String, among names: [String]) -> String? {
    if name.count > 1 { return suggestion(for: name, among: names) }
    return names.first { $0.lowercased() == name.lowercased() }
  }

  // MARK: Types

  /// Adds the symbols of a signature: capitalised names that stand alone and mean nothing else.
  private mutating func declareSymbols(_ type: TypeExpr) {
    guard case .tensor(_, let dims, _) = type else { return }
    for case .expression(let expr) in dims {
      guard case .name(let name) = expr.kind, Names.isSymbol(name), !isKnown(name) else { continue }
      scopes[scopes.count - 1][name] = .dimension
    }
  }

  private mutating func resolve(_ type: TypeExpr, of owner: TypeOwner) {
    switch type {
    case .named(let name): resolveTypeName(name)
    case .function: return
    case .list(let element, _): resolveElement(element)
    case .tuple(let types, _): for element in types { resolveElement(element) }
    case .tensor(_, let dims, _):
      if dims.filter(\.isEllipsis).count > 1 {
        diagnostics.add(Diagnostic("a type has one '...' at most", at: type.span))
      }
      for dim in dims {
        switch dim {
        case .ellipsis(let span):
          if owner == .storage {
            diagnostics.add(Diagnostic("'...' stands only in the signature of a function", at: span))
          }
        case .expression(let expr): resolveDimension(expr, of: owner)
        }
      }
    }
  }

  /// The type of an element of a list or a tuple, which hold what is known when code is elaborated.
  private mutating func resolveElement(_ type: TypeExpr) {
    switch type {
    case .tensor:
      diagnostics.add(
        Diagnostic(
          "lists and tuples of parameters hold no tensors", at: type.span,
          notes: ["give each tensor a parameter of its own, or stack them: x: [N, B, 64]"]))
    case .named, .function, .list, .tuple: resolve(type, of: .parameter)
    }
  }

  private mutating func resolveTypeName(_ name: Identifier) {
    if Names.types.contains(name.text) { return }
    if case .type(let type)? = file.declaration(name.text, in: module)?.declaration,
      type.kind == .layer || type.kind == .model
    {
      return
    }
    let visible = diagnostics.isFull ? [] : Array(Names.types) + file.visibleNames(in: module)
    diagnostics.add(
      Diagnostic(
        "unknown type '\(name.text)'", at: name.span,
        notes: [
          ForeignNames.typeNotes[name.text]
            ?? "a type is Int, Float, Bool, String, Layer, DType, func, the name of a layer, a shape such as [B, 64], or a list or tuple such as [Int] or (Int, Int)"
        ],
        fixIt: suggestion(for: name.text, among: visible).map { .init(name.span, $0) }))
  }
}
