// From a sum to a value: bias, rounding, shift, clip (docs/bundle.md). Three cycles.
//   v = sum + (bias << shift_bias);   y = clip((v + (1 << (shift - 1))) >> shift, low, high)
// i_raw leaves v as it is.
`default_nettype none

module eg_requantize #(
    parameter SUM_BITS = 28
) (
    input  wire                i_clk,
    input  wire [4:0]          i_shift,       // 0 to 24
    input  wire [4:0]          i_shift_bias,  // 0 to 16
    input  wire                i_relu,        // the smallest value is 0, else -128
    input  wire [6:0]          i_high,        // the largest value
    input  wire                i_raw,
    input  wire [SUM_BITS-1:0] i_sum,
    input  wire [7:0]          i_bias,
    output reg  [31:0]         o_value        // sign-extended
);
    reg signed [31:0] biased, shifted;

    wire signed [31:0] sum   = {{32-SUM_BITS{i_sum[SUM_BITS-1]}}, i_sum};
    wire signed [31:0] bias  = {{24{i_bias[7]}}, i_bias};
    wire [31:0]        half  = (32'd1 << i_shift) >> 1;
    wire signed [31:0] round = biased + $signed(half);
    wire signed [31:0] high  = {25'd0, i_high};
    wire signed [31:0] low   = i_relu ? 32'sd0 : -32'sd128;

    always @(posedge i_clk) begin
        biased  <= sum + (bias <<< i_shift_bias);
        shifted <= i_raw ? biased : round >>> i_shift;
        if (i_raw)               o_value <= shifted;
        else if (shifted > high) o_value <= high;
        else if (shifted < low)  o_value <= low;
        else                     o_value <= shifted;
    end
endmodule

`default_nettype wire
