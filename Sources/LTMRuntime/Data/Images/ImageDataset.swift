import LTMIR
import LTMSupport

extension Dataset {
  /// Images of a folder or a list: of a field whose parameter takes images the pixels, of any other the class.
  init(imagesAt path: String, _ fields: [DataField], _ rules: CategoryRules) throws(FileError) {
    let places = try imagePlaces(path)
    // Where nothing is to train on, there is no split: all of them are meant.
    let isWhole = !places.contains { $0.split == "train" }
    let isLabelled = fields.contains { !$0.takesPixels }
    let known = rules.known.map { $0[ImagePlace.key] ?? [] }
    let names = known ?? Set(places.compactMap(\.label)).sorted()
    let classes = ImageClasses(names: names, unseen: rules.unseen(in: ImagePlace.key))
    func split(_ name: String) throws(FileError) -> Split? {
      if isWhole, name != "train" { return nil }
      var images: [ImagePlace] = []
      for place in places where place.split == name || isWhole && name == "train" {
        let isMeant = isLabelled ? try classes.number(of: place) != nil : true
        if isMeant { images.append(place) }
      }
      return images.isEmpty ? nil : try Split(images, classes, fields, path)
    }
    guard let train = try split("train") else {
      throw FileError(path, "holds no images to train on", remedy: imageForm)
    }
    self.init(
      path: path, train: train, validation: try split("val"), test: try split("test"),
      categories: isLabelled ? [ImagePlace.key: names] : nil)
  }
}

extension Dataset.Split {
  fileprivate init(
    _ places: [ImagePlace], _ classes: ImageClasses, _ fields: [DataField], _ path: String
  ) throws(FileError) {
    guard places.count <= Int(Int32.max) else { throw FileError(path, "holds too many images") }
    var images: [String: ImageRows] = [:]
    for field in fields where field.takesPixels {
      images[field.parameter] = ImageRows(
        places.map(\.path), row: try field.imageShape(path), dtype: field.dtype ?? .f32)
    }
    try images.values.first?.check()
    let others = fields.filter { !$0.takesPixels }
    var labels: [NamedTensor] = []
    for field in others { labels.append(NamedTensor(name: field.key, tensor: try classes.labels(of: places, path))) }
    let labelled = try Self(path, labels, others)
    self.init(tensors: labelled.tensors, count: places.count, images: images)
  }
}

extension DataField {
  /// Whether a row of the parameter is an image, and not a class.
  var takesPixels: Bool { row?.count == 3 || dtype?.isFloating == true }

  /// Channels, height and width.
  fileprivate func imageShape(_ path: String) throws(FileError) -> [Int] {
    let sizes = (row ?? []).compactMap(\.self)
    let isPossible = dtype.map { $0.isFloating || $0 == .u8 } ?? true
    guard row?.count == 3, sizes.count == 3, [1, 3, 4].contains(sizes[0]), sizes.allSatisfy({ $0 > 0 }), isPossible,
      let count = elementCount(sizes), count <= DecodedImage.limit
    else {
      throw FileError(
        path, "holds images, and a row of '\(shown(parameter))' has no shape of an image",
        remedy:
          "an image is [B, C, height, width] of floats or u8, in numbers, with 1, 3 or 4 channels; a class is i32[B]")
    }
    return sizes
  }
}

/// The classes of images, by their number.
private struct ImageClasses {
  private let names: [String]
  private let numbers: [String: Int]
  private let unseen: UnseenRule?

  init(names: [String], unseen: UnseenRule?) {
    (self.names, self.unseen) = (names, unseen)
    numbers = Dictionary(names.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// `nil` where the image is left out.
  func number(of image: ImagePlace) throws(FileError) -> Int? {
    guard let label = image.label else {
      throw FileError(image.path, "lies in no folder of a class", remedy: imageForm)
    }
    if let number = numbers[label] { return number }
    switch unseen {
    case .drop?: return nil
    case .last?: return names.count
    case nil:
      throw FileError(
        image.path, "is of the class '\(shown(label))', which training did not see",
        remedy: "--unseen drop leaves out such images, and last gives them the number \(names.count)")
    }
  }

  func labels(of images: [ImagePlace], _ path: String) throws(FileError) -> Tensor {
    var numbers: [Double] = []
    for image in images { numbers.append(Double(try number(of: image) ?? 0)) }
    guard let tensor = Tensor(numbers, shape: [numbers.count], dtype: .i64) else {
      throw FileError(path, "holds too many images")
    }
    return tensor
  }
}
