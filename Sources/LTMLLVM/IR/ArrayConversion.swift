import LTMIR
import LTMKernels

extension Kernel {
  /// Converts `count` elements between float dtypes: what the runtime uses on whole arrays, since scalar conversions to
  /// half precision are slow in Swift.
  package static func conversion(of count: Int, from source: DType, to target: DType) -> Kernel {
    var kernel = Kernel(name: "convert_\(source)_\(target)")
    kernel.axes = [KernelAxis(name: "i", extent: count)]
    kernel.domainRank = 1
    kernel.buffers = [
      KernelBuffer(name: "x", dtype: source, shape: [count], access: .read),
      KernelBuffer(name: "y", dtype: target, shape: [count], access: .write),
    ]
    let place = Affine(axis: AxisID(0))
    kernel.expressions = [.load(BufferID(0), [.affine(place)], guards: [], otherwise: 0)]
    var value = ScalarID(0)
    func append(_ expression: ScalarExpr) {
      kernel.expressions.append(expression)
      value = ScalarID(kernel.expressions.count - 1)
    }
    // One rounding, in f64; what follows is exact.
    if source == .f64, target.isHalf { append(.round(value, target)) }
    if source.loaded != target.loaded { append(.convert(value, target.loaded)) }
    kernel.body = [.store(KernelStore(BufferID(1), [place], value))]
    return kernel
  }
}
