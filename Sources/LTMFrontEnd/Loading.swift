import LTMSupport
import LTMSyntax

/// A file with everything it imports and the prelude, parsed, its names resolved.
package struct LoadedFile: Sendable {
  /// The prelude is first, the file that was asked for last; what a file imports stands before it.
  var modules: [ModuleScope]
  /// What did not stop the file from being loaded.
  package internal(set) var warnings: [Diagnostic] = []

  /// The file that was asked for.
  var main: ModuleScope { modules[modules.count - 1] }
  var mainIndex: Int { modules.count - 1 }

  /// The paths of the file that was asked for and of all that it imports.
  package var paths: [String] { modules.dropFirst().map(\.module.file.path) }

  /// The syntax tree of the file that was asked for.
  package var module: Module { main.module }

  /// Where a name is declared, seen from a module: its own declarations, its imports', the prelude's.
  func declaration(_ name: String, in module: Int) -> (declaration: Declaration, module: Int)? {
    find(in: module) { $0.names[name] }
  }

  /// A rule of the training step, which only `train` blocks and callers from outside name.
  func rule(
    _ kind: TypeDeclaration.Kind, _ name: String, in module: Int
  ) -> (declaration: TypeDeclaration, module: Int)? {
    find(in: module) { scope in scope.rules[name].flatMap { $0.kind == kind ? $0 : nil } }
  }

  private func find<T>(in module: Int, _ lookup: (ModuleScope) -> T?) -> (declaration: T, module: Int)? {
    for index in [module] + modules[module].imports + [0] {
      if let found = lookup(modules[index]) { return (found, index) }
    }
    return nil
  }

  /// Every name that a module sees, for suggestions.
  func visibleNames(in module: Int) -> [String] {
    ([module] + modules[module].imports + [0]).flatMap { Array(modules[$0].names.keys) }
  }

  /// The rules of a kind that a module sees.
  func visibleRules(_ kind: TypeDeclaration.Kind, in module: Int) -> [String] {
    let visible = ([module] + modules[module].imports + [0]).flatMap { modules[$0].rules.values }
    return visible.filter { $0.kind == kind }.map(\.name.text).sorted()
  }
}

/// One file of a `LoadedFile`.
struct ModuleScope: Sendable {
  var module: Module
  /// Layers, models, functions and constants.
  var names: [String: Declaration] = [:]
  /// Rules of the training step, in a name space of their own.
  var rules: [String: TypeDeclaration] = [:]
  var imports: [Int] = []
}

/// What messages call the prelude.
package let preludePath = "prelude.ltm"

/// The text of the prelude.
package var preludeText: String { String(decoding: PackageResources.prelude_ltm, as: UTF8.self) }

/// Reads a file and what it imports through `read`, and resolves every name.
package func load(
  path: String, read: @escaping (String) throws -> [UInt8]
) throws(DiagnosticSet) -> LoadedFile {
  var loader = Loader(read: read)
  loader.loadPrelude()
  loader.load(path, from: nil)
  try loader.diagnostics.throwIfErrors()
  for clash in loader.clashes { loader.diagnostics.add(clash) }
  var file = LoadedFile(modules: loader.modules)
  var resolver = Resolver(file: file, diagnostics: loader.diagnostics)
  resolver.resolveAll()
  try resolver.diagnostics.throwIfErrors()
  file.warnings = resolver.diagnostics.warnings
  return file
}

/// Walks imports depth first.
private struct Loader {
  static let fileLimit = 256

  let read: (String) throws -> [UInt8]
  var modules: [ModuleScope] = []
  var diagnostics = DiagnosticSet()
  /// Names declared twice, which do not keep the rest from being checked.
  var clashes: [Diagnostic] = []
  private var loaded: [String: Int] = [:]
  private var active: [String] = []

  init(read: @escaping (String) throws -> [UInt8]) { self.read = read }

  mutating func loadPrelude() {
    append(parse(SourceFile(path: preludePath, text: preludeText), into: &diagnostics), imports: [])
  }

  /// Loads one file; `nil` where that failed, which is then reported.
  @discardableResult
  mutating func load(_ path: String, from statement: ImportDeclaration?) -> Int? {
    if let index = loaded[path] { return index }
    if let start = active.firstIndex(of: path) {
      let cycle = (active[start...] + [path]).joined(separator: " -> ")
      diagnostics.add(Diagnostic("imports form a cycle: \(cycle)", at: statement?.path.span))
      return nil
    }
    guard active.count + modules.count < Self.fileLimit else {
      diagnostics.add(Diagnostic("more than \(Self.fileLimit) files are imported", at: statement?.path.span))
      return nil
    }
    guard let bytes = contents(path, statement), let file = sourceFile(path: path, bytes: bytes, into: &diagnostics)
    else {
      return nil
    }
    active.append(path)
    let module = parse(file, into: &diagnostics)
    let imports = loadImports(of: module, at: path)
    active.removeLast()
    append(module, imports: imports)
    loaded[path] = modules.count - 1
    return modules.count - 1
  }

  private mutating func contents(_ path: String, _ statement: ImportDeclaration?) -> [UInt8]? {
    do {
      return try read(path)
    } catch {
      let reason = (error as? Diagnostic)?.message ?? "\(error)"
      diagnostics.add(Diagnostic("cannot read '\(path)': \(reason)", at: statement?.path.span))
      return nil
    }
  }

  private mutating func loadImports(of module: Module, at path: String) -> [Int] {
    var imports: [Int] = []
    var seen: [String: Span] = [:]
    for case .import(let statement) in module.declarations {
      let target = resolvePath(statement.path.value, relativeTo: path)
      if let first = seen[target] {
        diagnostics.add(
          Diagnostic("'\(target)' is imported twice", at: statement.span, labels: [.init(first, "first imported here")])
        )
        continue
      }
      seen[target] = statement.span
      guard let index = load(target, from: statement) else { continue }
      reportClashes(modules[index], with: imports, at: statement)
      imports.append(index)
    }
    return imports
  }

  private mutating func reportClashes(_ new: ModuleScope, with imports: [Int], at statement: ImportDeclaration) {
    for index in imports {
      let old = modules[index]
      let names = Set(new.names.keys).intersection(old.names.keys)
      for name in names.union(Set(new.rules.keys).intersection(old.rules.keys)).sorted() {
        diagnostics.add(
          Diagnostic(
            "'\(name)' is declared by two imports, '\(old.module.file.path)' and '\(new.module.file.path)'",
            at: statement.span))
      }
    }
  }

  private mutating func append(_ module: Module, imports: [Int]) {
    var scope = ModuleScope(module: module, imports: imports)
    var trained: [String: Span] = [:]
    for declaration in module.declarations {
      switch declaration {
      case .import, .weights: continue
      case .train(let block): noteTrain(block, &trained)
      case .constant(let binding): for name in binding.names { define(name, declaration, in: &scope) }
      case .function(let function): define(function.name, declaration, in: &scope)
      case .type(let type): define(type, in: &scope)
      }
    }
    modules.append(scope)
  }

  /// Settings in two places would hide one another.
  private mutating func noteTrain(_ block: TrainDeclaration, _ trained: inout [String: Span]) {
    let model = block.model
    if let first = trained[model.text] {
      clashes.append(
        Diagnostic("'\(model.text)' has a train block already", at: model.span, labels: [.init(first, "the first one")])
      )
    }
    trained[model.text] = trained[model.text] ?? model.span
  }

  private mutating func define(_ name: Identifier, _ declaration: Declaration, in scope: inout ModuleScope) {
    guard name.text != "_" else { return }
    if let old = scope.names[name.text] { reportTwice(name, old.nameSpan(name.text)) }
    scope.names[name.text] = declaration
  }

  private mutating func define(_ type: TypeDeclaration, in scope: inout ModuleScope) {
    switch type.kind {
    case .layer, .model: define(type.name, .type(type), in: &scope)
    case .optimizer, .schedule, .clip, .average:
      if let old = scope.rules[type.name.text] { reportTwice(type.name, old.name.span) }
      scope.rules[type.name.text] = type
    }
  }

  private mutating func reportTwice(_ name: Identifier, _ first: Span?) {
    let labels = first.map { [Diagnostic.Label($0, "first declared here")] } ?? []
    clashes.append(Diagnostic("'\(name.text)' is declared twice", at: name.span, labels: labels))
  }
}

extension Declaration {
  /// The place that tells it from every other: of its name, or of a whole binding, which may have several.
  var id: Span? {
    switch self {
    case .import, .train, .weights: nil
    case .constant(let binding): binding.span
    case .function(let function): function.name.span
    case .type(let type): type.name.span
    }
  }

  /// The place where a name is declared.
  func nameSpan(_ name: String) -> Span? {
    switch self {
    case .import, .train, .weights: nil
    case .constant(let binding): binding.names.first { $0.text == name }?.span
    case .function(let function): function.name.span
    case .type(let type): type.name.span
    }
  }
}

/// A path as written in a file, seen from where the file is; `.` and `..` are folded away.
package func resolvePath(_ path: String, relativeTo file: String) -> String {
  if path.hasPrefix("/") { return path }
  var parts = file.split(separator: "/", omittingEmptySubsequences: false).dropLast().map(String.init)
  for part in path.split(separator: "/").map(String.init) where part != "." {
    if part == "..", let last = parts.last, last != "..", last != "" {
      parts.removeLast()
    } else {
      parts.append(part)
    }
  }
  return parts.joined(separator: "/")
}
