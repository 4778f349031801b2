// Says when something has been awaited for i_limit cycles without any progress; 0 is never. Progress
// is a beat of a stream or the end of an instruction, so that a program of any bits comes to an end.
`default_nettype none

module eg_watchdog (
    input  wire        i_clk,
    input  wire        i_reset,
    input  wire [31:0] i_limit,
    input  wire        i_waiting,
    input  wire        i_progress,
    output reg         o_expired
);
    reg [31:0] idle;

    always @(posedge i_clk) begin
        if (i_reset || !i_waiting || i_progress) begin
            idle      <= 32'd0;
            o_expired <= 1'b0;
        end else begin
            idle      <= idle + 32'd1;
            o_expired <= i_limit != 32'd0 && idle >= i_limit;
        end
    end

`ifdef FORMAL
    // It counts the cycles of waiting, no others, and never expires early or without a limit.
    reg past_valid = 1'b0;

    initial assume (i_reset);
    always @(posedge i_clk) begin
        past_valid <= 1'b1;
        if (past_valid) begin
            if ($past(i_limit == 32'd0)) assert (!o_expired);
            if ($past(i_reset || !i_waiting || i_progress)) assert (!o_expired && idle == 32'd0);
            if (o_expired) assert ($past(idle) >= $past(i_limit));
            if ($past(!i_reset && i_waiting && !i_progress && i_limit != 0 && idle >= i_limit))
                assert (o_expired);
        end
    end
`endif
endmodule

`default_nettype wire
