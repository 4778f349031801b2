// Takes a set of activation words apart: each cycle one channel of every pixel, and the address of
// its weight word. An end mark waits until the sums of the group before have been taken away.
`default_nettype none

module eg_issue #(
    parameter SLOTS = 4,
    parameter LANE_BITS = 7
) (
    input  wire                 i_clk,
    input  wire                 i_reset,
    input  wire                 i_fold,
    input  wire                 i_begin,       // of a tile: read its biases
    // sets
    input  wire                 i_valid,
    output wire                 o_take,
    input  wire                 i_mark,        // the set is an end mark, and i_count its pixels
    input  wire [4:0]           i_count,       // channels, 1 to 16
    input  wire [15:0]          i_first_k,     // number of the first channel in the tile's weights
    input  wire [SLOTS*128-1:0] i_data,
    // to the array, three cycles after the weights were asked for
    output wire [15:0]          o_address,     // of the weights: 0 biases, then weights
    output wire                 o_valid,
    output wire                 o_first,
    output wire                 o_end,
    output wire                 o_bias,
    output wire                 o_upper,
    output wire [LANE_BITS-1:0] o_channel,
    output wire [SLOTS*8-1:0]   o_values,
    // sums
    output reg  [2:0]           o_pixels,      // of the group that ended last
    input  wire                 i_drained,
    output wire                 o_idle
);
    localparam INFO = 1 + 1 + 1 + 1 + 1 + LANE_BITS + SLOTS * 8;

    reg [4:0]  left;                 // channels of the current set
    reg [15:0] k;
    reg        fresh, draining;
    reg [SLOTS*128-1:0] current;

    wire step = left != 5'd0;
    wire mark = i_valid && i_mark && !step && !draining;
    wire load = i_valid && !i_mark && left <= 5'd1;

    assign o_take    = mark || load;
    assign o_address = i_begin ? 16'd0 : (i_fold ? {1'b0, k[15:1]} : k) + 16'd1;
    assign o_idle    = !step && !draining && !i_valid;

    wire [SLOTS*8-1:0] values;
    genvar s;
    generate
        for (s = 0; s < SLOTS; s = s + 1) begin : g_slot
            assign values[8*s +: 8] = current[128*s +: 8];

            always @(posedge i_clk) begin
                if (load)      current[128*s +: 128] <= i_data[128*s +: 128];
                else if (step) current[128*s +: 128] <= {8'd0, current[128*s+8 +: 120]};
            end
        end
    endgenerate

    always @(posedge i_clk) begin
        if (i_reset) begin
            left     <= 5'd0;
            k        <= 16'd0;
            fresh    <= 1'b1;
            draining <= 1'b0;
            o_pixels <= 3'd0;
        end else begin
            if (load) begin
                left <= i_count;
                k    <= i_first_k;
            end else if (step) begin
                left <= left - 5'd1;
                k    <= k + 16'd1;
            end
            if (mark)      fresh <= 1'b1;
            else if (step) fresh <= 1'b0;
            if (mark)           draining <= 1'b1;
            else if (i_drained) draining <= 1'b0;
            if (mark) o_pixels <= i_count[2:0];
        end
    end

    // Beside the weight memory's three cycles.
    reg [INFO-1:0] delay_1, delay_2, delay_3;
    wire [INFO-1:0] now = {step, step && fresh, mark, i_begin, k[0], k[LANE_BITS-1:0], values};

    always @(posedge i_clk) begin
        delay_1 <= i_reset ? {INFO{1'b0}} : now;
        delay_2 <= i_reset ? {INFO{1'b0}} : delay_1;
        delay_3 <= i_reset ? {INFO{1'b0}} : delay_2;
    end
    assign {o_valid, o_first, o_end, o_bias, o_upper, o_channel, o_values} = delay_3;
endmodule

`default_nettype wire
