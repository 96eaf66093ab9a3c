// swift-tools-version: 6.2
// A package of its own that names ltm by URL and version, as any user's does. LTM_URL points elsewhere: a fork, a mirror, a local clone.
import PackageDescription

let package = Package(
  name: "embed",
  dependencies: [.package(url: Context.environment["LTM_URL"] ?? "https://github.com/ltm-lang/ltm", from: "0.1.0")],
  targets: [.executableTarget(name: "embed", dependencies: [.product(name: "LTM", package: "ltm")])],
  swiftLanguageModes: [.v6]
)
