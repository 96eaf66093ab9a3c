internal import CLLVM
import LTMKernels
import LTMSupport

/// Line tables: which line of the `.ltm` each instruction computes, for debuggers, profilers and disassemblers. Functions
/// carry their kernel's name. The module that they are about is disposed of after this.
final class DebugInfo {
  private let context: LLVMContextRef
  private let builder: LLVMBuilderRef
  private let info: LLVMDIBuilderRef
  private let folder: String
  private var files: [String: LLVMMetadataRef] = [:]
  private var unit: LLVMMetadataRef?
  /// The scope of each function that was begun.
  private var scopes: [LLVMValueRef: LLVMMetadataRef] = [:]
  private var scope: (ref: LLVMMetadataRef, path: String)?
  private var paths: [LLVMValueRef: String] = [:]
  /// The kernel's place, which the function as a whole gets.
  private var kernel: (name: String, start: Location)?
  /// The place of the instructions that follow.
  private(set) var location: Location?

  /// - Parameter folder: what relative paths of locations start from.
  init?(_ workspace: borrowing Workspace, folder: String) {
    guard let info = LLVMCreateDIBuilder(workspace.module) else { return nil }
    (context, builder, self.info, self.folder) = (workspace.context, workspace.builder, info, folder)
    addFlag("Debug Info Version", UInt64(LLVMDebugMetadataVersion()), workspace.module)
    addFlag("Dwarf Version", 4, workspace.module)
  }

  deinit { LLVMDisposeDIBuilder(info) }

  private func addFlag(_ name: String, _ value: UInt64, _ module: LLVMModuleRef) {
    let number = LLVMValueAsMetadata(LLVMConstInt(LLVMInt32TypeInContext(context), value, 0))
    LLVMAddModuleFlag(module, LLVMModuleFlagBehaviorWarning, name, name.utf8.count, number)
  }

  /// What follows belongs to a kernel.
  func begin(_ kernel: Kernel) {
    let first = kernel.body.lazy.compactMap(kernel.location).first ?? kernel.locations.first
    self.kernel = first.map { (kernel.name, $0) }
  }

  /// What follows belongs to no kernel.
  func endKernels() { kernel = nil }

  /// Starts a function of the kernel. Without a place in the source it has no lines.
  func begin(_ function: LLVMValueRef, named symbol: String) {
    defer { resume(function) }
    guard let kernel, let file = file(kernel.start.path) else { return }
    let unit = unit ?? makeUnit(file)
    self.unit = unit
    var none: LLVMMetadataRef?
    let type = LLVMDIBuilderCreateSubroutineType(info, file, &none, 0, LLVMDIFlagZero)
    // A contraction has micro-kernels of its own: `.tile`, and `.rest` for what whole tiles leave over.
    let part = [".tile", ".rest"].first { symbol.hasSuffix($0) } ?? ""
    let name = kernel.name + part
    let line = UInt32(clamping: kernel.start.line)
    let made = LLVMDIBuilderCreateFunction(
      info, file, name, name.utf8.count, symbol, symbol.utf8.count, file, line, type, 0, 1, line, LLVMDIFlagZero, 1)
    guard let made else { return }
    LLVMSetSubprogram(function, made)
    (scopes[function], paths[function]) = (made, kernel.start.path)
  }

  /// What follows belongs to a function that was begun before.
  func resume(_ function: LLVMValueRef?) {
    guard let function, let ref = scopes[function], let path = paths[function] else {
      scope = nil
      LLVMSetCurrentDebugLocation2(builder, nil)
      return
    }
    scope = (ref, path)
    locate(kernel?.start)
  }

  /// What follows computes a place in the source.
  func locate(_ place: Location?) {
    location = place
    guard let scope, let place = place ?? kernel?.start else { return }
    // A layer may come from another file than its model: an import, or the prelude.
    let inner =
      place.path == scope.path ? scope.ref : LLVMDIBuilderCreateLexicalBlockFile(info, scope.ref, file(place.path), 0)
    LLVMSetCurrentDebugLocation2(
      builder,
      LLVMDIBuilderCreateDebugLocation(
        context, UInt32(clamping: place.line), UInt32(clamping: place.column), inner, nil))
  }

  /// Completes the tables. Nothing may be emitted after it.
  func finish() { LLVMDIBuilderFinalize(info) }

  private func file(_ path: String) -> LLVMMetadataRef? {
    if let known = files[path] { return known }
    let file = LLVMDIBuilderCreateFile(info, path, path.utf8.count, folder, folder.utf8.count)
    files[path] = file
    return file
  }

  private func makeUnit(_ file: LLVMMetadataRef) -> LLVMMetadataRef? {
    LLVMDIBuilderCreateCompileUnit(
      info, LLVMDWARFSourceLanguageC, file, "ltm", 3, 1, "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, 0, 0, "", 0, "", 0)
  }
}
