// Runs the program for each image: reads an instruction, checks it, waits for its weights, starts
// the machine and waits until it is empty again. Stops at the first error, for good.
`default_nettype none

module eg_sequencer #(
    parameter LANES = 128,
    parameter PAIR = 2,
    parameter WEIGHT_DEPTH = 3584,
    parameter PROGRAM_BITS = 10
) (
    input  wire        i_clk,
    input  wire        i_reset,
    input  wire        i_run,
    input  wire        i_stop,            // an error anywhere
    input  wire        i_image,           // one is here
    input  wire        i_program,         // is loaded
    input  wire [15:0] i_instructions,
    input  wire [15:0] i_logits,
    output wire [PROGRAM_BITS-1:0] o_address,
    input  wire [31:0] i_word,
    input  wire        i_weights_present,
    input  wire        i_machine_busy,
    input  wire        i_logit,           // one has been handed over
    output reg         o_restart,         // an image begins
    output reg         o_begin,           // a tile begins: biases
    output reg         o_start,           // and then its pixels
    output reg         o_release_weights,
    output reg         o_done,            // an image is done
    output reg         o_illegal,         // error: the instruction
    output reg         o_logits_wrong,    // error: another number of logits than the header says
    output wire        o_last_logit,      // the next one is the image's last
    output wire        o_busy,
    output reg  [15:0] o_pc,
    // the instruction
    output wire        o_pool, o_fold, o_from_image, o_to_logits, o_raw,
    output wire [2:0]  o_slots,
    output wire [15:0] o_source, o_destination,
    output wire [7:0]  o_in_height, o_in_width,
    output wire [15:0] o_out_width, o_pixels, o_words,
    output wire [3:0]  o_kernel_h, o_kernel_w, o_stride_h, o_stride_w, o_pad_top, o_pad_left,
    output wire [4:0]  o_last_channels,
    output wire [15:0] o_step_x, o_step_y, o_tap_row, o_tap_column,
    output wire [15:0] o_destination_step, o_channels_out, o_weight_words, o_k_step,
    output wire [4:0]  o_shift, o_shift_bias,
    output wire        o_relu,
    output wire [6:0]  o_high,
    output wire [7:0]  o_multiplier
);
    localparam [2:0] IDLE = 3'd0, READ = 3'd1, CHECK = 3'd2, WAIT = 3'd3, BIAS = 3'd4, RUN = 3'd5,
                     NEXT = 3'd6, STOPPED = 3'd7;
    localparam [15:0] MOST_CHANNELS = LANES[15:0];
    localparam [15:0] MOST_WEIGHTS = WEIGHT_DEPTH[15:0];
    localparam [2:0] PIXELS = PAIR[2:0];

    reg [2:0]  state;
    reg [3:0]  count;
    reg [15:0] logits;
    reg [PROGRAM_BITS-1:0] address;
    reg [31:0] fields [0:11];

    assign o_address = address;
    assign o_last_logit = logits + 16'd1 == i_logits;
    assign o_busy    = state != IDLE && state != STOPPED;

    // Fields, in the order of docs/core.md.
    assign {o_raw, o_to_logits, o_from_image, o_fold, o_pool} = fields[0][4:0];
    assign {o_destination, o_source}               = fields[1];
    assign {o_out_width, o_in_width, o_in_height}  = fields[2];
    assign o_pixels                                = fields[3][15:0];
    assign {o_pad_left, o_pad_top, o_stride_w, o_stride_h, o_kernel_w, o_kernel_h} =
           fields[4][23:0];
    assign {o_last_channels, o_words}              = fields[5][20:0];
    assign {o_step_y, o_step_x}                    = fields[6];
    assign {o_tap_column, o_tap_row}               = fields[7];
    assign {o_channels_out, o_destination_step}    = fields[8];
    assign {o_k_step, o_weight_words}              = fields[9];
    assign {o_high, o_relu}                        = fields[10][23:16];
    assign o_shift_bias                            = fields[10][12:8];
    assign o_shift                                 = fields[10][4:0];
    assign o_multiplier                            = fields[11][7:0];
    assign o_slots = o_fold ? 3'd2 * PIXELS : PIXELS;

    wire [15:0] most_out = o_fold ? MOST_CHANNELS / 2 : MOST_CHANNELS;
    reg illegal;
    always @(posedge i_clk) begin
        illegal <= fields[0][31:24] != 8'd1 || fields[0][23:5] != 19'd0
            || fields[3][31:16] != 16'd0 || fields[4][31:24] != 8'd0
            || fields[5][31:21] != 11'd0 || fields[10][31:24] != 8'd0
            || fields[10][15:13] != 3'd0 || fields[10][7:5] != 3'd0 || fields[11][31:8] != 24'd0
            || o_in_height == 8'd0 || o_in_width == 8'd0 || o_out_width == 16'd0
            || o_pixels == 16'd0 || (o_to_logits && o_pixels != 16'd1)
            || o_kernel_h == 4'd0 || o_kernel_w == 4'd0
            || o_stride_h == 4'd0 || o_stride_w == 4'd0
            || o_words == 16'd0 || o_last_channels == 5'd0 || o_last_channels > 5'd16
            || o_channels_out == 16'd0 || o_channels_out > most_out
            || o_weight_words > MOST_WEIGHTS || (o_weight_words == 16'd0) != o_pool
            || o_shift > 5'd24 || o_shift_bias > 5'd16 || (o_raw && !o_to_logits);
    end

    wire last = o_pc + 16'd1 == i_instructions;

    always @(posedge i_clk) begin
        o_restart         <= 1'b0;
        o_begin           <= 1'b0;
        o_start           <= 1'b0;
        o_release_weights <= 1'b0;
        o_done            <= 1'b0;
        o_illegal         <= 1'b0;
        o_logits_wrong    <= 1'b0;
        if (i_reset) begin
            state  <= IDLE;
            o_pc   <= 16'd0;
            count  <= 4'd0;
            logits <= 16'd0;
        end else if (i_stop) begin
            state <= STOPPED;
        end else begin
            count <= count + 4'd1;
            if (i_logit) logits <= logits + 16'd1;
            case (state)
                IDLE: begin
                    count   <= 4'd0;
                    address <= 0;
                    o_pc    <= 16'd0;
                    logits  <= 16'd0;
                    if (i_run && i_image && i_program && !o_done) begin
                        o_restart <= 1'b1;
                        state     <= READ;
                    end
                end
                READ: begin  // a word comes two cycles after its address
                    address <= address + 1'b1;
                    if (count >= 4'd2) fields[count - 4'd2] <= i_word;
                    if (count == 4'd13) begin
                        address <= address - 1'b1;
                        state   <= CHECK;
                        count   <= 4'd0;
                    end
                end
                CHECK: if (count == 4'd1) begin
                    o_illegal <= illegal;
                    state     <= WAIT;
                end
                WAIT: if (!o_illegal && i_weights_present) begin
                    o_begin <= 1'b1;
                    count   <= 4'd0;
                    state   <= BIAS;
                end
                BIAS: begin
                    o_start <= 1'b1;
                    count   <= 4'd0;
                    state   <= RUN;
                end
                RUN: begin
                    if (count == 4'd15) count <= 4'd15;
                    if (count >= 4'd3 && !i_machine_busy) begin
                        o_release_weights <= 1'b1;
                        state             <= NEXT;
                    end
                end
                NEXT: begin
                    count <= 4'd0;
                    if (!last) begin
                        o_pc  <= o_pc + 16'd1;
                        state <= READ;
                    end else begin
                        o_done         <= logits == i_logits;
                        o_logits_wrong <= logits != i_logits;
                        state          <= IDLE;
                    end
                end
                default: ;
            endcase
        end
    end
endmodule

`default_nettype wire
