/// What stands in an emulated module for NVIDIA's intrinsics: functions that hand structs and vectors on through memory,
/// since those have no C convention.
enum Intrinsics {
  /// The function in place of each intrinsic.
  static let replacements = [
    "llvm.nvvm.read.ptx.sreg.tid.x": "emulatedThread",
    "llvm.nvvm.read.ptx.sreg.ctaid.x": "emulatedBlock",
    "llvm.nvvm.barrier.cta.sync.aligned.all": "emulatedBarrier",
    "llvm.nvvm.bar.warp.sync": "emulatedWarpBarrier",
    "llvm.nvvm.shfl.sync.bfly.i32": "emulatedShuffle",
    "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3": "matrices",
    "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16.p3": "matrices.transposed",
    "llvm.nvvm.mma.m16n8k16.row.col.f32.f32": "mma16816.f16",
    "llvm.nvvm.mma.m16n8k16.row.col.bf16": "mma16816.bf16",
    "llvm.nvvm.mma.m8n8k4.row.col.f32.f32": "mma884",
    "llvm.nvvm.cp.async.cg.shared.global.16.s": "emulatedCopy",
    "llvm.nvvm.cp.async.commit.group": "emulatedCommit",
    "llvm.nvvm.cp.async.wait.group": "emulatedWait",
    "llvm.nvvm.fence.proxy.async.shared_cta": "emulatedNothing",
    "llvm.nvvm.wgmma.fence.sync.aligned": "emulatedNothing",
    "llvm.nvvm.wgmma.commit_group.sync.aligned": "emulatedCommitProducts",
    "llvm.nvvm.wgmma.wait_group.sync.aligned": "emulatedWaitForProducts",
  ]

  /// Their definitions, to be added to a module's text.
  static let definitions = """

    declare i32 @emulatedThread()
    declare i32 @emulatedBlock()
    declare void @emulatedBarrier(i32)
    declare void @emulatedWarpBarrier(i32)
    declare i32 @emulatedShuffle(i32, i32, i32, i32)
    declare void @emulatedMatrices(ptr addrspace(3), ptr, i32)
    declare void @emulated16816(ptr, ptr, ptr, i32)
    declare void @emulated884(ptr, ptr, ptr, i32)
    declare i32 @emulatedBFloat(float)
    declare void @emulatedCopy(ptr addrspace(3), ptr addrspace(1), i32)
    declare void @emulatedCommit()
    declare void @emulatedWait(i32)
    declare void @emulatedNothing()
    declare void @emulatedCommitProducts()
    declare void @emulatedWaitForProducts(i64)
    declare void @emulatedGroup(i64, i64, ptr, ptr, i32, i32)
    define bfloat @__truncsfbf2(float %f) {
      %u = call i32 @emulatedBFloat(float %f)
      %h = trunc i32 %u to i16
      %b = bitcast i16 %h to bfloat
      ret bfloat %b
    }
    \(matrices("matrices", flag: 0))
    \(matrices("matrices.transposed", flag: 1))
    \(multiply("mma16816.f16", calls: "emulated16816", "<2 x half>", operands: 6, sums: 4, flag: 0))
    \(multiply("mma16816.bf16", calls: "emulated16816", "i32", operands: 6, sums: 4, flag: 1))
    \(multiply("mma884", calls: "emulated884", "<2 x half>", operands: 4, sums: 8, flag: 0))

    """

  private static func matrices(_ name: String, flag: Int) -> String {
    """
    define {i32, i32, i32, i32} @\(name)(ptr addrspace(3) %p) {
      %o = alloca [4 x i32]
      call void @emulatedMatrices(ptr addrspace(3) %p, ptr %o, i32 \(flag))
      %r = load {i32, i32, i32, i32}, ptr %o
      ret {i32, i32, i32, i32} %r
    }
    """
  }

  private static func multiply(
    _ name: String, calls target: String, _ operand: String, operands: Int, sums: Int, flag: Int
  ) -> String {
    let result = "{ " + [String](repeating: "float", count: sums).joined(separator: ", ") + " }"
    let parameters = (0..<operands).map { "\(operand) %a\($0)" } + (0..<sums).map { "float %c\($0)" }
    func stores(_ base: String, _ type: String, _ count: Int) -> [String] {
      (0..<count).flatMap { i in
        [
          "  %p\(base)\(i) = getelementptr i32, ptr %\(base), i32 \(i)",
          "  store \(type) %\(base)\(i), ptr %p\(base)\(i), align 4",
        ]
      }
    }
    let lines =
      ["define \(result) @\(name)(\(parameters.joined(separator: ", "))) {"]
      + ["a", "c", "d"].map { "  %\($0) = alloca [8 x i32]" } + stores("a", operand, operands)
      + stores("c", "float", sums) + [
        "  call void @\(target)(ptr %a, ptr %c, ptr %d, i32 \(flag))", "  %r = load \(result), ptr %d",
        "  ret \(result) %r", "}",
      ]
    return lines.joined(separator: "\n")
  }

  // MARK: Assembly

  /// The function in place of a piece of PTX.
  static func name(ofAssembly text: String) -> String? {
    guard let match = text.firstMatch(of: wgmma) else { return nil }
    return "group.\(match.1).\(match.2).\(match.3)\(match.4)"
  }

  private static var wgmma: Regex<(Substring, Substring, Substring, Substring, Substring)> {
    /wgmma\.mma_async\.sync\.aligned\.m64n(\d+)k16\.f32\.\w+\.(\w+) [^;]*, 1, 1, 1, ([01]), ([01]);/
  }

  /// The definitions of what stands for the assembly in a module's text.
  static func assembly(of ir: String) -> String {
    var known = Set<String>()
    var definitions: [String] = []
    for match in ir.matches(of: wgmma) {
      guard let name = name(ofAssembly: String(match.0)), known.insert(name).inserted, let columns = Int(match.1) else {
        continue
      }
      let flags = (match.2 == "bf16" ? 1 : 0) + (match.3 == "1" ? 2 : 0) + (match.4 == "1" ? 4 : 0)
      definitions.append(group(name, count: columns / 2, flags: flags))
    }
    return definitions.joined(separator: "\n")
  }

  private static func group(_ name: String, count: Int, flags: Int) -> String {
    let result = "{ " + [String](repeating: "float", count: count).joined(separator: ", ") + " }"
    let parameters = (0..<count).map { "float %c\($0)" }.joined(separator: ", ")
    let stores = (0..<count).flatMap { i in
      ["  %p\(i) = getelementptr float, ptr %c, i32 \(i)", "  store float %c\(i), ptr %p\(i), align 4"]
    }
    return """
      define \(result) @\(name)(i64 %l, i64 %r, \(parameters)) {
        %c = alloca [\(count) x float]
        %d = alloca [\(count) x float]
      \(stores.joined(separator: "\n"))
        call void @emulatedGroup(i64 %l, i64 %r, ptr %c, ptr %d, i32 \(count), i32 \(flags))
        %s = load \(result), ptr %d
        ret \(result) %s
      }
      """
  }
}
