import Foundation
import LTM
import TestSupport
import Testing

/// `samples/embed` is a package of its own that names this one by URL and version: built here against a tagged copy.
@Suite struct EmbedTests {
  @Test func aPackageThatNamesUsByVersionBuildsAndTrains() throws {
    let folder = try TemporaryFolder()
    let script = """
      set -eu
      mkdir "$FOLDER/ltm" "$FOLDER/embed"
      cd "$ROOT"
      git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do [ -e "$file" ] || [ -L "$file" ] && printf '%s\\0' "$file"; done \
        | tar --null -T - -cf - | tar -xf - -C "$FOLDER/ltm"
      cp -r samples/embed/. "$FOLDER/embed/"
      cd "$FOLDER/ltm"
      git init -q
      git add -A -f
      git -c user.name=test -c user.email=test@localhost commit -qm copy
      git tag 0.1.0
      echo "tagged: commit $(git rev-parse --short=12 HEAD)"
      cd "$FOLDER/embed"
      LTM_URL="file://$FOLDER/ltm" swift build --disable-index-store 2>&1
      LTM_URL="file://$FOLDER/ltm" swift run --skip-build embed "$ROOT/samples/digits.ltm"
      """
    let process = Process()
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = ["-c", script]
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["FOLDER": folder.path, "ROOT": Command.root]) { _, new in new }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let output = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(output.suffix(4000))")
    let commit = try #require(output.firstMatch(of: /tagged: (commit [0-9a-f]{12})/)?.1)
    #expect(output.contains("ltm \(LTMVersion.current) (\(commit))"), "\(output.suffix(2000))")
    #expect(output.contains("test accuracy: 0.9"), "\(output.suffix(2000))")
    #expect(output.contains("result: f32[2, 10]"), "\(output.suffix(2000))")
  }
}
