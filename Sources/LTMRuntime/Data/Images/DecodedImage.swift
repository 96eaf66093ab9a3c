import CImages
import Foundation
import LTMSupport

/// An image as it is in its file.
struct DecodedImage {
  let height: Int
  let width: Int
  /// By row, then column: red, green, blue, alpha.
  private let bytes: [UInt8]

  /// The pixels that an image may have: 512 MB as they are decoded.
  static let limit = 1 << 27

  /// Reads a PNG or a JPEG, by what it holds and not by its name.
  init(_ path: String) throws(FileError) {
    try self.init(path: path, bytes: ByteSource(path: path).all(limit: 1 << 30))
  }

  /// The same from memory.
  init(path: String, bytes: [UInt8]) throws(FileError) {
    let image = try Self.read(path, bytes, sizeOnly: false)
    defer { free(image.pixels) }
    (height, width) = (Int(image.height), Int(image.width))
    self.bytes = Array(UnsafeBufferPointer(start: image.pixels, count: height * width * 4))
  }

  /// Throws where a file is not there, is no image, or one of a size that is not read. The pixels are not looked at.
  static func check(_ path: String) throws(FileError) {
    let source = try ByteSource(path: path)
    // Large profiles may stand before the size.
    if source.count > 1 << 16, (try? read(path, source.read(0, 1 << 16, "the header"), sizeOnly: true)) != nil {
      return
    }
    _ = try read(path, source.all(limit: 1 << 30), sizeOnly: true)
  }

  private static func read(_ path: String, _ bytes: [UInt8], sizeOnly: Bool) throws(FileError) -> ltm_image {
    var image = ltm_image()
    ltm_read_image(bytes, bytes.count, sizeOnly ? 1 : 0, limit, &image)
    let problem = withUnsafeBytes(of: &image.problem) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    guard problem.isEmpty, sizeOnly || image.pixels != nil else {
      free(image.pixels)
      throw FileError(
        path, "cannot be read: \(shown(problem))", remedy: "images are PNG or JPEG, in grey or in red, green and blue")
    }
    return image
  }

  /// A channel, from 0 to 255, by row. One channel in all is grey, by the luma of ITU-R BT.601; four are red, green, blue and alpha.
  private func channel(_ index: Int, of channels: Int) -> [Float] {
    bytes.withUnsafeBufferPointer { bytes in
      (0..<height * width).map { place in
        if channels > 1 { return Float(bytes[place * 4 + index]) }
        let (red, green, blue) = (Int(bytes[place * 4]), Int(bytes[place * 4 + 1]), Int(bytes[place * 4 + 2]))
        return Float((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)
      }
    }
  }

  /// The channels one after the other, from 0 to 255, in another size: each pixel the mean of those that it covers, weighed by a triangle, as
  /// PyTorch's `interpolate(mode="bilinear", antialias=True)` has it.
  func resized(channels: Int, height: Int, width: Int) -> [Float] {
    let (down, across) = (Resampling(self.height, height), Resampling(self.width, width))
    var result: [Float] = []
    result.reserveCapacity(channels * height * width)
    for index in 0..<channels {
      let pixels = channel(index, of: channels)
      let rows = across.lines(pixels, count: self.height, length: self.width)
      result += down.columns(rows, width: width)
    }
    return result
  }
}

/// Along one axis for each place of the result the places that it is made of, with their weights.
private struct Resampling {
  private var parts: [(first: Int, weights: [Float])] = []

  init(_ from: Int, _ to: Int) {
    let scale = Double(from) / Double(to)
    let support = max(scale, 1)
    for place in 0..<to {
      let centre = (Double(place) + 0.5) * scale
      let first = max(Int(centre - support + 0.5), 0)
      let end = min(Int(centre + support + 0.5), from)
      let weights = (first..<max(end, first + 1)).map { max(0, 1 - abs((Double($0) + 0.5 - centre) / support)) }
      let sum = weights.reduce(0, +)
      parts.append((first, weights.map { Float(sum > 0 ? $0 / sum : 1 / Double(weights.count)) }))
    }
  }

  /// Each line in its new length.
  func lines(_ pixels: [Float], count: Int, length: Int) -> [Float] {
    var result: [Float] = []
    result.reserveCapacity(count * parts.count)
    for line in 0..<count {
      for part in parts {
        var sum: Float = 0
        for (offset, weight) in part.weights.enumerated() {
          sum += weight * pixels[line * length + part.first + offset]
        }
        result.append(sum)
      }
    }
    return result
  }

  /// Lines of a width made of those that there are.
  func columns(_ pixels: [Float], width: Int) -> [Float] {
    var result = [Float](repeating: 0, count: parts.count * width)
    for (line, part) in parts.enumerated() {
      for (offset, weight) in part.weights.enumerated() {
        let source = (part.first + offset) * width
        for column in 0..<width { result[line * width + column] += weight * pixels[source + column] }
      }
    }
    return result
  }
}
