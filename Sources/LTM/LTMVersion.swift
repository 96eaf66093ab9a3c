import LTMSupport

/// The version of this package.
public enum LTMVersion {
  /// As in the package's tags.
  public static let current = compilerVersion
  /// The commit that the package was built from, whatever was changed since; `nil` where it was built outside of a clone.
  public static let commit = compilerCommit

  /// `0.1.0 (commit 0123456789ab)`
  public static let text = "\(current) (\(commit.map { "commit \($0.prefix(12))" } ?? "unknown commit"))"
}
