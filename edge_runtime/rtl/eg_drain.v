// Takes a group's sums away while the next group is computed: a word of 16 channels a cycle, through
// the requantizers, into the activation memory, or one value after another to the logits.
`default_nettype none

module eg_drain #(
    parameter LANES = 128,
    parameter PAIR = 2,
    parameter SUM_BITS = 28
) (
    input  wire                           i_clk,
    input  wire                           i_reset,
    input  wire                           i_start,       // of a tile
    // the instruction
    input  wire                           i_fold,
    input  wire                           i_pool,        // no biases
    input  wire                           i_to_logits,
    input  wire                           i_raw,
    input  wire [15:0]                    i_destination, // of the first pixel
    input  wire [15:0]                    i_step,        // from pixel to pixel
    input  wire [15:0]                    i_channels,    // of this tile
    input  wire [4:0]                     i_shift, i_shift_bias,
    input  wire                           i_relu,
    input  wire [6:0]                     i_high,
    // sums
    input  wire                           i_captured,
    input  wire [2:0]                     i_pixels,
    input  wire [LANES*PAIR*SUM_BITS-1:0] i_sums,        // lane, then product
    input  wire [LANES*8-1:0]             i_biases,
    output wire                           o_drained,     // the sums have been read
    output wire                           o_idle,
    // activations
    output reg                            o_write,
    output reg  [15:0]                    o_address,
    output wire [127:0]                   o_data,
    // logits
    output wire                           o_valid,
    input  wire                           i_ready,
    output wire [31:0]                    o_logit
);
    localparam WORDS = LANES / 16;          // of one product
    localparam GROUP = 16 * SUM_BITS;
    localparam HALF = WORDS / 2;

    wire [7:0] channel_words = i_channels[11:4] + {7'd0, i_channels[3:0] != 4'd0};

    // Which word is read: word `word` of pixel `slot`.
    reg        active;
    reg [2:0]  slot;
    reg [7:0]  word;
    reg [15:0] pixel_address;
    wire       logits_busy;
    reg [3:0]  stage;                       // words on their way through the requantizers
    wire       go = active && (!i_to_logits || (!logits_busy && stage == 4'd0));
    wire       last_word = word + 8'd1 == channel_words;

    assign o_drained = go && last_word && slot + 3'd1 == i_pixels;
    assign o_idle    = !active && !i_captured && stage == 4'd0 && !logits_busy && !o_write;

    // Slot s is product s of all lanes; folded, the upper half has the second PAIR of slots.
    wire       product = PAIR == 2 ? slot[0] : 1'b0;
    wire       upper   = PAIR == 2 ? slot[1] : slot[0];
    wire [7:0] lane_word = word + (i_fold && upper ? HALF[7:0] : 8'd0);

    reg [GROUP-1:0] chosen;
    reg [127:0]     chosen_biases;
    wire [GROUP-1:0] choices [0:WORDS*PAIR-1];
    wire [127:0]     bias_choices [0:WORDS-1];

    genvar w, c, p;
    generate
        for (w = 0; w < WORDS; w = w + 1) begin : g_word
            assign bias_choices[w] = i_biases[128*w +: 128];
            for (p = 0; p < PAIR; p = p + 1) begin : g_product
                for (c = 0; c < 16; c = c + 1) begin : g_channel
                    assign choices[PAIR*w+p][c*SUM_BITS +: SUM_BITS] =
                        i_sums[((16*w+c)*PAIR+p)*SUM_BITS +: SUM_BITS];
                end
            end
        end
    endgenerate

    localparam INDEX_BITS = $clog2(WORDS);
    wire [INDEX_BITS-1:0] lane_index = lane_word[INDEX_BITS-1:0];
    wire [INDEX_BITS-1:0] bias_index = word[INDEX_BITS-1:0];

    always @(posedge i_clk) begin
        chosen        <= choices[PAIR * lane_index + {31'd0, product}];
        chosen_biases <= i_pool ? 128'd0 : bias_choices[bias_index];
    end

    always @(posedge i_clk) begin
        if (i_reset || i_start) begin
            active        <= 1'b0;
            slot          <= 3'd0;
            word          <= 8'd0;
            pixel_address <= i_destination;
        end else begin
            if (i_captured) active <= 1'b1;
            else if (o_drained) active <= 1'b0;
            if (go) begin
                word <= last_word ? 8'd0 : word + 8'd1;
                if (last_word) begin
                    slot          <= o_drained ? 3'd0 : slot + 3'd1;
                    pixel_address <= pixel_address + i_step;
                end
            end
        end
    end

    // Three cycles of requantizing, and the address beside them.
    wire [511:0] values;
    reg  [15:0]  address_1, address_2, address_3;

    generate
        for (c = 0; c < 16; c = c + 1) begin : g_requantize
            eg_requantize #(.SUM_BITS(SUM_BITS)) u_requantize (
                .i_clk        (i_clk),
                .i_shift      (i_shift),
                .i_shift_bias (i_shift_bias),
                .i_relu       (i_relu),
                .i_high       (i_high),
                .i_raw        (i_raw),
                .i_sum        (chosen[c*SUM_BITS +: SUM_BITS]),
                .i_bias       (chosen_biases[8*c +: 8]),
                .o_value      (values[32*c +: 32])
            );
            assign o_data[8*c +: 8] = values[32*c +: 8];
        end
    endgenerate

    always @(posedge i_clk) begin
        stage     <= i_reset ? 4'd0 : {stage[2:0], go};
        o_write   <= !i_reset && stage[2] && !i_to_logits;
        address_1 <= pixel_address + {8'd0, word};
        address_2 <= address_1;
        address_3 <= address_2;
        o_address <= address_3;
    end

    // Logits: the word's values one by one, of channels that are there.
    reg [511:0] queue;
    reg [4:0]   queued;
    reg [15:0]  channels_left;

    assign logits_busy = queued != 5'd0;
    assign o_valid     = logits_busy;
    assign o_logit     = queue[31:0];

    always @(posedge i_clk) begin
        if (i_reset || i_start) begin
            queued        <= 5'd0;
            channels_left <= i_channels;
        end else if (stage[3] && i_to_logits) begin
            queue         <= values;
            queued        <= channels_left < 16'd16 ? {1'b0, channels_left[3:0]} : 5'd16;
            channels_left <= channels_left - 16'd16;
        end else if (o_valid && i_ready) begin
            queue  <= {32'd0, queue[511:32]};
            queued <= queued - 5'd1;
        end
    end
endmodule

`default_nettype wire
