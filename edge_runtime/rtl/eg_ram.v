// Memory with one write port and one read port; what is read comes two cycles after its address.
`default_nettype none

module eg_ram #(
    parameter WIDTH = 64,
    parameter DEPTH = 512,
    parameter ADDRESS_BITS = 9
) (
    input  wire                    i_clk,
    input  wire                    i_write,
    input  wire [ADDRESS_BITS-1:0] i_write_address,
    input  wire [WIDTH-1:0]        i_write_data,
    input  wire [ADDRESS_BITS-1:0] i_read_address,
    output reg  [WIDTH-1:0]        o_read_data
);
    reg [WIDTH-1:0] memory [0:DEPTH-1];
    reg [WIDTH-1:0] fetched;

    always @(posedge i_clk) begin
        if (i_write) memory[i_write_address] <= i_write_data;
        fetched     <= memory[i_read_address];
        o_read_data <= fetched;
    end
endmodule

`default_nettype wire
