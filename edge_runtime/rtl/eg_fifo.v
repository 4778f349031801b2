// First in, first out; the oldest entry is on o_data while o_valid. DEPTH is a power of two.
// Writing while full and taking while empty do nothing.
`default_nettype none

module eg_fifo #(
    parameter WIDTH = 32,
    parameter DEPTH_BITS = 4
) (
    input  wire                i_clk,
    input  wire                i_reset,
    input  wire                i_valid,
    output wire                o_ready,
    input  wire [WIDTH-1:0]    i_data,
    output wire                o_valid,
    input  wire                i_ready,
    output wire [WIDTH-1:0]    o_data,
    output wire [DEPTH_BITS:0] o_level
);
    reg [WIDTH-1:0]    memory [0:(1 << DEPTH_BITS)-1];
    reg [DEPTH_BITS:0] written, taken;

    wire put  = i_valid && o_ready;
    wire take = o_valid && i_ready;

    assign o_level = written - taken;
    assign o_ready = !o_level[DEPTH_BITS];
    assign o_valid = o_level != 0;
    assign o_data  = memory[taken[DEPTH_BITS-1:0]];

    always @(posedge i_clk) begin
        if (put) memory[written[DEPTH_BITS-1:0]] <= i_data;
        if (i_reset) begin
            written <= 0;
            taken   <= 0;
        end else begin
            if (put)  written <= written + 1'b1;
            if (take) taken   <= taken + 1'b1;
        end
    end

`ifdef FORMAL
    // Never more than fit; what is offered stays; and one entry, whichever, comes out as it went in.
    (* anyconst *) reg [DEPTH_BITS:0] watched;
    reg [WIDTH-1:0] watched_data;
    reg             inside;
    reg             past_valid = 1'b0;
    wire [DEPTH_BITS:0] distance = watched - taken;

    initial assume (i_reset);
    always @(posedge i_clk) begin
        past_valid <= 1'b1;
        if (i_reset) inside <= 1'b0;
        else if (put && written == watched) begin
            inside       <= 1'b1;
            watched_data <= i_data;
        end else if (take && taken == watched) inside <= 1'b0;
        if (past_valid) begin
            assert (o_level <= 1 << DEPTH_BITS);
            assert (!inside || distance < o_level);
            assert (!inside || memory[watched[DEPTH_BITS-1:0]] == watched_data);
            assert (!inside || !take || taken != watched || o_data == watched_data);
            if ($past(o_valid && !i_ready && !i_reset)) begin
                assert (o_valid);
                assert (o_data == $past(o_data));
            end
            if ($past(i_reset)) assert (!o_valid && o_ready);
        end
    end
`endif
endmodule

`default_nettype wire
