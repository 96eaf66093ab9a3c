import TestSupport
import Testing

extension BadInputTests {
  /// A command line, and what its message must say.
  struct Case: CustomTestStringConvertible, Sendable {
    let name: String
    let arguments: [String]
    let message: [String]
    /// Text of `model.ltm`, where the case has one; `@` in an argument is the folder.
    var model: String?
    var testDescription: String { name }
  }

  static let header = "model M(n: Int = 4) {\n  let fc = Linear(n, 2)\n"

  static let cases: [Case] = [
    Case(
      name: "zero for O", arguments: ["train", "samples/digits.ltm", "--precision", "16", "--amp-level", "02"],
      message: ["unknown opt level '02'", "write O2"]),
    Case(
      name: "unknown precision", arguments: ["train", "samples/digits.ltm", "--precision", "fp16"],
      message: ["did you mean '16'"]),
    Case(
      name: "O2 in 32 bits", arguments: ["train", "samples/digits.ltm", "--amp-level", "O2"],
      message: ["O2 runs in 16 bits, and precision 32 has none"]),
    Case(
      name: "O1 with masters",
      arguments: ["train", "samples/digits.ltm", "--precision", "16", "--amp-level", "O1", "--master-weights"],
      message: ["master-weights has no meaning at O1"]),
    Case(
      name: "a mistyped command", arguments: ["trian", "samples/digits.ltm"], message: ["no command 'trian'", "train"]),
    Case(
      name: "a mistyped argument of the model", arguments: ["train", "samples/digits.ltm", "--set", "hiden=3"],
      message: ["no argument 'hiden'", "did you mean 'hidden'?"]),
    Case(name: "no such file", arguments: ["check", "missing.ltm"], message: ["missing.ltm", "no such file"]),
    Case(name: "a directory", arguments: ["check", "samples"], message: ["samples: is a directory, not a file"]),
    Case(
      name: "unknown name", arguments: ["check", "@/model.ltm"], message: ["model.ltm:2:22", "hiden", "hidden"],
      model:
        "model M(hidden: Int = 4) {\n  let fc = Linear(4, hiden)\n  func f(x: [B, 4]) -> [B, 4] { return fc(x) }\n}\n"),
    Case(
      name: "shapes disagree", arguments: ["check", "@/model.ltm"], message: ["model.ltm:4", "5", "4"],
      model: header + "  func f(x: [B, 5]) -> [B, 2] {\n    return fc(x)\n  }\n}\n"),
    Case(
      name: "recursion", arguments: ["check", "@/model.ltm"], message: ["model.ltm", "recursi"],
      model:
        "func f(x: [B]) -> [B] { return g(x) }\nfunc g(x: [B]) -> [B] { return f(x) }\nmodel M() {\n  func h(x: [B]) -> [B] { return f(x) }\n}\n"
    ),
    Case(
      name: "syntax", arguments: ["check", "@/model.ltm"], message: ["model.ltm:1"], model: "model M( {\n"),
    Case(
      name: "data that is NaN", arguments: ["train", "@/model.ltm", "--data", "Tests/Fixtures/bad/nan.npz"],
      message: ["nan.npz", "row 1"],
      model: header
        + "  func loss(x: [B, n], y: i32[B]) -> [] { return cross_entropy(fc(x), y) }\n}\ntrain M {\n  data \"nan.npz\" { x: x, y: y }\n  minimize loss\n  optimizer SGD(lr: 0.1)\n  batch 1\n}\n"
    ),
    Case(
      name: "truncated safetensors",
      arguments: ["train", "samples/digits.ltm", "--data", "Tests/Fixtures/bad/truncated.safetensors"],
      message: ["truncated.safetensors: is truncated: its tensors need 256000 bytes, and it has"]),
    Case(
      name: "a header of 2^62 bytes",
      arguments: ["train", "samples/digits.ltm", "--weights", "Tests/Fixtures/bad/huge-header.safetensors"],
      message: ["huge-header.safetensors: is not a safetensors file, or is truncated"]),
    Case(
      name: "a header that is no JSON",
      arguments: ["train", "samples/digits.ltm", "--weights", "Tests/Fixtures/bad/no-json.safetensors"],
      message: ["no-json.safetensors: has a damaged header: expected a string at byte 9"]),
    Case(
      name: "a hostile npy",
      arguments: ["run", "samples/digits.ltm", "--input", "image=Tests/Fixtures/bad/huge-shape.npy"],
      message: ["huge-shape.npy: has a damaged .npy header: no array has shape"]),
    Case(
      name: "wrong dtype",
      arguments: ["run", "samples/digits.ltm", "--input", "image=samples/data/digits.safetensors:y_test"],
      message: ["'image' has shape [360], but is declared [B, 64]"]),
    Case(
      name: "a missing input", arguments: ["run", "samples/digits.ltm"],
      message: ["no value for 'image'", "--input image=FILE"]),
    Case(
      name: "a shape that disagrees",
      arguments: ["run", "samples/digits.ltm", "--input", "image=samples/data/wine.safetensors:x_test"],
      message: ["samples/digits.ltm:6:16: error: 'image' has shape", "func forward(image", "^~~~~"]),
    Case(
      name: "a number that the dtype cannot hold",
      arguments: [
        "run", "@/model.ltm", "--entry", "f", "--precision", "16", "--amp-level", "O2", "--input",
        "x=Tests/Fixtures/bad/large.npy",
      ], message: ["'x' holds 100000.0 as element 1", "f16 ends at 65504"],
      model: "model M() {\n  func f(x: [B]) -> [B] { return x }\n}\n"),
    Case(
      name: "an array of no rows",
      arguments: ["run", "@/model.ltm", "--entry", "f", "--input", "x=Tests/Fixtures/bad/empty.npy"],
      message: ["model.ltm:2:10: error: 'x' has shape [0]", "dimension 0 is 0, and 1 is the least"],
      model: "model M() {\n  func f(x: [B]) -> [B] { return x }\n}\n"),
    Case(
      name: "a row of the table that is for nothing", arguments: ["train", "@/model.ltm"],
      message: ["split.csv:3:3: 'validate' in column 'split'", "write train or test"],
      model: "model M() {\n  param w: [] = ones()\n  func loss(x: [B]) -> [] { return mean(x) * w }\n}\n"
        + "train M {\n  data \"\(Command.root)/Tests/Fixtures/bad/split.csv\" { x: x }\n  minimize loss\n  optimizer SGD(lr: 0.1)\n}\n"
    ),
    Case(
      name: "runs below zero", arguments: ["profile", "samples/digits.ltm", "--runs", "-1"],
      message: ["-1 runs: at least 1 is needed"]),
    Case(
      name: "the least Int by -1", arguments: ["check", "@/model.ltm"], message: ["model.ltm:1:9", "overflows"],
      model: "let x = (-9223372036854775807 - 1) / -1\n"),
    Case(
      name: "a literal that f16 cannot hold",
      arguments: ["compile", "@/model.ltm", "--entry", "f", "--dim", "B=1", "--emit", "graph"],
      message: ["model.ltm:2:48: error: 1000000000", "func f(x: f16[B])", "^~~"],
      model: "model M() {\n  func f(x: f16[B]) -> f16[B] { return x * 2 + 1e9 }\n}\n"),
    Case(
      name: "an unknown entry", arguments: ["run", "samples/digits.ltm", "--entry", "foward"],
      message: ["has no entry 'foward'", "forward"]),
    Case(
      name: "an unknown argument", arguments: ["check", "@/model.ltm"], message: ["model.ltm:2"],
      model: "model M() {\n  let fc = Linear(4, 2, bais: 1)\n  func f(x: [B, 4]) -> [B, 2] { return fc(x) }\n}\n"),
    Case(
      name: "a model argument that is not there", arguments: ["train", "samples/digits.ltm", "--set", "hiden=3"],
      message: ["hidden"]),
    Case(
      name: "a model argument that is missing", arguments: ["train", "@/model.ltm"],
      message: ["model.ltm:1:7: error: the model 'M' needs 'n'", "--set n="],
      model: "model M(n: Int) {\n  let fc = Linear(n, 2)\n}\n"),
    Case(
      name: "several models", arguments: ["run", "@/model.ltm"], message: ["several models", "--model A"],
      model: "model A() {\n  param w: [2] = ones()\n}\nmodel C() {\n  param w: [2] = ones()\n}\n"),
    Case(
      name: "a model argument that is no number", arguments: ["train", "samples/digits.ltm", "--set", "hidden=many"],
      message: ["'hidden' is an Int, and this is the String \"many\""]),
    Case(
      name: "a model argument that is no value", arguments: ["train", "samples/digits.ltm", "--set", "hidden=[64"],
      message: ["'[64' is no value", "a list [784, 128] or a tuple (2, 2)"]),
    Case(
      name: "a model argument that names no function", arguments: ["run", "@/model.ltm", "--set", "act=tanhh"],
      message: ["'act': there is no function 'tanhh'", "did you mean 'tanh'?"],
      model: "model M(act: func = tanh) {\n  func f(x: [B, 4]) -> [B, 4] { return act(x) }\n}\n"),
    Case(
      name: "a model argument that is no list of Ints", arguments: ["run", "@/model.ltm", "--set", "sizes=[4, 2.5]"],
      message: ["'sizes' is a list [Int], and this is a list of 2, whose element 1 is the Float 2.5"],
      model: "model M(sizes: [Int] = [4]) {\n  func f(x: [B, 4]) -> [B, 4] { return x }\n}\n"),
    Case(
      name: "a model argument of zero", arguments: ["train", "samples/digits.ltm", "--set", "hidden=0"],
      message: ["a dimension is 1 or more, and 'outputs' is 0"]),
    Case(
      name: "a model argument beyond memory",
      arguments: ["train", "samples/digits.ltm", "--set", "hidden=4611686018427387904"],
      message: ["the shape [4611686018427387904, 64] is too large"]),
    Case(
      name: "a batch larger than the data", arguments: ["train", "samples/digits.ltm", "--batch", "100000"],
      message: ["a batch of 100000 rows, but there are only 1437"]),
    Case(
      name: "a batch of zero", arguments: ["train", "samples/digits.ltm", "--batch", "0"],
      message: ["a batch of 0 rows", "between 1 and 1437"]),
    Case(
      name: "a negative rate", arguments: ["train", "samples/digits.ltm", "--lr=-1"],
      message: ["digits.ltm:23:13: error: 'AdamW' requires 0 <= lr && lr < inf, and lr is -1"]),
    Case(
      name: "an argument out of range", arguments: ["check", "@/model.ltm"],
      message: [
        "model.ltm:6:35: error: 'Adam' requires 0 <= beta1 && beta1 < 1, and beta1 is 2", "required here",
        "model.ltm:7:28: error: 'cosine' requires warmup >= 0, and warmup is -5",
      ],
      model: """
        model M() {
          func loss(x: [B]) -> [] { return mean(x) }
        }
        train M {
          minimize  loss
          optimizer Adam(lr: 1e-3, beta1: 2)
          schedule  cosine(warmup: -5)
        }

        """),
    Case(
      name: "a checkpoint of another ending",
      arguments: ["train", "samples/digits.ltm", "--save", "@/x.txt"],
      message: ["x.txt: is no name for a checkpoint", "x.txt.safetensors"]),
    Case(
      name: "results of another ending",
      arguments: [
        "run", "samples/digits.ltm", "--input", "image=samples/data/digits.safetensors:x_test", "-o", "@/y.txt",
      ], message: ["y.txt: has no known ending", ".npy", ".safetensors"]),
    Case(
      name: "data of another ending", arguments: ["train", "samples/digits.ltm", "--data", "README.md"],
      message: ["README.md: has no known ending", ".safetensors, .npz, .npy, .pt and .csv"]),
    Case(
      name: "no epochs", arguments: ["train", "samples/digits.ltm", "--epochs", "0"],
      message: ["0 epochs: at least 1 is needed"]),
    Case(
      name: "too many threads", arguments: ["train", "samples/digits.ltm", "--threads", "100000"],
      message: ["cannot run 100000 threads"]),
    Case(
      name: "an unknown target", arguments: ["train", "samples/digits.ltm", "--target", "gpu"],
      message: ["unknown target 'gpu'", "cpu"]),
    Case(
      name: "an unknown stage", arguments: ["compile", "samples/digits.ltm", "--emit", "ptx9"],
      message: ["unknown stage 'ptx9'", "kernels"]),
    Case(
      name: "a save into a missing folder",
      arguments: ["train", "samples/digits.ltm", "--epochs", "1", "--save", "@/none/x.safetensors"],
      message: ["x.safetensors"]),
    Case(
      name: "a save over a directory", arguments: ["train", "samples/digits.ltm", "--epochs", "1", "--save", "@"],
      message: ["director"]),
    Case(
      name: "a resume from weights",
      arguments: [
        "train", "Tests/Fixtures/mlp-small/adam.ltm", "--resume", "Tests/Fixtures/mlp-small/init.safetensors",
      ],
      message: ["init.safetensors", "--weights"]),
    Case(
      name: "two imports in a circle", arguments: ["check", "@/model.ltm"], message: ["model.ltm:1"],
      model: "import \"model.ltm\"\n"),
    Case(
      name: "deep nesting", arguments: ["check", "@/model.ltm"], message: ["model.ltm:1"],
      model: "let x = " + String(repeating: "(", count: 100_000) + "1\n"),
    Case(
      name: "integer overflow", arguments: ["check", "@/model.ltm"], message: ["model.ltm:1", "overflow"],
      model: "let x = 9223372036854775807 + 1\nmodel M() {\n  func f(a: [x]) -> [x] { return a }\n}\n"),
    Case(
      name: "a label that is no class",
      arguments: ["train", "@/model.ltm", "--data", "samples/data/digits.safetensors"],
      message: ["model.ltm:4", "'y' holds", "5 classes", "0 to 4"],
      model: """
        model M() {
          let fc = Linear(64, 5)
          func loss(x: [B, 64], y: i32[B]) -> [] {
            return cross_entropy(fc(x), y)
          }
        }
        train M {
          minimize loss
          optimizer SGD(lr: 0.1)
          batch 8
        }

        """),
    Case(
      name: "a label that is one class too many",
      arguments: ["train", "@/model.ltm", "--data", "samples/data/digits.safetensors"],
      message: ["model.ltm:4", "'y' holds 9 in row", "9 classes", "0 to 8"],
      model: """
        model M() {
          let fc = Linear(64, 9)
          func loss(x: [B, 64], y: i32[B]) -> [] {
            return cross_entropy(fc(x), y)
          }
        }
        train M {
          minimize loss
          optimizer SGD(lr: 0.1)
          batch 8
        }

        """),
    Case(
      name: "an index that is no row",
      arguments: ["run", "@/model.ltm", "--entry", "pick", "--input", "y=samples/data/digits.safetensors:y_test"],
      message: ["model.ltm:4", "'y' holds", "3 rows"],
      model: """
        model M() {
          let table = Embedding(3, 2)
          func pick(y: i32[B]) -> [B, 2] {
            return table(y)
          }
        }

        """),
    Case(
      name: "a variance over one row",
      arguments: [
        "train", "@/model.ltm", "--data", "samples/data/digits.safetensors", "--precision", "bf16", "--amp-level", "O2",
      ], message: ["model.ltm:6", "step 0", "variance", "NaN"],
      model: """
        model M() {
          let norm = RMSNorm(64)
          let fc = Linear(64, 8)
          param gain: [8] = ones()
          func loss(x: [B, 64], y: i32[B]) -> [] {
            return mean(variance(cast(norm(x - x), f32), axis: 0))
          }
        }
        train M {
          minimize loss
          optimizer AdamW(lr: 1e-3)
          schedule constant(warmup: 2)
          batch 1
        }

        """),
    Case(
      name: "two train blocks", arguments: ["check", "@/model.ltm"],
      message: ["model.ltm:7", "'M' has a train block already", "the first one"],
      model:
        "model M() {\n  func loss(x: [B]) -> [] { return mean(x) }\n}\ntrain M {\n  batch 1\n}\ntrain M {\n  batch 2\n}\n"
    ),
    Case(
      name: "every try skipped",
      arguments: [
        "train", "samples/digits.ltm", "--precision", "16", "--max-steps", "2", "--loss-scale",
        "dynamic:init=1e30:max=1e30",
      ], message: ["all 2 tries", "nothing was trained"]),
    Case(
      name: "weights beyond memory", arguments: ["train", "samples/digits.ltm", "--set", "hidden=3000000000"],
      message: ["fc1.weight", "memory"]),
    Case(
      name: "a negative loss scale",
      arguments: ["train", "samples/digits.ltm", "--precision", "16", "--loss-scale", "-1"],
      message: ["'-1' is no loss scale"]),
    Case(
      name: "negative epochs", arguments: ["train", "samples/digits.ltm", "--epochs", "-1"], message: ["-1 epochs"]),
    Case(
      name: "a dimension that is not there",
      arguments: ["compile", "samples/digits.ltm", "--emit", "graph", "--dim", "Z=3"], message: ["'Z'", "'B'"]),
    Case(
      name: "a plugin that is not there",
      arguments: [
        "compile", "samples/digits.ltm", "--target", "tpu", "--topology", "v5e:2x2", "--pjrt-plugin", "@/none.so",
      ], message: ["none.so", "--pjrt-plugin PATH"]),
    Case(
      name: "an object file named as its header",
      arguments: ["compile", "samples/digits.ltm", "--emit", "obj", "-o", "@/x.h"], message: ["header"]),
    Case(
      name: "another language's dtype", arguments: ["check", "@/model.ltm"],
      message: ["model.ltm:2:13: error: 'int32' is no dtype", "replace with 'i32'"],
      model: "model M() {\n  func f(x: int32[B]) -> [B] { return x }\n}\n"),
    Case(
      name: "calls without end", arguments: ["check", "@/model.ltm"], message: ["evaluations at compile time"],
      model: "func twice0(x: Int) -> Int { return x }\n"
        + (1..<60).map { index in
          "func twice\(index)(x: Int) -> Int { return twice\(index - 1)(x) + twice\(index - 1)(x) }\n"
        }.joined() + "model M() {\n  func g(x: [B]) -> [B] { return x * twice59(1) }\n}\n"),
  ]
}
