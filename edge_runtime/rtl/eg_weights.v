// The weights: a memory of words with one int8 for each lane, filled by a stream of 64-bit beats.
//
// Resident (i_resident): all i_total words are loaded once, and read for every image. Otherwise
// every image has a packet of its own, the memory is a ring, and words are freed as tiles are done,
// so that the next tiles load while one computes.
`default_nettype none

module eg_weights #(
    parameter LANES = 128,
    parameter DEPTH = 3584,       // words
    parameter ADDRESS_BITS = 12
) (
    input  wire                  i_clk,
    input  wire                  i_reset,
    input  wire                  i_enable,     // the program is known, and with it:
    input  wire                  i_resident,
    input  wire [31:0]           i_total,      // words in a packet
    // stream of weights
    input  wire                  i_valid,
    output wire                  o_ready,
    input  wire [63:0]           i_data,
    input  wire                  i_last,
    output reg                   o_error,      // the packet is not as long as i_total
    output wire                  o_receiving,  // a packet has begun, and its next beat is awaited
    output reg                   o_loaded,     // resident: all are here
    // tiles, in the order in which they came
    input  wire                  i_restart,    // an image begins: resident weights from the start
    input  wire                  i_release,    // the tile of i_words is done
    input  wire [15:0]           i_words,
    output wire                  o_present,    // its words are here
    output wire [15:0]           o_space,      // words that can be sent now
    // reading, relative to the tile; three cycles
    input  wire [15:0]           i_address,
    output wire [LANES*8-1:0]    o_weights
);
    localparam BANKS = LANES / 8;
    localparam [7:0] LAST_BANK = BANKS[7:0] - 8'd1;
    localparam [15:0] CAPACITY = DEPTH[15:0];

    reg [31:0] received;              // words of this packet
    reg [7:0]  bank;                  // of the next beat
    reg [15:0] held;                  // words here and not released
    reg [15:0] write_word, tile_word;

    wire [16:0] tile_next = {1'b0, tile_word} + {1'b0, i_words};
    wire [15:0] tile_wrapped = tile_next >= {1'b0, CAPACITY} ? tile_next[15:0] - CAPACITY
                                                             : tile_next[15:0];

    // Where there are none to come, for pools alone, none are waited for.
    assign o_present = held >= i_words && (!i_resident || o_loaded || i_total == 32'd0);
    assign o_space   = CAPACITY - held;
    // Resident weights that come again, and any where there are none, are an error, and taken, so
    // that their sender ends.
    assign o_ready   = i_enable && (o_loaded || held != CAPACITY);

    assign o_receiving = (received != 32'd0 || bank != 8'd0) && !o_loaded && o_ready;

    wire beat      = i_valid && o_ready;
    wire last_bank = bank == LAST_BANK;
    wire word      = beat && last_bank && !o_loaded;
    wire complete  = word && received + 1 == i_total;
    wire release_ring = i_release && !i_resident;

    always @(posedge i_clk) begin
        if (i_reset) begin
            received   <= 32'd0;
            bank       <= 8'd0;
            held       <= 16'd0;
            write_word <= 16'd0;
            tile_word  <= 16'd0;
            o_error    <= 1'b0;
            o_loaded   <= 1'b0;
        end else begin
            if (beat) begin
                bank    <= last_bank ? 8'd0 : bank + 8'd1;
                o_error <= o_loaded || i_total == 32'd0 || i_last != complete;
            end
            if (word) begin
                received   <= complete ? 32'd0 : received + 32'd1;
                write_word <= write_word == CAPACITY - 1 ? 16'd0 : write_word + 16'd1;
                if (complete && i_resident) o_loaded <= 1'b1;
            end
            held <= held + {15'd0, word} - (release_ring ? i_words : 16'd0);
            if (i_restart && i_resident) tile_word <= 16'd0;
            else if (i_release)          tile_word <= tile_wrapped;
        end
    end

    // The read address, wrapped. A program that reads past its tile reads other words, no harm.
    reg  [ADDRESS_BITS-1:0] read_word;
    wire [16:0] wanted = {1'b0, tile_word} + {1'b0, i_address};
    wire [16:0] wrapped = wanted >= {1'b0, CAPACITY} ? wanted - {1'b0, CAPACITY} : wanted;

    always @(posedge i_clk) read_word <= wrapped[ADDRESS_BITS-1:0];

    genvar b;
    generate
        for (b = 0; b < BANKS; b = b + 1) begin : g_bank
            eg_ram #(.WIDTH(64), .DEPTH(DEPTH), .ADDRESS_BITS(ADDRESS_BITS)) u_ram (
                .i_clk           (i_clk),
                .i_write         (beat && !o_loaded && bank == b),
                .i_write_address (write_word[ADDRESS_BITS-1:0]),
                .i_write_data    (i_data),
                .i_read_address  (read_word),
                .o_read_data     (o_weights[64*b +: 64])
            );
        end
    endgenerate
endmodule

`default_nettype wire
