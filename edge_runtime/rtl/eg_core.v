// The accelerator core: integer networks of convolutions and mean pools, as EdgeGlyph's bundles
// hold them, bit for bit. docs/core.md explains it.
//
//   program → eg_program → eg_sequencer ─ one instruction at a time ─┐
//   images  → eg_image ┐                                             ↓
//             eg_ram   ┴→ eg_fetch → eg_operands → eg_issue → eg_array → eg_drain → logits
//         (activations)                              ↑                      │
//   weights ─────────────────────────────────→ eg_weights         activations ←┘
`default_nettype none

module eg_core #(
    parameter LANES = 128,               // 32, 64 or 128
    parameter PAIR = 2,                  // products in one multiplier: 1 or 2
    parameter WEIGHT_DEPTH = 3584,       // words of LANES bytes
    parameter WEIGHT_BITS = 12,          // of their addresses
    parameter ACTIVATION_DEPTH = 2048,   // words of 16 bytes
    parameter ACTIVATION_BITS = 11,
    parameter IMAGE_WORDS = 256,         // 32-bit words of an image
    parameter IMAGE_BITS = 8,
    parameter PROGRAM_DEPTH = 1024,      // 32-bit words of instructions
    parameter PROGRAM_BITS = 10
) (
    input  wire        i_clk,
    input  wire        i_rst_n,
    // AXI4-Lite
    input  wire [7:0]  i_awaddr,
    input  wire        i_awvalid,
    output wire        o_awready,
    input  wire [31:0] i_wdata,
    input  wire [3:0]  i_wstrb,
    input  wire        i_wvalid,
    output wire        o_wready,
    output wire [1:0]  o_bresp,
    output wire        o_bvalid,
    input  wire        i_bready,
    input  wire [7:0]  i_araddr,
    input  wire        i_arvalid,
    output wire        o_arready,
    output wire [31:0] o_rdata,
    output wire [1:0]  o_rresp,
    output wire        o_rvalid,
    input  wire        i_rready,
    output wire        o_irq,
    // AXI4-Stream
    input  wire [31:0] i_program_tdata,
    input  wire        i_program_tvalid, i_program_tlast,
    output wire        o_program_tready,
    input  wire [63:0] i_weights_tdata,
    input  wire        i_weights_tvalid, i_weights_tlast,
    output wire        o_weights_tready,
    input  wire [31:0] i_image_tdata,
    input  wire        i_image_tvalid, i_image_tlast,
    output wire        o_image_tready,
    output wire [31:0] o_logits_tdata,
    output wire        o_logits_tvalid, o_logits_tlast,
    input  wire        i_logits_tready
);
    localparam LANE_BITS = $clog2(LANES);
    localparam SLOTS = 2 * PAIR;
    localparam SUM_BITS = 28;
    localparam SET_BITS = 3;             // 2^SET_BITS sets in the operand memory
    localparam INFO_BITS = 1 + 5 + 16;

    // --- Control -------------------------------------------------------------------------------
    reg  [3:0] error;
    reg [31:0] cycles, steps, cycles_done, steps_done;
    wire       run, by_registers, soft_reset, done;
    wire [31:0] watchdog;
    wire       failed = error != 4'd0;
    wire       reset  = !i_rst_n || soft_reset;  // what is read after its write is as after it

    wire        program_loaded, program_receiving, weights_loaded, image_receiving;
    wire        register_program, register_weights, register_image, register_last;
    wire [63:0] register_beat;
    wire        overrun, take_logit;
    wire [6:0]  logits_waiting;
    wire [32:0] logit_out;
    wire        logit_valid;
    wire [15:0] pc, weight_space;
    wire        busy;
    wire        program_ready, weights_ready, image_ready;

    eg_registers #(
        .LANES(LANES), .PAIR(PAIR), .WEIGHT_DEPTH(WEIGHT_DEPTH),
        .ACTIVATION_DEPTH(ACTIVATION_DEPTH)
    ) u_registers (
        .i_clk(i_clk), .i_reset(!i_rst_n),
        .i_awaddr(i_awaddr), .i_awvalid(i_awvalid), .o_awready(o_awready),
        .i_wdata(i_wdata), .i_wstrb(i_wstrb), .i_wvalid(i_wvalid), .o_wready(o_wready),
        .o_bresp(o_bresp), .o_bvalid(o_bvalid), .i_bready(i_bready),
        .i_araddr(i_araddr), .i_arvalid(i_arvalid), .o_arready(o_arready),
        .o_rdata(o_rdata), .o_rresp(o_rresp), .o_rvalid(o_rvalid), .i_rready(i_rready),
        .o_irq(o_irq),
        .o_run(run), .o_by_registers(by_registers), .o_soft_reset(soft_reset),
        .o_watchdog(watchdog),
        .i_busy(busy), .i_program(program_loaded), .i_weights(weights_loaded),
        .i_image_ready(image_ready), .i_weight_ready(weights_ready),
        .i_error(error), .i_pc(pc), .i_weight_space(weight_space),
        .i_done(done), .i_cycles(cycles_done), .i_steps(steps_done),
        .o_program_valid(register_program), .o_weight_valid(register_weights),
        .o_image_valid(register_image), .o_last(register_last), .o_beat(register_beat),
        .o_overrun(overrun),
        .i_logits(logits_waiting), .i_logit(logit_out[31:0]), .o_take_logit(take_logit)
    );

    // --- Streams in: from their ports or from registers; after an error all is taken and dropped --
    // In the cycle of a reset nothing is taken and nothing handed out.
    wire by_streams = !by_registers && !reset;

    assign o_program_tready = by_streams && (program_ready || failed);
    assign o_weights_tready = by_streams && (weights_ready || failed);
    assign o_image_tready   = by_streams && (image_ready || failed);

    wire program_valid = !failed && (by_registers ? register_program : i_program_tvalid);
    wire weights_valid = !failed && (by_registers ? register_weights : i_weights_tvalid);
    wire image_valid   = !failed && (by_registers ? register_image : i_image_tvalid);

    wire bad_magic, bad_core, bad_length, bad_checksum;
    wire [15:0] instructions, image_beats, logits_total;
    wire [31:0] weight_total;
    wire        resident;
    wire [PROGRAM_BITS-1:0] program_address;
    wire [31:0] program_word;

    eg_program #(
        .LANES(LANES), .IMAGE_BYTES(4 * IMAGE_WORDS), .DEPTH(PROGRAM_DEPTH),
        .ADDRESS_BITS(PROGRAM_BITS)
    ) u_program (
        .i_clk(i_clk), .i_reset(reset),
        .i_valid(program_valid), .o_ready(program_ready),
        .i_data(by_registers ? register_beat[31:0] : i_program_tdata),
        .i_last(by_registers ? register_last : i_program_tlast),
        .o_receiving(program_receiving), .o_loaded(program_loaded),
        .o_not_a_program(bad_magic), .o_another_core(bad_core), .o_length(bad_length),
        .o_checksum(bad_checksum),
        .o_instructions(instructions), .o_weight_words(weight_total), .o_resident(resident),
        .o_image_beats(image_beats), .o_logits(logits_total),
        .i_address(program_address), .o_word(program_word)
    );

    wire        bad_image, image_present;
    wire [15:0] fetch_address;
    wire [7:0]  image_byte;

    eg_image #(.WORDS(IMAGE_WORDS), .ADDRESS_BITS(IMAGE_BITS)) u_image (
        .i_clk(i_clk), .i_reset(reset), .i_enable(program_loaded), .i_beats(image_beats),
        .i_valid(image_valid), .o_ready(image_ready),
        .i_data(by_registers ? register_beat[31:0] : i_image_tdata),
        .i_last(by_registers ? register_last : i_image_tlast),
        .o_error(bad_image), .o_receiving(image_receiving),
        .o_present(image_present), .i_release(done),
        .i_address(fetch_address), .o_byte(image_byte)
    );

    wire        bad_weights, weights_receiving, weights_present, resident_loaded;
    wire        restart, release_weights;
    wire [15:0] tile_words, weight_address;
    wire [LANES*8-1:0] weights;

    eg_weights #(.LANES(LANES), .DEPTH(WEIGHT_DEPTH), .ADDRESS_BITS(WEIGHT_BITS)) u_weights (
        .i_clk(i_clk), .i_reset(reset), .i_enable(program_loaded), .i_resident(resident),
        .i_total(weight_total),
        .i_valid(weights_valid), .o_ready(weights_ready),
        .i_data(by_registers ? register_beat : i_weights_tdata),
        .i_last(by_registers ? register_last : i_weights_tlast),
        .o_error(bad_weights), .o_receiving(weights_receiving), .o_loaded(resident_loaded),
        .i_restart(restart), .i_release(release_weights), .i_words(tile_words),
        .o_present(weights_present), .o_space(weight_space),
        .i_address(weight_address), .o_weights(weights)
    );
    assign weights_loaded = program_loaded
                            && (resident_loaded || !resident || weight_total == 32'd0);

    // --- The program's instruction ---------------------------------------------------------------
    wire        begin_tile, start_tile, illegal, logits_wrong, last_logit, machine_busy, push_logit;
    wire        pool, fold, from_image, to_logits, raw, relu;
    wire [2:0]  slots;
    wire [15:0] source, destination, out_width, pixels, words, step_x, step_y, tap_row, tap_column;
    wire [15:0] destination_step, channels_out, k_step;
    wire [7:0]  in_height, in_width, multiplier;
    wire [3:0]  kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    wire [4:0]  last_channels, shift, shift_bias;
    wire [6:0]  high;

    eg_sequencer #(
        .LANES(LANES), .PAIR(PAIR), .WEIGHT_DEPTH(WEIGHT_DEPTH), .PROGRAM_BITS(PROGRAM_BITS)
    ) u_sequencer (
        .i_clk(i_clk), .i_reset(reset), .i_run(run), .i_stop(failed),
        .i_image(image_present), .i_program(program_loaded), .i_instructions(instructions),
        .i_logits(logits_total), .o_address(program_address), .i_word(program_word),
        .i_weights_present(weights_present), .i_machine_busy(machine_busy), .i_logit(push_logit),
        .o_restart(restart), .o_begin(begin_tile), .o_start(start_tile),
        .o_release_weights(release_weights), .o_done(done), .o_illegal(illegal),
        .o_logits_wrong(logits_wrong), .o_last_logit(last_logit), .o_busy(busy), .o_pc(pc),
        .o_pool(pool), .o_fold(fold), .o_from_image(from_image), .o_to_logits(to_logits),
        .o_raw(raw), .o_slots(slots), .o_source(source), .o_destination(destination),
        .o_in_height(in_height), .o_in_width(in_width), .o_out_width(out_width),
        .o_pixels(pixels), .o_words(words), .o_kernel_h(kernel_h), .o_kernel_w(kernel_w),
        .o_stride_h(stride_h), .o_stride_w(stride_w), .o_pad_top(pad_top), .o_pad_left(pad_left),
        .o_last_channels(last_channels), .o_step_x(step_x), .o_step_y(step_y),
        .o_tap_row(tap_row), .o_tap_column(tap_column), .o_destination_step(destination_step),
        .o_channels_out(channels_out), .o_weight_words(tile_words), .o_k_step(k_step),
        .o_shift(shift), .o_shift_bias(shift_bias), .o_relu(relu), .o_high(high),
        .o_multiplier(multiplier)
    );

    // --- Activations in ------------------------------------------------------------------------------
    wire        fetch_idle, empty_group, fetch_read, fetch_zero, fetch_complete, fetch_mark;
    wire [1:0]  fetch_slot;
    wire [4:0]  fetch_count;
    wire [15:0] fetch_k;
    wire        take_set;

    eg_fetch #(.SLOTS(SLOTS), .SETS(1 << SET_BITS)) u_fetch (
        .i_clk(i_clk), .i_reset(reset), .i_start(start_tile), .o_idle(fetch_idle),
        .o_empty_group(empty_group), .i_slots(slots), .i_from_image(from_image),
        .i_in_height(in_height), .i_in_width(in_width), .i_out_width(out_width),
        .i_pixels(pixels), .i_kernel_h(kernel_h), .i_kernel_w(kernel_w), .i_stride_h(stride_h),
        .i_stride_w(stride_w), .i_pad_top(pad_top), .i_pad_left(pad_left), .i_source(source),
        .i_step_x(step_x), .i_step_y(step_y), .i_tap_row(tap_row), .i_tap_column(tap_column),
        .i_words(words), .i_last_channels(last_channels), .i_k_step(k_step),
        .o_read(fetch_read), .o_address(fetch_address), .o_zero(fetch_zero), .o_slot(fetch_slot),
        .o_complete(fetch_complete), .o_mark(fetch_mark), .o_count(fetch_count),
        .o_first_k(fetch_k), .i_taken(take_set)
    );

    // Beside the memory's two cycles.
    localparam REQUEST = 1 + 1 + 2 + 1 + INFO_BITS;
    reg  [REQUEST-1:0] request_1, request_2;
    wire               word_write, word_zero, word_complete, word_mark;
    wire [1:0]         word_slot;
    wire [4:0]         word_count;
    wire [15:0]        word_k;

    always @(posedge i_clk) begin
        request_1 <= reset ? {REQUEST{1'b0}} : {fetch_read, fetch_zero, fetch_slot, fetch_complete,
                                                fetch_mark, fetch_count, fetch_k};
        request_2 <= reset ? {REQUEST{1'b0}} : request_1;
    end
    assign {word_write, word_zero, word_slot, word_complete, word_mark, word_count, word_k} =
           request_2;

    wire         result_write;
    wire [15:0]  result_address;
    wire [127:0] result_data, activation;

    eg_ram #(
        .WIDTH(128), .DEPTH(ACTIVATION_DEPTH), .ADDRESS_BITS(ACTIVATION_BITS)
    ) u_activations (
        .i_clk(i_clk),
        .i_write(result_write), .i_write_address(result_address[ACTIVATION_BITS-1:0]),
        .i_write_data(result_data),
        .i_read_address(fetch_address[ACTIVATION_BITS-1:0]), .o_read_data(activation)
    );

    wire                 set_valid, set_mark;
    wire [4:0]           set_count;
    wire [15:0]          set_k;
    wire [SLOTS*128-1:0] set_data;

    eg_operands #(.SLOTS(SLOTS), .DEPTH_BITS(SET_BITS), .INFO_BITS(INFO_BITS)) u_operands (
        .i_clk(i_clk), .i_reset(reset),
        .i_write(word_write), .i_slot(word_slot),
        .i_data(word_zero ? 128'd0 : from_image ? {120'd0, image_byte} : activation),
        .i_complete(word_complete), .i_info({word_mark, word_count, word_k}),
        .o_valid(set_valid), .i_take(take_set), .o_info({set_mark, set_count, set_k}),
        .o_data(set_data)
    );

    // --- Sums ------------------------------------------------------------------------------------
    wire                 issue_idle, mac_valid, mac_first, mac_end, mac_bias, mac_upper, drained;
    wire [LANE_BITS-1:0] mac_channel;
    wire [SLOTS*8-1:0]   mac_values;
    wire [2:0]           group_pixels;

    eg_issue #(.SLOTS(SLOTS), .LANE_BITS(LANE_BITS)) u_issue (
        .i_clk(i_clk), .i_reset(reset), .i_fold(fold), .i_begin(begin_tile),
        .i_valid(set_valid), .o_take(take_set), .i_mark(set_mark), .i_count(set_count),
        .i_first_k(set_k), .i_data(set_data),
        .o_address(weight_address), .o_valid(mac_valid), .o_first(mac_first), .o_end(mac_end),
        .o_bias(mac_bias), .o_upper(mac_upper), .o_channel(mac_channel), .o_values(mac_values),
        .o_pixels(group_pixels), .i_drained(drained), .o_idle(issue_idle)
    );

    wire captured;
    wire [LANES*PAIR*SUM_BITS-1:0] sums;
    wire [LANES*8-1:0] biases;

    eg_array #(
        .LANES(LANES), .LANE_BITS(LANE_BITS), .PAIR(PAIR), .SUM_BITS(SUM_BITS)
    ) u_array (
        .i_clk(i_clk), .i_reset(reset), .i_fold(fold), .i_pool(pool), .i_multiplier(multiplier),
        .i_weights(weights), .i_valid(mac_valid), .i_first(mac_first), .i_end(mac_end),
        .i_bias(mac_bias), .i_upper(mac_upper), .i_channel(mac_channel), .i_values(mac_values),
        .o_captured(captured), .o_sums(sums), .o_biases(biases)
    );

    // --- Values out --------------------------------------------------------------------------------
    wire        drain_idle, logit_ready, result_logit;
    wire [31:0] logit;

    eg_drain #(.LANES(LANES), .PAIR(PAIR), .SUM_BITS(SUM_BITS)) u_drain (
        .i_clk(i_clk), .i_reset(reset), .i_start(begin_tile), .i_fold(fold), .i_pool(pool),
        .i_to_logits(to_logits), .i_raw(raw), .i_destination(destination),
        .i_step(destination_step), .i_channels(channels_out), .i_shift(shift),
        .i_shift_bias(shift_bias), .i_relu(relu), .i_high(high),
        .i_captured(captured), .i_pixels(group_pixels), .i_sums(sums), .i_biases(biases),
        .o_drained(drained), .o_idle(drain_idle),
        .o_write(result_write), .o_address(result_address), .o_data(result_data),
        .o_valid(result_logit), .i_ready(logit_ready), .o_logit(logit)
    );

    assign machine_busy = !fetch_idle || !issue_idle || !drain_idle;
    assign push_logit   = result_logit && logit_ready;

    wire logit_taken = by_registers ? take_logit : i_logits_tready;

    eg_fifo #(.WIDTH(33), .DEPTH_BITS(6)) u_logits (
        .i_clk(i_clk), .i_reset(reset),
        .i_valid(result_logit), .o_ready(logit_ready), .i_data({last_logit, logit}),
        .o_valid(logit_valid), .i_ready(logit_taken), .o_data(logit_out),
        .o_level(logits_waiting)
    );
    assign o_logits_tvalid = logit_valid && by_streams;
    assign {o_logits_tlast, o_logits_tdata} = logit_out;

    // --- Errors and counters --------------------------------------------------------------------------
    wire expired;
    wire beat = program_valid || (weights_valid && weights_ready) || (image_valid && image_ready)
                || (logit_valid && logit_taken);

    eg_watchdog u_watchdog (
        .i_clk(i_clk), .i_reset(reset), .i_limit(watchdog),
        .i_waiting(!failed && (busy || program_receiving || image_receiving || weights_receiving)),
        .i_progress(beat || release_weights), .o_expired(expired)
    );

    always @(posedge i_clk) begin
        if (reset) error <= 4'd0;
        else if (!failed) begin
            if (bad_magic)          error <= 4'd1;
            else if (bad_core)      error <= 4'd2;
            else if (bad_length)    error <= 4'd3;
            else if (bad_checksum)  error <= 4'd4;
            else if (bad_weights)   error <= 4'd5;
            else if (bad_image)     error <= 4'd6;
            else if (illegal)       error <= 4'd7;
            else if (empty_group)   error <= 4'd8;
            else if (logits_wrong)  error <= 4'd9;
            else if (overrun)       error <= 4'd10;
            else if (expired)       error <= 4'd11;
        end

        cycles <= busy ? cycles + 32'd1 : 32'd0;
        steps  <= busy ? steps + {31'd0, mac_valid} : 32'd0;
        if (done) begin
            cycles_done <= cycles;
            steps_done  <= steps;
        end
        if (reset) begin
            cycles_done <= 32'd0;
            steps_done  <= 32'd0;
        end
    end
endmodule

`default_nettype wire
