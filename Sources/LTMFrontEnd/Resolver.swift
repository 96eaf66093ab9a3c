import LTMSupport
import LTMSyntax
struct Resolver {
  var file: LoadedFile; var diagnostics: DiagnosticSet
  mutating func resolveAll() {}
}
