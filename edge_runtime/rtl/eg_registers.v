// AXI4-Lite: control, status and counters, and a way for every stream without a DMA: a register to
// write the beats of each input to, another for a packet's last beat, and one to read logits from.
// docs/core.md has the map.
`default_nettype none

module eg_registers #(
    parameter LANES = 128,
    parameter PAIR = 2,
    parameter WEIGHT_DEPTH = 3584,
    parameter ACTIVATION_DEPTH = 2048
) (
    input  wire        i_clk,
    input  wire        i_reset,
    // AXI4-Lite
    input  wire [7:0]  i_awaddr,
    input  wire        i_awvalid,
    output wire        o_awready,
    input  wire [31:0] i_wdata,
    input  wire [3:0]  i_wstrb,
    input  wire        i_wvalid,
    output wire        o_wready,
    output wire [1:0]  o_bresp,
    output reg         o_bvalid,
    input  wire        i_bready,
    input  wire [7:0]  i_araddr,
    input  wire        i_arvalid,
    output wire        o_arready,
    output reg  [31:0] o_rdata,
    output wire [1:0]  o_rresp,
    output reg         o_rvalid,
    input  wire        i_rready,
    output wire        o_irq,
    // control
    output reg         o_run,
    output reg         o_by_registers,  // streams come from here, not from their ports
    output reg         o_soft_reset,
    output reg  [31:0] o_watchdog,
    // status
    input  wire        i_busy, i_program, i_weights, i_image_ready, i_weight_ready,
    input  wire [3:0]  i_error,
    input  wire [15:0] i_pc, i_weight_space,
    input  wire        i_done,
    input  wire [31:0] i_cycles, i_steps,   // of the image that was done last
    // beats
    output reg         o_program_valid, o_weight_valid, o_image_valid, o_last,
    output reg  [63:0] o_beat,
    output reg         o_overrun,           // error: a beat when none could be taken
    input  wire [6:0]  i_logits,            // waiting
    input  wire [31:0] i_logit,
    output wire        o_take_logit
);
    localparam [31:0] ID = 32'h31434745, VERSION = 32'h01000000 | (PAIR << 16) | LANES;

    reg [31:0] images;
    reg [1:0]  irq_enable, irq_status;
    reg        half;                        // the low half of a weight beat is here
    reg [31:0] low_half;
    reg        error_q;

    // Address and data of a write come in either order and wait here for each other, so that no
    // ready depends on a valid of its own cycle: AXI has no such paths.
    reg        address_here, data_here, all_strobes;
    reg [5:0]  to;
    reg [31:0] data;

    wire write = address_here && data_here && !o_bvalid;
    wire read  = i_arvalid && o_arready;
    wire whole = write && all_strobes;      // all registers are written whole, or not at all
    wire [5:0] from = i_araddr[7:2];

    assign o_awready = !address_here;
    assign o_wready  = !data_here;
    assign o_arready = !o_rvalid;
    assign o_bresp   = 2'b00;
    assign o_rresp   = 2'b00;
    assign o_irq     = |(irq_enable & irq_status);
    assign o_take_logit = read && from == 6'h16 && o_by_registers;

    wire for_program = whole && to[5:1] == 5'h08;
    wire for_weights = whole && to[5:1] == 5'h09;
    wire for_image   = whole && to[5:1] == 5'h0A;

    always @(posedge i_clk) begin
        o_program_valid <= 1'b0;
        o_weight_valid  <= 1'b0;
        o_image_valid   <= 1'b0;
        o_overrun       <= 1'b0;
        o_soft_reset    <= 1'b0;
        if (o_awready) to <= i_awaddr[7:2];
        if (o_wready) begin
            data        <= i_wdata;
            all_strobes <= i_wstrb == 4'hF;
        end
        if (i_reset) begin
            address_here   <= 1'b0;
            data_here      <= 1'b0;
            o_bvalid       <= 1'b0;
            o_rvalid       <= 1'b0;
            o_run          <= 1'b0;
            o_by_registers <= 1'b0;
            o_watchdog     <= 32'd67108864;
            irq_enable     <= 2'd0;
            irq_status     <= 2'd0;
            images         <= 32'd0;
            half           <= 1'b0;
            error_q        <= 1'b0;
        end else begin
            if (write)                       address_here <= 1'b0;
            else if (i_awvalid && o_awready) address_here <= 1'b1;
            if (write)                       data_here <= 1'b0;
            else if (i_wvalid && o_wready)   data_here <= 1'b1;
            if (write)         o_bvalid <= 1'b1;
            else if (i_bready) o_bvalid <= 1'b0;
            if (read)          o_rvalid <= 1'b1;
            else if (i_rready) o_rvalid <= 1'b0;

            error_q <= i_error != 4'd0;
            if (i_done) images <= images + 32'd1;
            irq_status <= (irq_status & ~(whole && to == 6'h07 ? data[1:0] : 2'd0))
                          | {i_error != 4'd0 && !error_q, i_done};

            if (whole) case (to)
                6'h04: {o_soft_reset, o_by_registers, o_run} <= data[2:0];
                6'h06: irq_enable <= data[1:0];
                6'h08: o_watchdog <= data;
                default: ;
            endcase

            o_last <= to[0];
            if (for_program || for_image) o_beat <= {32'd0, data};
            if (for_weights) begin
                half     <= !half;
                low_half <= data;
                o_beat   <= {data, low_half};
            end
            if (o_by_registers) begin
                o_program_valid <= for_program;
                o_weight_valid  <= for_weights && half;
                o_image_valid   <= for_image;
                o_overrun <= (o_weight_valid && !i_weight_ready)
                             || (o_image_valid && !i_image_ready);
            end else begin
                o_overrun <= for_program || for_weights || for_image;
            end
            // In the cycle of the others' reset: an image or an error of that very cycle is none.
            if (o_soft_reset) begin
                half       <= 1'b0;
                images     <= 32'd0;
                irq_status <= 2'd0;
            end
        end
    end

    always @(posedge i_clk) if (read) case (from)
        6'h00: o_rdata <= ID;
        6'h01: o_rdata <= VERSION;
        6'h02: o_rdata <= WEIGHT_DEPTH;
        6'h03: o_rdata <= ACTIVATION_DEPTH;
        6'h04: o_rdata <= {30'd0, o_by_registers, o_run};
        6'h05: o_rdata <= {i_pc, 4'd0, i_error, 3'd0, i_image_ready, i_logits != 7'd0, i_weights,
                           i_program, i_busy};
        6'h06: o_rdata <= {30'd0, irq_enable};
        6'h07: o_rdata <= {30'd0, irq_status};
        6'h08: o_rdata <= o_watchdog;
        6'h09: o_rdata <= i_cycles;
        6'h0A: o_rdata <= images;
        6'h0B: o_rdata <= i_steps;
        6'h0C: o_rdata <= {25'd0, i_logits};
        6'h0D: o_rdata <= {16'd0, i_weight_space};
        6'h16: o_rdata <= i_logit;
        default: o_rdata <= 32'd0;
    endcase

`ifdef FORMAL
    // AXI4-Lite: an answer for each transaction, kept until it is taken; nothing is taken halfway.
    reg past_valid = 1'b0;
    reg [1:0] addresses, writes, reads; // accepted and not answered

    initial assume (i_reset);
    always @(posedge i_clk) begin
        past_valid <= 1'b1;
        addresses <= i_reset ? 2'd0
                             : addresses + (i_awvalid && o_awready) - (o_bvalid && i_bready);
        writes <= i_reset ? 2'd0 : writes + (i_wvalid && o_wready) - (o_bvalid && i_bready);
        reads  <= i_reset ? 2'd0 : reads + (i_arvalid && o_arready) - (o_rvalid && i_rready);
        if (past_valid) begin
            assert (addresses == {1'b0, address_here} + {1'b0, o_bvalid});
            assert (writes == {1'b0, data_here} + {1'b0, o_bvalid});
            assert (reads == {1'b0, o_rvalid});
            if ($past(o_bvalid && !i_bready && !i_reset)) assert (o_bvalid);
            if ($past(o_rvalid && !i_rready && !i_reset)) begin
                assert (o_rvalid);
                assert (o_rdata == $past(o_rdata));
            end
        end
    end
`endif
endmodule

`default_nettype wire
