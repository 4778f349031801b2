// Two images: one is computed while the next one arrives, as a stream of 32-bit beats with four
// bytes each, the first in the low bits. Read byte by byte, two cycles after the address.
`default_nettype none

module eg_image #(
    parameter WORDS = 256,        // of 32 bits, for one image
    parameter ADDRESS_BITS = 8
) (
    input  wire        i_clk,
    input  wire        i_reset,
    input  wire        i_enable,    // the program is known, and with it:
    input  wire [15:0] i_beats,     // of an image
    // stream of images
    input  wire        i_valid,
    output wire        o_ready,
    input  wire [31:0] i_data,
    input  wire        i_last,
    output reg         o_error,     // the packet is not as long as i_beats
    output wire        o_receiving, // a packet has begun
    // images
    output wire        o_present,   // one can be computed
    input  wire        i_release,   // it has been
    input  wire [15:0] i_address,   // of a byte
    output reg  [7:0]  o_byte
);
    reg [1:0]  full;
    reg        write_bank, read_bank;
    reg [15:0] beats;

    assign o_ready     = i_enable && !full[write_bank];
    assign o_present   = full[read_bank];
    assign o_receiving = beats != 16'd0;

    wire beat     = i_valid && o_ready;
    wire complete = beats + 16'd1 == i_beats;

    always @(posedge i_clk) begin
        if (i_reset) begin
            full       <= 2'd0;
            write_bank <= 1'b0;
            read_bank  <= 1'b0;
            beats      <= 16'd0;
            o_error    <= 1'b0;
        end else begin
            if (beat) begin
                o_error <= i_last != complete;
                beats   <= complete ? 16'd0 : beats + 16'd1;
                if (complete) begin
                    full[write_bank] <= 1'b1;
                    write_bank       <= !write_bank;
                end
            end
            if (i_release) begin
                full[read_bank] <= 1'b0;
                read_bank       <= !read_bank;
            end
        end
    end

    reg [31:0] memory [0:2*WORDS-1];
    reg [31:0] fetched;
    reg [1:0]  part;

    always @(posedge i_clk) begin
        if (beat) memory[{write_bank, beats[ADDRESS_BITS-1:0]}] <= i_data;
        fetched <= memory[{read_bank, i_address[ADDRESS_BITS+1:2]}];
        part    <= i_address[1:0];
        o_byte  <= fetched[8*part +: 8];
    end

`ifdef FORMAL
    // An image that is being computed is never written to, and both banks come in turn.
    reg past_valid = 1'b0;

    initial assume (i_reset);
    always @(posedge i_clk) begin
        past_valid <= 1'b1;
        assume (!i_release || o_present);       // the sequencer frees what it has computed
        assume (i_beats != 16'd0);
        if (past_valid) assume (i_beats == $past(i_beats));
        if (past_valid) begin
            assert (!beat || !full[write_bank]);
            assert (full != 2'b01 || (write_bank == 1'b1 && read_bank == 1'b0));
            assert (full != 2'b10 || (write_bank == 1'b0 && read_bank == 1'b1));
            assert ((full != 2'b00 && full != 2'b11) || write_bank == read_bank);
            assert (beats < i_beats);
            assert (!o_receiving || !full[write_bank]);
            if ($past(o_ready && !(i_valid && i_last) && i_enable) && i_enable && !$past(i_reset)
                && !$past(complete)) assert (o_ready);
        end
    end
`endif
endmodule

`default_nettype wire
