import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMSupport
import TestSupport
import Testing

/// Parts that are written in place, or into a copy where the old value is still read.
@Suite struct PartialWriteTests {
  private func written(
    _ build: (inout GraphBuilder, _ cache: ValueID, _ part: ValueID, _ start: ValueID) -> Void
  ) -> SampleGraph {
    SampleGraph("written") { b in
      let cache = b.argument("cache", .f32, [2, 6, 4], .cache)
      let (part, start) = (b.argument("part", .f32, [2, 2, 4]), b.argument("start", .i32, [2]))
      build(&b, cache, part, start)
    }
  }

  private func write(
    _ b: inout GraphBuilder, _ whole: ValueID, _ part: ValueID, _ start: ValueID, wraps: Bool = false
  ) -> ValueID {
    b.make(.writeAt, [whole, part, start], ["axis": .int(1), "wraps": .bool(wraps)])
  }

  private func kernels(in text: String) throws -> [Kernel] { try parseKernels(SourceFile(path: "kernel", text: text)) }

  private func check(_ sample: SampleGraph, copies: Int) throws {
    let plan = try buildPlan(sample.graph)
    #expect(plan.verify() == [])
    #expect(plan.launches.count { plan.kernels[$0.kernel].name.contains("copy") } == copies, "\(plan)")
    let inputs = sample.inputs()
    let (found, wanted) = (try plan.evaluate(inputs), try sample.graph.evaluate(inputs, rounding: .everyOp))
    for output in sample.graph.outputs {
      let value = try #require(found[output.updates ?? output.name])
      expectClose(value.data, try #require(wanted[output.name]).data, .relative(1e-6), "\(output.name): ")
    }
  }

  @Test("readers of the old value come first, and the part alone is written", arguments: [false, true])
  func inPlace(_ wraps: Bool) throws {
    let sample = written { b, cache, part, start in
      let new = write(&b, cache, part, start, wraps: wraps)
      b.output("after", b.sum(new, [1]))
      b.output("before", b.sum(cache, [1]))
      b.output("cache", new, updates: "cache")
    }
    try check(sample, copies: 0)
    let all = try buildPlan(sample.graph).kernels
    let writer = try #require(all.first { kernel in kernel.body.flatMap(\.stores).contains { $0.shift != nil } })
    // The domain is the part, and nothing is read of the whole.
    #expect(writer.axes.prefix(writer.domainRank).map(\.extent) == [2, 2, 4])
    #expect(writer.buffers.filter { $0.access == .readWrite }.map(\.shape) == [[2, 6, 4]])
    #expect(try kernels(in: "\(writer)").first?.description == "\(writer)")
  }

  @Test("an old value that is read afterwards stays, and the new one is a copy") func afterwards() throws {
    try check(
      written { b, cache, part, start in
        let new = write(&b, cache, part, start)
        // What is made of the new value decides what of the old one is read.
        let place = b.cast(b.make(.floor, [b.sum(new, [0, 1, 2])]), to: .i32)
        b.output("old", b.make(.gather, [cache, place], ["axis": .int(1)]))
        b.output("cache", new, updates: "cache")
      }, copies: 2)
  }

  @Test("a part of what no input holds is written into a copy") func ofNothing() throws {
    try check(
      written { b, cache, part, start in
        let square = b.mul(cache, cache)
        let new = write(&b, square, part, start)
        b.output("new", b.add(new, cache))
      }, copies: 1)
  }

  @Test("a shift that its own axis moves, or of a buffer that is written whole, is refused") func refused() throws {
    let text = """
      kernel @k(%0 x: f32[2, 3] read, %1 s: i32[3] read, %2 y: f32[2, 5] read_write) {
        domain m: 2, n: 3
        y[m, at {s[n]} n] = x[m, n]
      }
      """
    let kernel = try #require(try kernels(in: text).first)
    #expect(kernel.verify() == ["kernel_c10: @k: y is written at a place that its own axis changes"])
    let whole = try #require(
      try kernels(in: text.replacing("read_write", with: "write").replacing("s[n]", with: "s[m]")).first)
    #expect(whole.verify() == ["kernel_c10: @k: y is written in part, and not read_write"])
  }
}
