// One lane: a weight times one or two activations, and a sum for each.
//
// Two products in one multiplier: x1·2^16 + x0 times w holds w·x0 in its low 16 bits, which is
// enough for any product of two int8, and w·x1 above; the borrow of a negative w·x0 is given back.
// Stages: 1 product, 2 product again (the multiplier's output register), 3 sum, 4 copy.
`default_nettype none

module eg_lane #(
    parameter PAIR = 2,      // products per multiplier: 1 or 2
    parameter SUM_BITS = 28
) (
    input  wire                              i_clk,
    input  wire signed [7:0]                 i_weight,
    input  wire signed [PAIR*16-8:0]         i_values,   // x0, or x1·2^16 + x0
    input  wire                              i_add,      // of stage 3
    input  wire                              i_first,    // of stage 3: forget the sum before
    input  wire                              i_capture,  // copy the sums
    output wire [PAIR*SUM_BITS-1:0]          o_sums      // the copy; product 0 in the low bits
);
    reg signed [PAIR*16-1:0] product, product_q;

    // A product of PAIR values has PAIR · 16 bits: the factor's top bits never add more.
    /* verilator lint_off WIDTH */
    wire signed [PAIR*16:0] full = i_values * i_weight;
    /* verilator lint_on WIDTH */

    always @(posedge i_clk) begin
        product   <= full[PAIR*16-1:0];
        product_q <= product;
    end

    genvar n;
    generate
        for (n = 0; n < PAIR; n = n + 1) begin : g_sum
            reg  [SUM_BITS-1:0] sum, copy;
            wire [15:0]         part   = product_q[16*n +: 16];
            wire                borrow = n == 0 ? 1'b0 : product_q[15];
            wire [SUM_BITS-1:0] kept   = i_first ? {SUM_BITS{1'b0}} : sum;

            always @(posedge i_clk) begin
                if (i_add) sum <= kept   + {{SUM_BITS-16{part[15]}}, part}
                                         + {{SUM_BITS-1{1'b0}}, borrow};
                if (i_capture) copy <= sum;
            end
            assign o_sums[n*SUM_BITS +: SUM_BITS] = copy;
        end
    endgenerate
endmodule

`default_nettype wire
