import LTMIR
import LTMSupport

/// Weights in several files, with an index that says which holds what: `model.safetensors.index.json` beside its shards.
package struct ShardedFile: TensorArchive {
  /// The index.
  package let path: String
  /// The tensors' names, in the index's order.
  package let names: [String]
  private let shards: [String: any TensorArchive]
  private let places: [String: String]

  /// Reads an index and opens its shards.
  package init(path: String) throws(FileError) {
    self.path = path
    let map = try Self.weightMap(path)
    names = map.map(\.name)
    places = Dictionary(map.map { ($0.name, $0.shard) }, uniquingKeysWith: { first, _ in first })
    let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().map { $0 + "/" }.joined()
    var shards: [String: any TensorArchive] = [:]
    for shard in places.values where shards[shard] == nil { shards[shard] = try openTensors(folder + shard) }
    self.shards = shards
  }

  private static func weightMap(_ path: String) throws(FileError) -> [(name: String, shard: String)] {
    let source = try ByteSource(path: path)
    let bytes = try source.all(limit: 100_000_000)
    let json: JSON
    do throws(JSONError) { json = try JSON(parsing: bytes) } catch {
      throw FileError(path, "is no index of weights: \(error)", remedy: "copy or download the file again")
    }
    guard let members = json["weight_map"]?.members else {
      throw FileError(
        path, "is no index of weights: it has no 'weight_map'",
        remedy: "an index is called model.safetensors.index.json and stands beside its files")
    }
    var map: [(name: String, shard: String)] = []
    for member in members {
      guard case .string(let shard) = member.value, !shard.contains("/"), !shard.isEmpty, fileEnding(shard) != "json"
      else {
        throw FileError(
          path, "says that '\(shown(member.key))' is in \(member.value), which is no file beside it",
          remedy: "shards stand in the folder of their index")
      }
      map.append((member.key, shard))
    }
    return map
  }

  /// What a shard says of a tensor.
  package func entry(_ name: String) throws(FileError) -> TensorEntry { try shard(name).entry(name) }

  /// Reads a tensor.
  package func tensor(_ name: String) throws(FileError) -> Tensor { try shard(name).tensor(name) }

  /// What is worth knowing of the shards.
  package var warnings: [Diagnostic] { shards.sorted { $0.key < $1.key }.flatMap(\.value.warnings) }

  private func shard(_ name: String) throws(FileError) -> any TensorArchive {
    guard let place = places[name], let shard = shards[place] else { throw missing(name) }
    guard shard.names.contains(name) else {
      throw FileError(shard.path, "lacks '\(shown(name))', which its index promises", remedy: "download the file again")
    }
    return shard
  }
}
