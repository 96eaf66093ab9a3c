module @step_1 {
  func.func public @main(
    %x: tensor<2x3xbf16>,
    %fc1.weight: tensor<4x3xbf16> {tf.aliasing_output = 1 : i32},
    %master_fc1.weight: tensor<4x3xf32> {tf.aliasing_output = 0 : i32}
  ) -> (
    tensor<4x3xf32>,  // master/fc1.weight
    tensor<4x3xbf16>,  // fc1.weight
    tensor<2xi32>  // top
  ) {
    %v3.dot_general = stablehlo.dot_general %x, %fc1.weight, contracting_dims = [1] x [1], precision = [DEFAULT, DEFAULT] : (tensor<2x3xbf16>, tensor<4x3xbf16>) -> tensor<2x4xf32> loc("fc1"("samples/\"odd\".ltm":7:12))
    %v3.reduce_precision = stablehlo.reduce_precision %v3.dot_general, format = e8m7 : tensor<2x4xf32> loc("fc1"("samples/\"odd\".ltm":7:12))
    %v3 = stablehlo.convert %v3.reduce_precision : (tensor<2x4xf32>) -> tensor<2x4xbf16> loc("fc1"("samples/\"odd\".ltm":7:12))
    %v4.convert = stablehlo.convert %v3 : (tensor<2x4xbf16>) -> tensor<2x4xf32> loc("samples/\"odd\".ltm":7:12)
    %v4.constant = stablehlo.constant dense<0.0> : tensor<f32> loc("samples/\"odd\".ltm":7:12)
    %v4.reduce = stablehlo.reduce (%v4.convert init: %v4.constant) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x4xf32>, tensor<f32>) -> tensor<f32> loc("samples/\"odd\".ltm":7:12)
    %v4.reduce_precision = stablehlo.reduce_precision %v4.reduce, format = e8m7 : tensor<f32> loc("samples/\"odd\".ltm":7:12)
    %v4 = stablehlo.convert %v4.reduce_precision : (tensor<f32>) -> tensor<bf16> loc("samples/\"odd\".ltm":7:12)
    %v5.iota = stablehlo.iota dim = 1 : tensor<2x4xi32> loc("samples/\"odd\".ltm":7:12)
    %v5.constant = stablehlo.constant dense<0xFF80> : tensor<bf16> loc("samples/\"odd\".ltm":7:12)
    %v5.constant_2 = stablehlo.constant dense<0> : tensor<i32> loc("samples/\"odd\".ltm":7:12)
    %v5.best:2 = stablehlo.reduce(%v3 init: %v5.constant), (%v5.iota init: %v5.constant_2) across dimensions = [1] : (tensor<2x4xbf16>, tensor<2x4xi32>, tensor<bf16>, tensor<i32>) -> (tensor<2xbf16>, tensor<2xi32>)
      reducer(%a: tensor<bf16>, %b: tensor<bf16>) (%i: tensor<i32>, %j: tensor<i32>) {
        %beats = stablehlo.compare GT, %a, %b, FLOAT : (tensor<bf16>, tensor<bf16>) -> tensor<i1>
        %equal = stablehlo.compare EQ, %a, %b, FLOAT : (tensor<bf16>, tensor<bf16>) -> tensor<i1>
        %a_nan = stablehlo.compare NE, %a, %a, FLOAT : (tensor<bf16>, tensor<bf16>) -> tensor<i1>
        %b_nan = stablehlo.compare NE, %b, %b, FLOAT : (tensor<bf16>, tensor<bf16>) -> tensor<i1>
        %b_number = stablehlo.compare EQ, %b, %b, FLOAT : (tensor<bf16>, tensor<bf16>) -> tensor<i1>
        %only_nan = stablehlo.and %a_nan, %b_number : tensor<i1>
        %both_nan = stablehlo.and %a_nan, %b_nan : tensor<i1>
        %better = stablehlo.or %beats, %only_nan : tensor<i1>
        %same = stablehlo.or %equal, %both_nan : tensor<i1>
        %first = stablehlo.compare LT, %i, %j, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
        %tie = stablehlo.and %same, %first : tensor<i1>
        %keep = stablehlo.or %better, %tie : tensor<i1>
        %element = stablehlo.select %keep, %a, %b : tensor<i1>, tensor<bf16>
        %index = stablehlo.select %keep, %i, %j : tensor<i1>, tensor<i32>
        stablehlo.return %element, %index : tensor<bf16>, tensor<i32>
      } loc("samples/\"odd\".ltm":7:12)
    %v6 = stablehlo.convert %v4 : (tensor<bf16>) -> tensor<f32> loc("samples/\"odd\".ltm":7:12)
    %v7 = stablehlo.broadcast_in_dim %v6, dims = [] : (tensor<f32>) -> tensor<4x3xf32> loc("samples/\"odd\".ltm":7:12)
    %v8 = stablehlo.subtract %master_fc1.weight, %v7 : tensor<4x3xf32> loc("samples/\"odd\".ltm":7:12)
    %v9.reduce_precision = stablehlo.reduce_precision %v8, format = e8m7 : tensor<4x3xf32> loc("samples/\"odd\".ltm":7:12)
    %v9 = stablehlo.convert %v9.reduce_precision : (tensor<4x3xf32>) -> tensor<4x3xbf16> loc("samples/\"odd\".ltm":7:12)
    return %v8, %v9, %v5.best#1 : tensor<4x3xf32>, tensor<4x3xbf16>, tensor<2xi32>
  }
}
