// Fetching never asks for more sets than the operand memory holds, whatever the instruction and
// however slowly they are taken: the wires between eg_fetch and eg_operands as eg_core has them.
`default_nettype none

module sets #(parameter SETS_BITS = 3) (
    input wire        i_clk, i_reset, i_start, i_take,
    input wire [2:0]  i_slots,
    input wire        i_from_image,
    input wire [7:0]  i_in_height, i_in_width,
    input wire [15:0] i_out_width, i_pixels, i_words,
    input wire [3:0]  i_kernel_h, i_kernel_w, i_stride_h, i_stride_w, i_pad_top, i_pad_left
);
    wire idle, empty_group, read, zero, complete, mark, valid, room;
    wire [15:0] address, k;
    wire [1:0]  slot;
    wire [4:0]  count;
    wire [SETS_BITS:0] level;
    wire taken = i_take && valid;

    eg_fetch #(.SLOTS(4), .SETS(1 << SETS_BITS)) u_fetch (
        .i_clk(i_clk), .i_reset(i_reset), .i_start(i_start && idle), .o_idle(idle),
        .o_empty_group(empty_group), .i_slots(i_slots), .i_from_image(i_from_image),
        .i_in_height(i_in_height), .i_in_width(i_in_width), .i_out_width(i_out_width),
        .i_pixels(i_pixels), .i_kernel_h(i_kernel_h), .i_kernel_w(i_kernel_w),
        .i_stride_h(i_stride_h), .i_stride_w(i_stride_w), .i_pad_top(i_pad_top),
        .i_pad_left(i_pad_left), .i_source(16'd0), .i_step_x(16'd1), .i_step_y(16'd4),
        .i_tap_row(16'd4), .i_tap_column(16'd1), .i_words(i_words), .i_last_channels(5'd3),
        .i_k_step(16'd3), .o_read(read), .o_address(address), .o_zero(zero), .o_slot(slot),
        .o_complete(complete), .o_mark(mark), .o_count(count), .o_first_k(k), .i_taken(taken)
    );

    reg complete_1, complete_2;
    always @(posedge i_clk) begin
        complete_1 <= !i_reset && complete;
        complete_2 <= !i_reset && complete_1;
    end

    eg_fifo #(.WIDTH(1), .DEPTH_BITS(SETS_BITS)) u_info (
        .i_clk(i_clk), .i_reset(i_reset), .i_valid(complete_2), .o_ready(room), .i_data(1'b0),
        .o_valid(valid), .i_ready(taken), .o_data(), .o_level(level)
    );

    reg past_valid = 1'b0;
    initial assume (i_reset);
    always @(posedge i_clk) begin
        past_valid <= 1'b1;
        if (past_valid) begin
            assume (!i_reset);
            assume ($stable(i_slots) && $stable(i_pixels) && $stable(i_words));
            assume ($stable(i_kernel_h) && $stable(i_kernel_w) && $stable(i_out_width));
        end
        assume (i_slots >= 3'd1 && i_slots <= 3'd4 && i_pixels != 16'd0 && i_words != 16'd0);
        assume (i_kernel_h != 4'd0 && i_kernel_w != 4'd0 && i_out_width != 16'd0);
        if (past_valid) begin
            assert (!complete_2 || room);
            assert (!idle || level == 0 || !past_valid);
        end
    end
endmodule

`default_nettype wire
