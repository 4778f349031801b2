#include "dpu_section.h"

#include "error.h"
#include "json.h"
#include "sha256.h"

namespace edgeglyph {
namespace {

constexpr size_t max_header_bytes = 65536;
constexpr size_t header_keys = 13;
constexpr int64_t max_size = int64_t{1} << 31;

void check_kind(const DpuKernel &dpu) {
    const bool elf = dpu.kind == "elf";
    if (dpu.flow == "dnndk" ? !elf : dpu.flow != "vitis-ai" || (!elf && dpu.kind != "xmodel")) {
        refuse("unknown flow '" + dpu.flow + "' with '" + dpu.kind + "'");
    }
    for (const std::string *name :
         {&dpu.net, &dpu.kernel, &dpu.input_node, &dpu.output_node, &dpu.target}) {
        if (name->empty()) refuse("a name is empty");
    }
    if (dpu.artifact.size == 0 || elf != is_elf(dpu.artifact)) {
        refuse("it is no " + dpu.kind + " file");
    }
}

void check_network(const DpuKernel &dpu, const Network &network) {
    if (network.int32_logits()) refuse("it gives int8 logits, but the network has int32 ones");
    if (dpu.input_size != network.input.values() || dpu.output_size != network.classes()) {
        refuse("it takes " + std::to_string(dpu.input_size) + " bytes and gives " +
               std::to_string(dpu.output_size) + ", the network " +
               std::to_string(network.input.values()) + " and " +
               std::to_string(network.classes()));
    }
    const int last = network.layers.back().fix_point;
    if (dpu.input_fix_point != network.input_fix_point || dpu.output_fix_point != last) {
        refuse("its fix points are " + std::to_string(dpu.input_fix_point) + " and " +
               std::to_string(dpu.output_fix_point) + ", the network's " +
               std::to_string(network.input_fix_point) + " and " + std::to_string(last));
    }
}

DpuKernel read(Bytes section, const Network &network) {
    if (section.size < 4) refuse("it is cut off");
    const size_t size = little32(section.data);
    if (size > max_header_bytes || size > section.size - 4) refuse("its header is cut off");
    const Json header = parse_json(section.part(4, size));
    DpuKernel dpu;
    dpu.flow = header.at("flow").string();
    dpu.kind = header.at("kind").string();
    dpu.net = header.at("net").string();
    dpu.kernel = header.at("kernel").string();
    dpu.input_node = header.at("input_node").string();
    dpu.output_node = header.at("output_node").string();
    dpu.target = header.at("target").string();
    dpu.fingerprint = header.at("fingerprint").string();
    dpu.input_size = header.at("input_size").whole(1, max_size);
    dpu.output_size = header.at("output_size").whole(1, max_size);
    dpu.input_fix_point = static_cast<int>(header.at("input_fix_point").whole(-256, 256));
    dpu.output_fix_point = static_cast<int>(header.at("output_fix_point").whole(-256, 256));
    const std::string &digest = header.at("sha256").string();
    if (header.object.size() != header_keys) refuse("its header has a key too many");
    dpu.artifact = section.from(4 + size);
    check_kind(dpu);
    check_network(dpu, network);
    if (checksums_matter && sha256(dpu.artifact) != digest) refuse("its SHA-256 is another");
    return dpu;
}

}  // namespace

DpuKernel read_dpu(Bytes section, const Network &network) {
    try {
        return read(section, network);
    } catch (const Error &error) {
        throw Error{error.fault, "its DPU kernel cannot be used: " + error.message};
    }
}

}  // namespace edgeglyph
