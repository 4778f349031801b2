// Walks a tile's pixels, taps and channels, and asks for activation words.
//
//   for each group of up to SLOTS pixels, row by row of the output:
//     for each tap that lies on the map for any of them:
//       for each channel word: a set of one word for each pixel (zeros where its tap is padding)
//     an end mark
`default_nettype none

module eg_fetch #(
    parameter SLOTS = 4,
    parameter SETS = 8              // that the operand memory holds
) (
    input  wire        i_clk,
    input  wire        i_reset,
    input  wire        i_start,
    output wire        o_idle,          // and all sets have been taken
    output reg         o_empty_group,   // error: no tap of a group lies on the map
    // the instruction
    input  wire [2:0]  i_slots,         // pixels of a group
    input  wire        i_from_image,    // words of one byte
    input  wire [7:0]  i_in_height, i_in_width,
    input  wire [15:0] i_out_width, i_pixels,
    input  wire [3:0]  i_kernel_h, i_kernel_w, i_stride_h, i_stride_w, i_pad_top, i_pad_left,
    input  wire [15:0] i_source,        // address of the first pixel's first tap, modulo 2^16
    input  wire [15:0] i_step_x, i_step_y, i_tap_row, i_tap_column,
    input  wire [15:0] i_words,         // channel words of a tap
    input  wire [4:0]  i_last_channels, // of the last one
    input  wire [15:0] i_k_step,        // weights from tap to tap
    // words asked for
    output reg         o_read,          // or a zero word, or an end mark
    output reg  [15:0] o_address,
    output reg         o_zero,
    output reg  [1:0]  o_slot,
    output reg         o_complete,
    output reg         o_mark,
    output reg  [4:0]  o_count,
    output reg  [15:0] o_first_k,
    input  wire        i_taken          // a set has left the operand memory
);
    localparam SLOT_BITS = $clog2(SLOTS);
    localparam [4:0] ALL_SETS = SETS[4:0];
    localparam [1:0] FILL = 2'd0, TAP = 2'd1, READ = 2'd2, MARK = 2'd3;

    reg        busy;
    reg [1:0]  state;
    reg [4:0]  room;                    // sets that may still be asked for
    // the next pixel
    reg signed [11:0] next_y, next_x;
    reg [15:0] next_column, next_address, row_address, pixels_left;
    // this group
    reg signed [11:0] base_y [0:SLOTS-1];
    reg signed [11:0] base_x [0:SLOTS-1];
    reg [15:0] base_address [0:SLOTS-1];
    reg [2:0]  filled;
    reg        any_tap;
    // this tap
    reg [3:0]  tap_y, tap_x;
    reg [15:0] tap_offset, tap_row_offset, tap_k;
    reg [SLOTS-1:0] on_map;
    // this set
    reg [15:0] word, word_k;
    reg [2:0]  slot;

    wire signed [11:0] left_edge = -$signed({8'd0, i_pad_left});
    wire last_tap_x = tap_x + 4'd1 == i_kernel_w;
    wire last_tap   = last_tap_x && tap_y + 4'd1 == i_kernel_h;
    wire last_slot  = slot + 3'd1 == filled;
    wire last_word  = word + 16'd1 == i_words;
    wire full       = filled + 3'd1 == i_slots || pixels_left == 16'd1;

    // Which pixels have this tap on the map.
    wire [SLOTS-1:0] lies;
    genvar s;
    generate
        for (s = 0; s < SLOTS; s = s + 1) begin : g_lies
            wire signed [11:0] y = base_y[s] + $signed({8'd0, tap_y});
            wire signed [11:0] x = base_x[s] + $signed({8'd0, tap_x});
            assign lies[s] = filled > s && !y[11] && !x[11] && y[10:0] < {3'd0, i_in_height}
                             && x[10:0] < {3'd0, i_in_width};
        end
    endgenerate

    assign o_idle = !busy && room == ALL_SETS;

    // A set begins only where the operand memory has room for all of it.
    wire reading  = busy && state == READ && (slot != 3'd0 || room != 5'd0);
    wire marking  = busy && state == MARK && any_tap && room != 5'd0;
    wire spent    = marking || (reading && slot == 3'd0);
    wire tap_done = (reading && last_slot && last_word) || (busy && state == TAP && !(|lies));

    always @(posedge i_clk) begin
        o_slot    <= slot[1:0];
        o_zero    <= !on_map[slot[SLOT_BITS-1:0]];
        o_address <= base_address[slot[SLOT_BITS-1:0]] + tap_offset + word;
        o_first_k <= word_k;
        o_mark    <= marking;
        o_count   <= marking ? {2'd0, filled} : i_from_image ? 5'd1
                                             : last_word ? i_last_channels : 5'd16;
        if (i_reset) begin
            busy        <= 1'b0;
            o_read        <= 1'b0;
            o_complete    <= 1'b0;
            o_empty_group <= 1'b0;
            room          <= ALL_SETS;
        end else begin
            o_read        <= reading;
            o_complete    <= (reading && last_slot) || marking;
            o_empty_group <= busy && state == MARK && !any_tap;
            room          <= room - {4'd0, spent} + {4'd0, i_taken};
            if (i_start) busy <= 1'b1;
            else if (marking && pixels_left == 16'd0) busy <= 1'b0;
        end
    end

    always @(posedge i_clk) begin
        if (i_start) begin
            state        <= FILL;
            filled       <= 3'd0;
            next_y       <= -$signed({8'd0, i_pad_top});
            next_x       <= left_edge;
            next_column  <= 16'd0;
            next_address <= i_source;
            row_address  <= i_source;
            pixels_left  <= i_pixels;
        end else if (busy) case (state)
            FILL: begin
                base_y[filled[SLOT_BITS-1:0]]       <= next_y;
                base_x[filled[SLOT_BITS-1:0]]       <= next_x;
                base_address[filled[SLOT_BITS-1:0]] <= next_address;
                filled      <= filled + 3'd1;
                pixels_left <= pixels_left - 16'd1;
                if (next_column + 16'd1 == i_out_width) begin
                    next_column  <= 16'd0;
                    next_x       <= left_edge;
                    next_y       <= next_y + $signed({8'd0, i_stride_h});
                    next_address <= row_address + i_step_y;
                    row_address  <= row_address + i_step_y;
                end else begin
                    next_column  <= next_column + 16'd1;
                    next_x       <= next_x + $signed({8'd0, i_stride_w});
                    next_address <= next_address + i_step_x;
                end
                any_tap        <= 1'b0;
                tap_y          <= 4'd0;
                tap_x          <= 4'd0;
                tap_offset     <= 16'd0;
                tap_row_offset <= 16'd0;
                tap_k          <= 16'd0;
                if (full) state <= TAP;
            end
            TAP: begin
                on_map <= lies;
                word   <= 16'd0;
                word_k <= tap_k;
                slot   <= 3'd0;
                if (|lies) begin
                    any_tap <= 1'b1;
                    state   <= READ;
                end
            end
            READ: if (reading) begin
                slot <= last_slot ? 3'd0 : slot + 3'd1;
                if (last_slot) begin
                    word   <= word + 16'd1;
                    word_k <= word_k + (i_from_image ? 16'd1 : 16'd16);
                end
            end
            MARK: if (marking) begin
                filled <= 3'd0;
                state  <= FILL;
            end
        endcase
        if (tap_done && !i_start) begin
            state <= last_tap ? MARK : TAP;
            tap_k <= tap_k + i_k_step;
            if (last_tap_x) begin
                tap_x          <= 4'd0;
                tap_y          <= tap_y + 4'd1;
                tap_offset     <= tap_row_offset + i_tap_row;
                tap_row_offset <= tap_row_offset + i_tap_row;
            end else begin
                tap_x      <= tap_x + 4'd1;
                tap_offset <= tap_offset + i_tap_column;
            end
        end
    end
endmodule

`default_nettype wire
