/// The first element of a list of layers that a layer's path leads through: `blocks.3` of `blocks.3.ln1`; `nil` where it
/// leads through none.
package func listElement(in scope: String) -> String? {
  let names = scope.split(separator: ".", omittingEmptySubsequences: false)
  guard let place = names.firstIndex(where: { $0.first?.isNumber ?? false }) else { return nil }
  return names[...place].joined(separator: ".")
}
