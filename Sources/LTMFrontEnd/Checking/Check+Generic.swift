import LTMIR
import LTMSupport
import LTMSyntax

/// What the elaborations of one check came across, so that the rest can be checked by itself, and what they cost together.
final class CheckProgress {
  /// Evaluations in one check; a file may hold any number of functions, each within its own limit.
  static let workLimit = 4_000_000
  /// The names of functions that ran and of types that were made.
  var reached: Set<Span> = []
  var work = 0
  var isExhausted: Bool { work > Self.workLimit }
}

extension LoadedFile {
  /// What is wrong with the functions, layers and constants of the file that nothing has reached.
  func checkUnreached(_ progress: CheckProgress) -> [Diagnostic] {
    var found: [Diagnostic] = []
    for declaration in module.declarations {
      // Hostile files hold many; what is not shown need not be found.
      if found.count >= DiagnosticSet.limit || progress.isExhausted { break }
      switch declaration {
      case .import, .train, .weights: continue
      case .constant(let binding):
        for name in binding.names where name.text != "_" { found += constantProblems(name) }
      case .function(let function):
        guard !progress.reached.contains(function.name.span) else { continue }
        found += problems(FunctionValue(declaration: function, module: mainIndex), World(), [], progress: progress)
      case .type(let type):
        if type.kind == .layer || type.kind == .model { found += problems(type, progress) }
      }
    }
    return found
  }

  private func constantProblems(_ name: Identifier) -> [Diagnostic] {
    let elaborator = Elaborator(self)
    elaborator.within(Frame(name: "let \(name.text)", module: mainIndex)) {
      _ = elaborator.lookup(name.text, at: name.span)
    }
    return elaborator.diagnostics.all
  }

  private func problems(_ type: TypeDeclaration, _ progress: CheckProgress) -> [Diagnostic] {
    let functions = type.members.compactMap { member -> FunctionDeclaration? in
      guard case .function(let function) = member, !progress.reached.contains(function.name.span) else { return nil }
      return function
    }
    let isMade = progress.reached.contains(type.name.span)
    if isMade, functions.isEmpty { return [] }
    let elaborator = Elaborator(self)
    elaborator.generic = Generic()
    guard let root = elaborator.makeGenerically(TypeValue(declaration: type, module: mainIndex)) else {
      return isMade ? [] : elaborator.diagnostics.all
    }
    var world = elaborator.world
    let storages = world.nameAll(from: root)
    var found = isMade ? [] : elaborator.diagnostics.all
    for function in functions {
      let value = FunctionValue(declaration: function, module: mainIndex, owner: root)
      found += problems(value, world, storages, unknowns: elaborator.generic?.unknowns ?? [], progress: progress)
    }
    return found
  }

  /// The mistakes of a function. One whose signature has a `...` need only be right for some number of dimensions.
  private func problems(
    _ function: FunctionValue, _ world: World, _ storages: [StorageID], unknowns: Set<String> = [],
    progress: CheckProgress
  ) -> [Diagnostic] {
    let types = function.declaration.parameters.compactMap(\.type) + function.declaration.results
    guard types.contains(where: \.hasEllipsis) else {
      return problems(function, world, storages, Generic(unknowns: unknowns), progress)
    }
    var first: [Diagnostic] = []
    for (index, names) in [["M"], ["M", "N"], [], ["L", "M", "N"]].enumerated() {
      let dims = names.map { Dim(symbol: "...\($0)") }
      let found = problems(function, world, storages, Generic(unknowns: unknowns, ellipsis: dims), progress)
      if !found.contains(where: { $0.severity == .error }) { return found }
      first = index == 0 ? found : first.filter { old in found.contains { $0.span == old.span } }
    }
    return first
  }

  private func problems(
    _ function: FunctionValue, _ world: World, _ storages: [StorageID], _ generic: Generic, _ progress: CheckProgress
  ) -> [Diagnostic] {
    var found = DiagnosticSet()
    for training in [false, true] {
      let elaborator = Elaborator(self, world: world, progress: progress)
      elaborator.generic = generic
      elaborator.training = training
      elaborator.elaborateGenerically(function, storages: storages)
      for diagnostic in elaborator.diagnostics.all { found.add(diagnostic) }
    }
    return found.all
  }
}

extension Elaborator {
  /// A layer made from arguments that stand for any.
  fileprivate func makeGenerically(_ type: TypeValue) -> InstanceID? {
    let given = within(Frame(name: type.declaration.name.text, module: type.module)) {
      type.declaration.parameters.filter { $0.defaultValue == nil }.map {
        Given(name: $0.name, value: anyValue(of: $0), span: $0.span)
      }
    }
    return make(type, given, type.declaration.name.span)
  }
}

extension TypeExpr {
  fileprivate var hasEllipsis: Bool {
    if case .tensor(_, let dims, _) = self { dims.contains(where: \.isEllipsis) } else { false }
  }
}
