/// The normative grammar of `.ltm`, as it is read by the tests that hold the parser to it.
public enum Grammar {
  /// The text of `grammar/ltm.ebnf`.
  public static var ebnf: String { String(decoding: PackageResources.ltm_ebnf, as: UTF8.self) }
}
