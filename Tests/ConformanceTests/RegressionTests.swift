import Dispatch
import LTM
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMLLVM
import OpCases
import Synchronization
import Testing

/// What the random graphs and the op cases have found, as small as it gets.
@Suite struct RegressionTests {
  private func check(_ build: (inout GraphBuilder) throws -> Void) throws {
    var b = GraphBuilder(name: "regression")
    try build(&b)
    try expectAgreementEverywhere(b.graph, randomTensors(b.graph, [:], seed: 1), "regression") { _ in .units(16) }
  }

  @Test("an update of a shape with ones in it may be written in place") func updateWithUnitDimension() throws {
    try check { b in
      let x = b.input("x", TensorType(.f32, [1, 8]), role: .state)
      let y = b.input("y", TensorType(.f32, [8, 1]), role: .argument)
      let row = try b.apply(.reshape, [y], ["shape": .dims([1, 8])])
      b.output("next", b.mul(row, x), updates: "x")
    }
  }

  @Test("weights that are written again are packed again") func weightsWrittenAgain() throws {
    var b = GraphBuilder(name: "weights")
    let x = b.input("x", TensorType(.f16, [32, 96]), role: .argument)
    let w = b.input("w", TensorType(.f16, [96, 64]), role: .parameter)
    b.output("y", b.make(.matmul, [x, w]))
    let graph = try lowered(b.graph)
    let executable = try processor(threads: 2).compile(graph)
    for seed: UInt64 in 1...3 {
      let inputs = randomTensors(b.graph, [:], seed: seed)
      // The second time only the argument changes, the third time both do.
      let given = seed == 2 ? inputs.filter { $0.key == "x" } : inputs
      for (name, tensor) in given { try executable.write(tensor, to: name) }
      try executable.run()
      var expected = inputs
      if seed == 2 { expected["w"] = randomTensors(b.graph, [:], seed: 1)["w"] }
      #expect(try executable.read("y") == run(graph, on: processor(threads: 1), expected)["y"])
    }
  }

  @Test("a part of what a concat guards is read inside") func concatOfSlices() throws {
    try check { b in
      let x = b.input("x", TensorType(.f32, [8]), role: .argument)
      let part = try b.apply(
        .slice, [x], ["axis": .int(0), "start": .dim(2), "limit": .dim(8), "stride": .int(2)])
      b.output("y", try b.apply(.concat, [part, x, part], ["axis": .int(0)]))
    }
  }

  @Test("gather reads through a reshape of what is in memory") func gatherOfReshape() throws {
    try check { b in
      let x = b.input("x", TensorType(.f32, [6, 4]), role: .argument)
      let i = b.input("i", TensorType(.i32, [5]), role: .argument)
      let flat = try b.apply(.reshape, [x], ["shape": .dims([8, 3])])
      b.output("inputs", try b.apply(.gather, [flat, i], ["axis": .int(0)]))
      let made = try b.apply(.reshape, [b.exp(x)], ["shape": .dims([8, 3])])
      b.output("values", try b.apply(.gather, [made, i], ["axis": .int(1)]))
    }
  }

  @Test("an epilogue reads what a product of one step reads") func epilogueOfOneStep() throws {
    try check { b in
      let x = b.input("x", TensorType(.f64, [5, 1]), role: .argument)
      let y = b.input("y", TensorType(.f64, [1, 5]), role: .argument)
      let product = b.make(.matmul, [x, y])
      b.output("z", b.add(product, b.broadcast(x, to: [5, 5])))
    }
  }

  @Test("a sum by equal floats is no sum by destination") func comparedFloats() throws {
    var b = GraphBuilder(name: "compared")
    let (rows, count, width) = (4, 7, 5)
    let x = b.input("x", TensorType(.f32, [Dim(count)]), role: .argument)
    let u = b.input("u", TensorType(.f32, [Dim(count), Dim(width)]), role: .argument)
    let row = try b.apply(.iota, [], ["shape": .dims([Dim(rows)]), "axis": .int(0), "dtype": .dtype(.f32)])
    let shape = [Dim(rows), Dim(count), Dim(width)]
    let isHere = b.make(.equal, [b.broadcast(x, to: shape, axes: [1]), b.broadcast(row, to: shape, axes: [0])])
    let zeros = b.broadcast(b.constant(0, TensorType(.f32, [])), to: shape)
    b.output("y", b.sum(b.select(isHere, b.broadcast(u, to: shape, axes: [1, 2]), zeros), [1]))
    let inputs = [
      "x": try #require(Tensor([0, 1, 2.5, .nan, -0.5, 3, 1e30], shape: [count], dtype: .f32)),
      "u": try #require(Tensor((1...count * width).map { Double($0) }, shape: [count, width], dtype: .f32)),
    ]
    try expectAgreementEverywhere(b.graph, inputs, "compared") { _ in .exact }
  }

  @Test("one kernel asked for by several threads is linked once") func concurrentCompilation() throws {
    var b = GraphBuilder(name: "race")
    let x = b.input("x", TensorType(.f32, [37]), role: .argument)
    b.output("y", b.exp(b.make(.sin, [x])))
    let kernels = try buildPlan(lowered(b.graph)).kernels
    let compiler = try KernelCompiler(cache: nil)
    let failures = Mutex<[String]>([])
    DispatchQueue.concurrentPerform(iterations: 8) { _ in
      do { _ = try compiler.compile(kernels) } catch { failures.withLock { $0.append("\(error)") } }
    }
    #expect(failures.withLock { $0 } == [])
  }

  @Test("what has no kernel for integers and bools says so in its type rule")
  func refusedDTypes() {
    let bools = TensorType(.bool, [3])
    let indices = TensorType(.i32, [3])
    #expect(throws: OpError.self) { try Op.scatterAdd.definition.infer([bools, indices, bools], ["axis": .int(0)]) }
    let pairing: Attributes = [
      "lhs_batch": .ints([]), "rhs_batch": .ints([]), "lhs_contract": .ints([0]), "rhs_contract": .ints([0]),
    ]
    #expect(throws: OpError.self) { try Op.contract.definition.infer([indices, indices], pairing) }
  }
}
