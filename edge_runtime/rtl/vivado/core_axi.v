// eg_core with the port names from which Vivado infers AXI interfaces.
`default_nettype none

module core_axi #(
    parameter LANES = 128,
    parameter PAIR = 2,
    parameter WEIGHT_DEPTH = 3584,
    parameter WEIGHT_BITS = 12
) (
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axi:s_axis_program:s_axis_weights:s_axis_image:m_axis_logits, ASSOCIATED_RESET aresetn" *)
    input  wire        aclk,
    input  wire        aresetn,
    input  wire [7:0]  s_axi_awaddr,
    input  wire        s_axi_awvalid,
    output wire        s_axi_awready,
    input  wire [31:0] s_axi_wdata,
    input  wire [3:0]  s_axi_wstrb,
    input  wire        s_axi_wvalid,
    output wire        s_axi_wready,
    output wire [1:0]  s_axi_bresp,
    output wire        s_axi_bvalid,
    input  wire        s_axi_bready,
    input  wire [7:0]  s_axi_araddr,
    input  wire        s_axi_arvalid,
    output wire        s_axi_arready,
    output wire [31:0] s_axi_rdata,
    output wire [1:0]  s_axi_rresp,
    output wire        s_axi_rvalid,
    input  wire        s_axi_rready,
    input  wire [31:0] s_axis_program_tdata,
    input  wire        s_axis_program_tvalid,
    input  wire        s_axis_program_tlast,
    output wire        s_axis_program_tready,
    input  wire [63:0] s_axis_weights_tdata,
    input  wire        s_axis_weights_tvalid,
    input  wire        s_axis_weights_tlast,
    output wire        s_axis_weights_tready,
    input  wire [31:0] s_axis_image_tdata,
    input  wire        s_axis_image_tvalid,
    input  wire        s_axis_image_tlast,
    output wire        s_axis_image_tready,
    output wire [31:0] m_axis_logits_tdata,
    output wire        m_axis_logits_tvalid,
    output wire        m_axis_logits_tlast,
    input  wire        m_axis_logits_tready,
    output wire        irq
);
    eg_core #(
        .LANES(LANES), .PAIR(PAIR), .WEIGHT_DEPTH(WEIGHT_DEPTH), .WEIGHT_BITS(WEIGHT_BITS)
    ) u_core (
        .i_clk(aclk), .i_rst_n(aresetn),
        .i_awaddr(s_axi_awaddr), .i_awvalid(s_axi_awvalid), .o_awready(s_axi_awready),
        .i_wdata(s_axi_wdata), .i_wstrb(s_axi_wstrb), .i_wvalid(s_axi_wvalid),
        .o_wready(s_axi_wready), .o_bresp(s_axi_bresp), .o_bvalid(s_axi_bvalid),
        .i_bready(s_axi_bready), .i_araddr(s_axi_araddr), .i_arvalid(s_axi_arvalid),
        .o_arready(s_axi_arready), .o_rdata(s_axi_rdata), .o_rresp(s_axi_rresp),
        .o_rvalid(s_axi_rvalid), .i_rready(s_axi_rready), .o_irq(irq),
        .i_program_tdata(s_axis_program_tdata), .i_program_tvalid(s_axis_program_tvalid),
        .i_program_tlast(s_axis_program_tlast), .o_program_tready(s_axis_program_tready),
        .i_weights_tdata(s_axis_weights_tdata), .i_weights_tvalid(s_axis_weights_tvalid),
        .i_weights_tlast(s_axis_weights_tlast), .o_weights_tready(s_axis_weights_tready),
        .i_image_tdata(s_axis_image_tdata), .i_image_tvalid(s_axis_image_tvalid),
        .i_image_tlast(s_axis_image_tlast), .o_image_tready(s_axis_image_tready),
        .o_logits_tdata(m_axis_logits_tdata), .o_logits_tvalid(m_axis_logits_tvalid),
        .o_logits_tlast(m_axis_logits_tlast), .i_logits_tready(m_axis_logits_tready)
    );
endmodule

`default_nettype wire
