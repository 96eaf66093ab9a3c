import Foundation
import LTMSupport

// Where images are: a folder with a folder for each class, `cat/1.png`, under `train`, `val` and `test` or not; or a list of such files, a path a line.

/// An image, what for, and which class it is of.
struct ImagePlace {
  let path: String
  let split: String
  /// `nil` where it lies in no folder of a class.
  let label: String?
  /// What a checkpoint calls the classes.
  static let key = "class"
  static let splits = ["train", "val", "test"]
}

let imageForm = "images are CLASS/NAME.png or .jpg, or train/CLASS/..., val/CLASS/... and test/CLASS/..."

/// Whether a path is a folder of images, or a list of them.
func holdsImages(_ path: String) -> Bool {
  guard let ending = fileEnding(path) else { return path.hasSuffix("/") || isFolder(path) }
  // A folder that is called as a file of numbers is most likely a mistake.
  let isFile = (["safetensors", "npz", "npy", "csv"] + torchEndings).contains(ending)
  return ending == "list" || path.hasSuffix("/") || (!isFile && isFolder(path))
}

/// The images of a folder in the order of their names, or those of a list in its order.
func imagePlaces(_ path: String) throws(FileError) -> [ImagePlace] {
  if fileEnding(path) == "list", !isFolder(path) { return try listedImages(path) }
  guard isFolder(path) else {
    throw FileError(path, "no such folder", remedy: "a path in a .ltm file is relative to that file")
  }
  var folder = ImageFolder()
  return try folder.places(path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path)
}

private func isFolder(_ path: String) -> Bool {
  var isFolder: ObjCBool = false
  return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
}

/// A path a line, from where the list is, and behind a tab its class; without one it is that of the folder that the image lies in.
private func listedImages(_ path: String) throws(FileError) -> [ImagePlace] {
  let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
  let text = String(decoding: try ByteSource(path: path).all(limit: 1 << 30), as: UTF8.self)
  var places: [ImagePlace] = []
  for line in text.split(whereSeparator: \.isNewline) {
    let parts = line.split(separator: "\t", maxSplits: 1).map(String.init)
    guard let name = parts.first else { continue }
    var folders = name.split(separator: "/").dropLast().map(String.init)
    let label = folders.popLast()
    let split = folders.last.flatMap { ImagePlace.splits.contains($0) ? $0 : nil } ?? "train"
    let place = name.hasPrefix("/") ? name : folder + name
    places.append(ImagePlace(path: place, split: split, label: parts.count > 1 ? parts[1] : label))
  }
  return places
}

/// A walk through a folder of images.
private struct ImageFolder {
  private var places: [ImagePlace] = []
  private static let endings = ["png", "jpg", "jpeg"]
  /// Images too, which a run would silently lack.
  private static let others = ["gif", "bmp", "webp", "tif", "tiff", "heic", "heif", "avif", "ppm", "pgm"]
  private static let depth = 16

  mutating func places(_ path: String) throws(FileError) -> [ImagePlace] {
    let names = try Self.names(path)
    let splits = names.filter { ImagePlace.splits.contains($0) && isFolder("\(path)/\($0)") }
    if splits.isEmpty { try addClasses(path, names, split: "train") }
    for split in splits { try addClasses("\(path)/\(split)", try Self.names("\(path)/\(split)"), split: split) }
    return places
  }

  private mutating func addClasses(_ path: String, _ names: [String], split: String) throws(FileError) {
    for name in names {
      let place = "\(path)/\(name)"
      if isFolder(place) {
        let before = places.count
        try add(place, split: split, label: name, above: [])
        if places.count == before {
          throw FileError(
            place, "is the folder of a class, and holds no images", remedy: "remove it, or put some in it")
        }
      } else {
        try addFile(place, split: split, label: nil)
      }
    }
  }

  private mutating func add(_ path: String, split: String, label: String, above: [String]) throws(FileError) {
    let real = URL(filePath: path).resolvingSymlinksInPath().path
    guard !above.contains(real), above.count < Self.depth else {
      throw FileError(path, "leads back to a folder that it lies in, or too deep", remedy: "remove the link")
    }
    for name in try Self.names(path) {
      let place = "\(path)/\(name)"
      if isFolder(place) {
        try add(place, split: split, label: label, above: above + [real])
      } else {
        try addFile(place, split: split, label: label)
      }
    }
  }

  private mutating func addFile(_ path: String, split: String, label: String?) throws(FileError) {
    let ending = fileEnding(path) ?? ""
    if Self.others.contains(ending) {
      throw FileError(path, "is no PNG or JPEG", remedy: "convert it to one, or move it elsewhere")
    }
    if Self.endings.contains(ending) { places.append(ImagePlace(path: path, split: split, label: label)) }
  }

  /// What a folder holds, in order, but for what is hidden.
  private static func names(_ path: String) throws(FileError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }.sorted()
    } catch {
      throw FileError(path, "cannot be looked into", remedy: "change its permissions")
    }
  }
}
