// The program: loaded once by a stream of 32-bit beats, checked, read word by word.
//
//   word 0  magic "EGC1"            4  1: weights are resident; 0: a packet for every image
//        1  lanes | version << 24   5  bytes of an image
//        2  instructions            6  logits of an image
//        3  words of weights        7  such that all words of the program add up to 0 mod 2^32
//   then 12 words for each instruction (docs/core.md)
`default_nettype none

module eg_program #(
    parameter LANES = 128,
    parameter IMAGE_BYTES = 1024,     // that fit
    parameter DEPTH = 1024,           // words of instructions
    parameter ADDRESS_BITS = 10
) (
    input  wire                    i_clk,
    input  wire                    i_reset,
    input  wire                    i_valid,
    output wire                    o_ready,
    input  wire [31:0]             i_data,
    input  wire                    i_last,
    output wire                    o_receiving,
    output reg                     o_loaded,
    // errors, for one cycle
    output reg                     o_not_a_program,
    output reg                     o_another_core,
    output reg                     o_length,
    output reg                     o_checksum,
    // header
    output reg  [15:0]             o_instructions,
    output reg  [31:0]             o_weight_words,
    output reg                     o_resident,
    output reg  [15:0]             o_image_beats,
    output reg  [15:0]             o_logits,
    // instructions
    input  wire [ADDRESS_BITS-1:0] i_address,
    output wire [31:0]             o_word
);
    localparam [31:0] MAGIC = 32'h31434745;
    localparam [31:0] VERSION = 32'h01000000 | LANES;
    localparam [31:0] MOST = DEPTH / 12;

    reg [31:0] count;                 // words received
    reg [31:0] sum;
    reg [31:0] words;                 // that the program has
    reg        stopped;               // by an error: take what comes, do nothing
    wire [31:0] total = sum + i_data;
    wire beat = i_valid && o_ready;
    wire complete = count >= 32'd8 && count + 32'd1 == words;

    assign o_ready     = 1'b1;        // what comes after the program is an error, and taken
    assign o_receiving = count != 32'd0 && !o_loaded && !stopped;

    wire header = beat && !stopped && !o_loaded && count < 32'd8;

    always @(posedge i_clk) begin
        if (header) case (count[2:0])
            3'd2: begin
                o_instructions <= i_data[15:0];
                words          <= 32'd8 + {i_data[28:0], 3'd0} + {i_data[29:0], 2'd0};
            end
            3'd3: o_weight_words <= i_data;
            3'd4: o_resident     <= i_data[0];
            3'd5: o_image_beats  <= i_data[17:2] + {15'd0, i_data[1:0] != 2'd0};
            3'd6: o_logits       <= i_data[15:0];
            default: ;
        endcase
        if (i_reset) begin
            count           <= 32'd0;
            sum             <= 32'd0;
            stopped         <= 1'b0;
            o_loaded        <= 1'b0;
            o_not_a_program <= 1'b0;
            o_another_core  <= 1'b0;
            o_length        <= 1'b0;
            o_checksum      <= 1'b0;
        end else if (beat && !stopped) begin
            count <= count + 32'd1;
            sum   <= total;
            o_not_a_program <= header && ((count[2:0] == 3'd0 && i_data != MAGIC)
                || (count[2:0] == 3'd2 && (i_data == 32'd0 || i_data > MOST))
                || (count[2:0] == 3'd4 && i_data > 32'd1)
                || (count[2:0] == 3'd5 && (i_data == 32'd0 || i_data > IMAGE_BYTES))
                || (count[2:0] == 3'd6 && (i_data == 32'd0 || i_data > 32'd65535)));
            o_another_core <= header && count[2:0] == 3'd1 && i_data != VERSION;
            o_length       <= o_loaded || i_last != complete;
            o_checksum     <= complete && i_last && !o_loaded && total != 32'd0;
            o_loaded       <= o_loaded || (complete && i_last && total == 32'd0);
            if (i_last != complete || o_loaded) stopped <= 1'b1;
        end
    end

    wire [31:0] position = count - 32'd8;

    eg_ram #(.WIDTH(32), .DEPTH(DEPTH), .ADDRESS_BITS(ADDRESS_BITS)) u_ram (
        .i_clk           (i_clk),
        .i_write         (beat && !o_loaded && !stopped && count >= 32'd8),
        .i_write_address (position[ADDRESS_BITS-1:0]),
        .i_write_data    (i_data),
        .i_read_address  (i_address),
        .o_read_data     (o_word)
    );
endmodule

`default_nettype wire
