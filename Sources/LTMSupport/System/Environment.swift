import Glibc

/// The folders of an environment variable such as `PATH`, without those that depend on the current folder.
package func absoluteFolders(in variable: String) -> [String] {
  environment(variable)?.split(whereSeparator: { $0 == ":" }).map(String.init).filter { $0.hasPrefix("/") } ?? []
}

/// What the system calls an error number.
package func systemMessage(_ code: Int32) -> String {
  guard let text = strerror(code) else { return "error \(code)" }
  return String(cString: text).lowercased()
}

/// An environment variable that is set to something.
package func environment(_ name: String) -> String? {
  getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
}
