import LTMIR

extension Dataset {
  /// Arrays in memory instead of a file, checked alike; `name` is what messages call them.
  package init(
    name: String, train: [String: Tensor], test: [String: Tensor], fields: [DataField]
  ) throws(FileError) {
    path = name
    self.train = try Split(name, try named(train, fields, name), fields)
    self.test = test.isEmpty ? nil : try Split(name, try named(test, fields, name), fields)
  }

  /// The same rows in other dtypes, by parameter: once here instead of batch by batch.
  package func converted(_ dtype: (_ parameter: String) -> DType?) throws(FileError) -> Dataset {
    func convert(_ split: Split) throws(FileError) -> Split {
      let fields = split.tensors.keys.sorted().map { DataField(parameter: $0, key: $0, dtype: dtype($0)) }
      return try Split(path, try named(split.tensors, fields, path), fields)
    }
    return try Dataset(
      path: path, train: convert(train), test: test.map { (split) throws(FileError) in try convert(split) })
  }
}

/// The tensor of each field.
private func named(
  _ tensors: [String: Tensor], _ fields: [DataField], _ path: String
) throws(FileError) -> [NamedTensor] {
  var result: [NamedTensor] = []
  for field in fields {
    guard let tensor = tensors[field.parameter] else {
      throw FileError(path, "holds nothing for '\(field.parameter)'", remedy: "give one array for each parameter")
    }
    result.append(NamedTensor(name: field.parameter, tensor: tensor))
  }
  return result
}
