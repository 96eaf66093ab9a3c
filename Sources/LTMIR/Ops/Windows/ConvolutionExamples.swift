// What every suite that goes over the op table tries convolutions on: sizes of 1, padding wider than the kernel, strides, dilation
// and groups, in all their paths.

/// A convolution's shapes, of two spatial axes or as many of them as are asked for.
struct ConvolutionExample {
  var x: [Int]
  var weight: [Int]
  var stride: [Int]
  var padding: [Int]
  var dilation: [Int]
  var groups: Int

  init(
    _ x: [Int], _ weight: [Int], stride: [Int] = [1, 1, 1], padding: [Int] = [0, 0, 0], dilation: [Int] = [1, 1, 1],
    groups: Int = 1
  ) {
    (self.x, self.weight, self.groups) = (x, weight, groups)
    (self.stride, self.padding, self.dilation) = (stride, padding, dilation)
  }

  static let all = [
    ConvolutionExample([2, 2, 5, 4, 3], [3, 2, 3, 3, 2]),
    ConvolutionExample([1, 1, 4, 3, 4], [2, 1, 2, 1, 3], stride: [2, 3, 1], padding: [3, 1, 1]),
    ConvolutionExample([2, 4, 6, 5, 3], [4, 2, 3, 2, 1], stride: [2, 1, 2], padding: [1, 2, 0], groups: 2),
    ConvolutionExample([1, 3, 5, 6, 4], [3, 1, 3, 3, 2], stride: [1, 2, 2], padding: [1, 1, 1], groups: 3),
    ConvolutionExample(
      [2, 2, 7, 5, 4], [4, 1, 2, 3, 2], stride: [2, 2, 1], padding: [0, 2, 0], dilation: [3, 2, 1], groups: 2),
    ConvolutionExample([1, 4, 3, 3, 2], [2, 4, 1, 1, 1], stride: [2, 2, 1]),
    ConvolutionExample([1, 4, 3, 2, 2], [5, 4, 1, 1, 1]),
  ]

  /// Of fewer axes.
  func of(rank: Int) -> ConvolutionExample {
    ConvolutionExample(
      Array(x.prefix(rank + 2)), Array(weight.prefix(rank + 2)), stride: Array(stride.prefix(rank)),
      padding: Array(padding.prefix(rank)), dilation: Array(dilation.prefix(rank)), groups: groups)
  }

  var result: [Int] {
    let counts = stride.indices.map { axis in
      (x[axis + 2] + 2 * padding[axis] - dilation[axis] * (weight[axis + 2] - 1) - 1) / stride[axis] + 1
    }
    return [x[0], weight[0]] + counts
  }

  var attributes: Attributes {
    ["stride": .ints(stride), "padding": .ints(padding), "dilation": .ints(dilation), "groups": .int(groups)]
  }
}

func convolutionExamples(_ rank: Int) -> [OpExample] {
  ConvolutionExample.all.map { $0.of(rank: rank) }.enumerated().map { index, example in
    let bias: [([Int], OpExample.Fill)] = index % 2 == 0 ? [([example.weight[0]], .any)] : []
    return OpExample([(example.x, .any), (example.weight, .any)] + bias, example.attributes)
  }
}

func transposedExamples(_ rank: Int) -> [OpExample] {
  ConvolutionExample.all.map { $0.of(rank: rank) }.enumerated().map { index, example in
    var attributes = example.attributes
    let extra = example.stride.map { $0 > 1 ? index % 2 : 0 }
    attributes["output_padding"] = .ints(extra)
    let outputs = example.weight[1] * example.groups
    let bias: [([Int], OpExample.Fill)] = index % 2 == 0 ? [([outputs], .any)] : []
    return OpExample([(example.result, .any), (example.weight, .any)] + bias, attributes)
  }
}

func adjointExamples(
  _ operands: (ConvolutionExample) -> [[Int]], shape: (ConvolutionExample) -> [Int]
) -> [OpExample] {
  ConvolutionExample.all.map { $0.of(rank: 2) }.map { example in
    var attributes = example.attributes
    attributes["shape"] = .dims(shape(example).map { Dim($0) })
    return OpExample(operands(example).map { ($0, .any) }, attributes)
  }
}
