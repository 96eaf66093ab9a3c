import Glibc

/// Opens shared libraries, whose code runs at once. A path, which has a slash, is opened as it is. A bare name is looked
/// for among the system's libraries, as the loader does, but never in the current folder: an entry of `LD_LIBRARY_PATH`
/// that is empty or relative does not count.
package enum SystemLibrary {
  /// A library that could not be opened: the reasons, one for each place where it lies.
  package struct Refusal: Error {
    /// What the loader said.
    package let reason: String
    package init(reason: String) { self.reason = reason }
  }

  /// Opens a library; it stays.
  ///
  /// - Parameter sharesSymbols: whether libraries that it opens itself find its symbols.
  package static func open(_ name: String, sharesSymbols: Bool = false) throws(Refusal) -> UnsafeMutableRawPointer {
    if name.isEmpty || name.contains("\0") { throw Refusal(reason: "'\(name)' is not the name of a library") }
    if name.contains("/") { return try load(name, sharesSymbols) }
    let places = candidates(name)
    if places.isEmpty { throw Refusal(reason: missing(name)) }
    var reasons: [String] = []
    for place in places {
      do throws(Refusal) { return try load(place, sharesSymbols) } catch { reasons.append(error.reason) }
    }
    throw Refusal(reason: reasons.joined(separator: "; "))
  }

  private static func load(_ path: String, _ sharesSymbols: Bool) throws(Refusal) -> UnsafeMutableRawPointer {
    if let library = dlopen(path, RTLD_NOW | (sharesSymbols ? RTLD_GLOBAL : RTLD_LOCAL)) { return library }
    throw Refusal(reason: dlerror().map { String(cString: $0) } ?? "\(path): it is no shared library")
  }

  private static func missing(_ name: String) -> String {
    let isHere = access("./" + name, F_OK) == 0
    return "\(name): not among the system's libraries"
      + (isHere
        ? "; the file of that name in this folder is not opened unless it is named with a slash, ./\(name)" : "")
  }

  /// Where a bare name lies, in the loader's order: `LD_LIBRARY_PATH`, the loader's cache, the standard folders.
  private static func candidates(_ name: String) -> [String] {
    let chosen = absoluteFolders(in: "LD_LIBRARY_PATH")
    let places =
      chosen.map { "\($0)/\(name)" } + LoaderCache.paths(of: name, in: LoaderCache.standard)
      + standardFolders.map { "\($0)/\(name)" }
    var seen: Set<String> = []
    return places.filter { seen.insert($0).inserted && access($0, F_OK) == 0 }
  }

  private static var standardFolders: [String] {
    #if arch(arm64)
      let triple = "aarch64-linux-gnu"
    #else
      let triple = "x86_64-linux-gnu"
    #endif
    return ["/lib/\(triple)", "/usr/lib/\(triple)", "/lib64", "/usr/lib64", "/usr/local/lib", "/lib", "/usr/lib"]
  }
}
