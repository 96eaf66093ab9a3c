// swift-tools-version: 6.2
// Targets stand in layer order; a dependency always points up the page.
import PackageDescription

let settings: [SwiftSetting] = [.treatAllWarnings(as: .error)]

/// LLVM: its shared library, or the static ones that scripts/gpu-archive.sh names, with what those need.
let llvm =
  Context.environment["LTM_STATIC_LLVM"].map { names in
    names.split(whereSeparator: \.isWhitespace).map(String.init) + [":libz.a", ":libzstd.a", ":libstdc++.a"]
  } ?? ["LLVM-22"]

/// libpng and libjpeg-turbo, which read images: static where LLVM is.
let images =
  Context.environment["LTM_STATIC_LLVM"] == nil ? ["png16", "jpeg"] : [":libpng16.a", ":libjpeg.a", ":libz.a"]

/// A library target under `Sources/` (or `path`) with the settings that every one of ours shares.
func layer(
  _ name: String, _ dependencies: [Target.Dependency] = [], path: String? = nil, resources: [Resource] = [],
  exclude: [String] = []
) -> Target {
  .target(
    name: name, dependencies: dependencies, path: path, exclude: exclude, resources: resources,
    swiftSettings: settings)
}

/// A suite of tests; all of them share `TestSupport`.
func suite(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: ["TestSupport"] + dependencies, exclude: exclude, swiftSettings: settings)
}

let package = Package(
  name: "ltm",
  products: [
    .library(name: "LTM", targets: ["LTM"]),
    .library(name: "LTMONNX", targets: ["LTMONNX"]),
    .executable(name: "ltm", targets: ["LTMCommand"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    // SHA-256, for machine code that is kept on disk. Either version will do, so that a package that embeds ltm chooses.
    .package(url: "https://github.com/apple/swift-crypto", "3.12.3"..<"5.0.0"),
    // ONNX files are protocol buffers.
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
  ],
  targets: [
    // C: LLVM's headers (symbolic links into llvm-22-dev) and the few instructions that Swift lacks.
    .target(name: "CLLVM", linkerSettings: llvm.map { .linkedLibrary($0) }),
    .target(name: "CRuntime"),
    // Images are read in C: the errors of libpng and libjpeg are jumps.
    .target(name: "CImages", linkerSettings: images.map { .linkedLibrary($0) }),
    .target(name: "CCeilings"),
    .target(name: "CPJRT", exclude: ["LICENSE", "include/README.md"]),
    .target(name: "CCUDA"),
    // The commit of the build.
    .target(name: "CVersion"),

    // Text: files, spans, diagnostics; then the language's syntax.
    layer("LTMSupport", ["CVersion"]),
    layer(
      "LTMGrammar", path: "grammar", resources: [.embedInCode("ltm.ebnf")], exclude: ["accept", "reject", "editors"]),
    layer("LTMSyntax", ["LTMSupport"]),

    // Texts as tokens.
    layer("LTMTokenizers", ["LTMSupport"]),

    // Graph: the op table, the graph and its oracle, the interpreter.
    layer("LTMIR", ["LTMSupport"]),
    layer("LTMFrontEnd", ["LTMSupport", "LTMSyntax", "LTMIR"], resources: [.embedInCode("Prelude/prelude.ltm")]),

    // Kernels: what one launch computes, with no pointer, thread or vector in it.
    layer("LTMKernels", ["LTMSupport", "LTMIR"]),

    // Passes, by family.
    layer("LTMGraphPasses", ["LTMSupport", "LTMIR"], path: "passes/Graph", exclude: ["Goldens"]),
    layer("LTMPrecision", ["LTMSupport", "LTMIR"], path: "passes/Precision", exclude: ["Goldens"]),
    layer("LTMKernelPasses", ["LTMSupport", "LTMIR", "LTMKernels"], path: "passes/Kernels"),

    // Machines: code generation and what runs it.
    layer(
      "LTMLLVM",
      ["CLLVM", "CRuntime", "LTMSupport", "LTMIR", "LTMKernels", .product(name: "Crypto", package: "swift-crypto")]),
    layer("LTMPTX", ["CLLVM", "LTMSupport", "LTMIR", "LTMKernels", "LTMLLVM"]),
    layer("LTMRuntime", ["CImages", "CRuntime", "LTMSupport", "LTMIR", "LTMTokenizers"]),
    layer("LTMHLO", ["CPJRT", "LTMSupport", "LTMIR"]),
    // Several processes, by MPI.
    layer("LTMMPI", ["CRuntime", "LTMSupport", "LTMIR", "LTMRuntime"]),
    layer("LTMCUDA", ["CCUDA", "LTMSupport", "LTMIR", "LTMKernels", "LTMPTX"]),

    // The public face, and the command that is a thin shell around it.
    layer(
      "LTM",
      [
        "LTMSupport", "LTMSyntax", "LTMGrammar", "LTMIR", "LTMFrontEnd", "LTMKernels", "LTMGraphPasses", "LTMPrecision",
        "LTMKernelPasses", "LTMLLVM", "LTMPTX", "LTMCUDA", "LTMRuntime", "LTMHLO", "LTMMPI", "LTMTokenizers",
        "CCeilings",
      ]),
    layer(
      "LTMONNX",
      [
        "LTM", "LTMSupport", "LTMSyntax", "LTMIR", "LTMRuntime",
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ], exclude: ["Protobuf/onnx.proto"]),
    .executableTarget(
      name: "LTMCommand",
      dependencies: [
        "LTM", "LTMONNX", "LTMRuntime", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),

    // Our side of `make bench`, and the table and picture of what was measured.
    .executableTarget(
      name: "ltm-bench",
      dependencies: [
        "CCeilings", "LTM", "LTMKernels", "LTMLLVM", "LTMRuntime", "LTMSupport",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "bench/LTMBench", swiftSettings: settings),

    // Tests. What every suite compares with, seeds its numbers by, and runs commands with.
    layer("TestSupport", ["LTMIR"], path: "Tests/TestSupport"),
    suite("SupportTests", ["LTMIR"]),
    // A process that the tests of atomic saving kill.
    .executableTarget(
      name: "SaveHelper", dependencies: ["LTMRuntime", "LTMIR"], path: "Tests/SaveHelper", swiftSettings: settings),
    suite(
      "PrecisionTests",
      [
        "LTMPrecision", "LTMIR", "LTMSupport", "LTMFrontEnd", "LTMGraphPasses", "LTMKernels", "LTMKernelPasses",
        "LTMRuntime",
      ],
      exclude: ["Goldens"]),
    // Damage to texts and bytes, for the suites that read them.
    layer("Fuzzing", ["TestSupport"], path: "Tests/Fuzzing"),
    suite("TokenizerTests", ["Fuzzing", "LTMSupport", "LTMTokenizers"], exclude: ["Fixtures", "Goldens"]),
    suite("RuntimeTests", ["Fuzzing", "LTMRuntime", "LTMIR", "LTMSupport", "SaveHelper"], exclude: ["Fixtures"]),
    suite("SyntaxTests", ["Fuzzing", "LTMSupport", "LTMSyntax", "LTMGrammar"]),
    // Operands for every op, which several suites run over.
    layer("OpCases", ["LTMIR", "TestSupport"], path: "Tests/OpCases"),
    suite(
      "IRTests", ["Fuzzing", "OpCases", "LTMSupport", "LTMIR", "LTMGraphPasses"], exclude: ["Fixtures", "Goldens"]),
    suite(
      "FrontEndTests", ["Fuzzing", "LTMSupport", "LTMSyntax", "LTMIR", "LTMFrontEnd"], exclude: ["Fixtures", "Goldens"]),
    suite(
      "KernelTests", ["Fuzzing", "LTMSupport", "LTMIR", "LTMKernels", "LTMKernelPasses", "LTMGraphPasses"],
      exclude: ["Goldens"]),
    suite(
      "ONNXTests", ["Fuzzing", "LTM", "LTMIR", "LTMONNX", "LTMRuntime", "LTMSupport", "LTMCommand"],
      exclude: ["Fixtures", "Goldens"]),
    // AMX's instructions on processors without it.
    .target(name: "CTiles", path: "Tests/CTiles"),
    suite("LLVMTests", ["CTiles", "LTMSupport", "LTMIR", "LTMKernels", "LTMLLVM"]),
    suite(
      "RankTests",
      ["LTM", "LTMIR", "LTMKernels", "LTMKernelPasses", "LTMMPI", "LTMPrecision", "LTMRuntime", "LTMSupport"]),
    suite(
      "HLOTests", ["OpCases", "LTM", "LTMSupport", "LTMIR", "LTMFrontEnd", "LTMGraphPasses", "LTMPrecision", "LTMHLO"],
      exclude: ["Goldens", "FakePlugin", "evaluate.py"]),
    // A GPU's threads on a CPU, for what the tests run of device code.
    .target(name: "CWarp", path: "Tests/CWarp"),
    layer(
      "DeviceEmulator",
      ["CWarp", "CLLVM", "LTM", "LTMSupport", "LTMIR", "LTMKernels", "LTMKernelPasses", "LTMLLVM", "LTMPTX"],
      path: "Tests/DeviceEmulator"),
    suite(
      "ConformanceTests",
      [
        "DeviceEmulator", "OpCases", "LTM", "LTMSupport", "LTMIR", "LTMGraphPasses", "LTMKernels", "LTMKernelPasses",
        "LTMLLVM", "LTMPTX", "LTMRuntime",
      ]),
    suite(
      "PTXTests", ["LTM", "LTMIR", "LTMKernels", "LTMLLVM", "LTMPTX", "LTMSupport", "LTMCommand", "DeviceEmulator"],
      exclude: ["Goldens"]),
    suite("CUDATests", ["LTM", "LTMSupport", "LTMCommand"], exclude: ["Driver"]),
    suite(
      "EndToEndTests", ["LTM", "LTMIR", "LTMSupport", "LTMCommand"], exclude: ["Fixtures"]),
  ],
  swiftLanguageModes: [.v6],
  cxxLanguageStandard: .cxx20
)

// What libFuzzer is linked to, in a build of its own (scripts/fuzz.sh).
if Context.environment["LTM_FUZZERS"] != nil {
  package.products.append(.library(name: "LTMFuzzers", type: .static, targets: ["LTMFuzzers"]))
  package.targets.append(
    layer(
      "LTMFuzzers",
      ["LTM", "LTMFrontEnd", "LTMIR", "LTMKernels", "LTMONNX", "LTMRuntime", "LTMSupport", "LTMTokenizers"],
      path: "Tests/Fuzzers"))
}
