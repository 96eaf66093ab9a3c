internal import CVersion

/// The version of this package, as in its tags.
package let compilerVersion = "0.1.0"

/// The commit that it was built from, as 40 hexadecimal digits; `nil` where git did not tell.
package let compilerCommit: String? = {
  let commit = String(cString: ltm_commit())
  return commit.isEmpty ? nil : commit
}()
