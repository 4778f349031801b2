// Between fetching and issuing: sets of one activation word for each pixel of a group, and what the
// issuer must know of a set. A set is complete with its last word; an end mark is a set of its own.
`default_nettype none

module eg_operands #(
    parameter SLOTS = 4,          // pixels of a group, at most
    parameter DEPTH_BITS = 3,
    parameter INFO_BITS = 22
) (
    input  wire                  i_clk,
    input  wire                  i_reset,
    // words as they come
    input  wire                  i_write,
    input  wire [1:0]            i_slot,
    input  wire [127:0]          i_data,
    input  wire                  i_complete,   // this set's last write, or an end mark
    input  wire [INFO_BITS-1:0]  i_info,       // with i_complete
    // the oldest set
    output wire                  o_valid,
    input  wire                  i_take,
    output wire [INFO_BITS-1:0]  o_info,
    output wire [SLOTS*128-1:0]  o_data
);
    wire [DEPTH_BITS:0] level;
    wire                room;
    reg  [DEPTH_BITS-1:0] write_set, take_set;

    // Fetching never has more sets under way than fit: room is there whenever i_complete comes.
    eg_fifo #(.WIDTH(INFO_BITS), .DEPTH_BITS(DEPTH_BITS)) u_info (
        .i_clk   (i_clk),
        .i_reset (i_reset),
        .i_valid (i_complete),
        .o_ready (room),
        .i_data  (i_info),
        .o_valid (o_valid),
        .i_ready (i_take),
        .o_data  (o_info),
        .o_level (level)
    );

    always @(posedge i_clk) begin
        if (i_reset) begin
            write_set <= 0;
            take_set  <= 0;
        end else begin
            if (i_complete && room) write_set <= write_set + 1'b1;
            if (i_take && o_valid)  take_set  <= take_set + 1'b1;
        end
    end

    genvar s;
    generate
        for (s = 0; s < SLOTS; s = s + 1) begin : g_slot
            reg [127:0] words [0:(1 << DEPTH_BITS)-1];

            always @(posedge i_clk) if (i_write && i_slot == s) words[write_set] <= i_data;
            assign o_data[128*s +: 128] = words[take_set];
        end
    endgenerate

    wire unused = &{1'b0, level};
endmodule

`default_nettype wire
