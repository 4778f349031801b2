# A bitstream for a Zynq-7020: processing system, DMAs, the core. For users who have Vivado:
#
#   vivado -mode batch -source edge_runtime/rtl/vivado/build.tcl
#
# NOT RUN by this project: nobody here has Vivado. It is written for 2020.1 and later, for the part
# below, with the processing system's default settings; a board needs its own DDR and clock preset
# (set_property board_part …, apply_bd_automation's apply_board_preset 1).
set part   xc7z020clg484-1
set name   edgeglyph_core
set here   [file dirname [file normalize [info script]]]
set output [file join [pwd] build $name]

create_project -force $name $output -part $part
add_files [glob [file join $here .. eg_*.v]] [file join $here core_axi.v]
update_compile_order -fileset sources_1

create_bd_design system
set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7 ps]
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
    -config {make_external "FIXED_IO, DDR" apply_board_preset 0} $ps
set_property -dict [list CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ 100 CONFIG.PCW_USE_S_AXI_HP0 1 \
    CONFIG.PCW_USE_FABRIC_INTERRUPT 1 CONFIG.PCW_IRQ_F2P_INTR 1] $ps
create_bd_cell -type module -reference core_axi core

# A DMA for each direction that streams need: program, weights, images with logits.
proc dma {name width logits} {
    create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma $name
    set_property -dict [list CONFIG.c_include_sg 0 CONFIG.c_include_s2mm $logits \
        CONFIG.c_m_axi_mm2s_data_width $width CONFIG.c_m_axis_mm2s_tdata_width $width \
        CONFIG.c_sg_length_width 23] [get_bd_cells $name]
}
dma dma_program 32 0
dma dma_weights 64 0
dma dma_image 32 1
connect_bd_intf_net [get_bd_intf_pins dma_program/M_AXIS_MM2S] [get_bd_intf_pins core/s_axis_program]
connect_bd_intf_net [get_bd_intf_pins dma_weights/M_AXIS_MM2S] [get_bd_intf_pins core/s_axis_weights]
connect_bd_intf_net [get_bd_intf_pins dma_image/M_AXIS_MM2S] [get_bd_intf_pins core/s_axis_image]
connect_bd_intf_net [get_bd_intf_pins core/m_axis_logits] [get_bd_intf_pins dma_image/S_AXIS_S2MM]

# Registers at the general-purpose port, memory at the high-performance one.
foreach slave {core/s_axi dma_program/S_AXI_LITE dma_weights/S_AXI_LITE dma_image/S_AXI_LITE} {
    apply_bd_automation -rule xilinx.com:bd_rule:axi4 \
        -config {Master "/ps/M_AXI_GP0" Clk "/ps/FCLK_CLK0"} [get_bd_intf_pins $slave]
}
apply_bd_automation -rule xilinx.com:bd_rule:axi4 \
    -config {Master "/dma_program/M_AXI_MM2S" Slave "/ps/S_AXI_HP0" Clk "/ps/FCLK_CLK0"} \
    [get_bd_intf_pins ps/S_AXI_HP0]
foreach master {dma_weights/M_AXI_MM2S dma_image/M_AXI_MM2S dma_image/M_AXI_S2MM} {
    apply_bd_automation -rule xilinx.com:bd_rule:axi4 \
        -config {Slave "/ps/S_AXI_HP0" Clk "/ps/FCLK_CLK0"} [get_bd_intf_pins $master]
}
connect_bd_net [get_bd_pins core/irq] [get_bd_pins ps/IRQ_F2P]
assign_bd_address
set_property offset 0x43C00000 [get_bd_addr_segs {ps/Data/SEG_core_reg0}]
validate_bd_design
save_bd_design

add_files [make_wrapper -files [get_files system.bd] -top]
set_property top system_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
open_run impl_1
report_utilization -file [file join $output utilization.txt]
report_timing_summary -file [file join $output timing.txt]
