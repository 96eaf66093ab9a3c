import LTMIR

extension Plan: CustomStringConvertible {
  /// The buffers, the launches in order, then each kernel.
  package var description: String {
    var lines = ["plan @\(name) arena \(arenaBytes) activations \(activationBytes) {"]
    for (index, buffer) in buffers.enumerated() {
      let place =
        switch buffer.place {
        case .input(let name): "input \(name)"
        case .output(let name): "output \(name)"
        case .arena(let offset): "arena \(offset)"
        }
      lines.append("  buffer #\(index) \(buffer.name): \(buffer.dtype)[\(commaList(buffer.shape))] \(place)")
    }
    for launch in launches {
      let arguments = launch.arguments.map { "#\($0.index)" }.joined(separator: ", ")
      let results = launch.results.map(\.description).joined(separator: ", ")
      lines.append(
        "  launch @\(kernels[launch.kernel].name)(\(arguments))" + (results.isEmpty ? "" : "  // \(results)"))
    }
    lines.append("}")
    return lines.joined(separator: "\n") + "\n" + kernels.map { "\n" + $0.description }.joined()
  }
}
