// All lanes. A weight word has one int8 for each lane. Folded, a word holds two words of half the
// lanes, one of which goes to both halves: the upper half then works on pixels of its own.
// Pooling needs no weights: the lane of the channel that comes takes the multiplier, others zero.
`default_nettype none

module eg_array #(
    parameter LANES = 128,
    parameter LANE_BITS = 7,
    parameter PAIR = 2,
    parameter SUM_BITS = 28
) (
    input  wire                           i_clk,
    input  wire                           i_reset,
    // the instruction
    input  wire                           i_fold,
    input  wire                           i_pool,
    input  wire [7:0]                     i_multiplier,
    // with the weight word
    input  wire [LANES*8-1:0]             i_weights,
    input  wire                           i_valid,
    input  wire                           i_first,
    input  wire                           i_end,      // the sums are complete; never with i_valid
    input  wire                           i_bias,     // the word is biases, to be kept
    input  wire                           i_upper,    // folded: the upper half's weights are meant
    input  wire [LANE_BITS-1:0]           i_channel,  // of a pool
    input  wire [2*PAIR*8-1:0]            i_values,   // a byte for each pixel
    output reg                            o_captured, // o_sums are new
    output wire [LANES*PAIR*SUM_BITS-1:0] o_sums,
    output reg  [LANES*8-1:0]             o_biases
);
    localparam HALF = LANES / 2;

    // Stages after the weights have been chosen: valid, first and end go along.
    reg [2:0] valid_q, first_q, end_q;

    always @(posedge i_clk) begin
        first_q <= {first_q[1:0], i_first};
        if (i_bias) o_biases <= i_weights;
        if (i_reset) begin
            valid_q    <= 3'd0;
            end_q      <= 3'd0;
            o_captured <= 1'b0;
        end else begin
            valid_q    <= {valid_q[1:0], i_valid};
            end_q      <= {end_q[1:0], i_end};
            o_captured <= end_q[2];
        end
    end

    // One value, or two packed, for each half.
    reg signed [PAIR*16-8:0] lower, upper;
    generate
        if (PAIR == 1) begin : g_single
            always @(posedge i_clk) begin
                lower <= {i_values[7], i_values[7:0]};
                upper <= i_fold ? {i_values[15], i_values[15:8]} : {i_values[7], i_values[7:0]};
            end
        end else begin : g_double
            wire [24:0] first_two  = {i_values[15], i_values[15:8], 15'd0, 1'b0}
                                     + {{17{i_values[7]}}, i_values[7:0]};
            wire [24:0] second_two = {i_values[31], i_values[31:24], 15'd0, 1'b0}
                                     + {{17{i_values[23]}}, i_values[23:16]};
            always @(posedge i_clk) begin
                lower <= first_two;
                upper <= i_fold ? second_two : first_two;
            end
        end
    endgenerate

    genvar l;
    generate
        for (l = 0; l < LANES; l = l + 1) begin : g_lane
            localparam [LANE_BITS-1:0] OWN = l;
            localparam LOW  = 8 * (l % HALF);
            localparam HIGH = 8 * (l % HALF + HALF);
            wire       hit  = i_channel[LANE_BITS-2:0] == OWN[LANE_BITS-2:0]
                              && (i_fold || i_channel[LANE_BITS-1] == OWN[LANE_BITS-1]);
            wire [7:0] folded = i_upper ? i_weights[HIGH +: 8] : i_weights[LOW +: 8];
            reg  [7:0] weight;

            always @(posedge i_clk) begin
                if (i_pool) weight <= hit ? i_multiplier : 8'd0;
                else        weight <= i_fold ? folded : i_weights[8*l +: 8];
            end

            eg_lane #(.PAIR(PAIR), .SUM_BITS(SUM_BITS)) u_lane (
                .i_clk     (i_clk),
                .i_weight  (weight),
                .i_values  (l < HALF ? lower : upper),
                .i_add     (valid_q[2]),
                .i_first   (first_q[2]),
                .i_capture (end_q[2]),
                .o_sums    (o_sums[l*PAIR*SUM_BITS +: PAIR*SUM_BITS])
            );
        end
    endgenerate
endmodule

`default_nettype wire
