/// The version of this package.
public enum LTMVersion {
  /// As in the package's tags.
  public static let current = "0.1.0"
}
