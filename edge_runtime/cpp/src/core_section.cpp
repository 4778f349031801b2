#include "core_section.h"

#include "error.h"
#include "json.h"
#include "sha256.h"

namespace edgeglyph {
namespace {

constexpr size_t max_header_bytes = 65536;
constexpr size_t header_keys = 8;
constexpr int64_t max_depth = 65535, max_cycles = int64_t{1} << 48;
constexpr uint32_t magic = 0x31434745, version = 1;
constexpr size_t program_header = 8, instruction = 12;  // words

void check_program(const CoreImage &core, const Network &network) {
    const Bytes program = core.program;
    const auto word = [&](size_t index) { return little32(program.data + 4 * index); };
    if (program.size % 4 != 0 || program.size < 4 * program_header) refuse("it is cut off");
    if (word(0) != magic || word(1) != (version << 24 | core.lanes)) {
        refuse("it is none for " + std::to_string(core.lanes) + " lanes");
    }
    uint32_t sum = 0;
    for (size_t i = 0; i < program.size / 4; ++i) sum += word(i);
    if (sum != 0 || program.size / 4 != program_header + instruction * uint64_t{word(2)}) {
        refuse("it is damaged");
    }
    if (core.weights.size != uint64_t{word(3)} * core.lanes) {
        refuse("its weights are not as many as it says");
    }
    if (word(5) != static_cast<uint64_t>(network.input.values()) ||
        word(6) != static_cast<uint64_t>(network.classes())) {
        refuse("it is for another network");
    }
}

CoreImage read(Bytes section, const Network &network) {
    if (section.size < 4) refuse("it is cut off");
    const size_t size = little32(section.data);
    if (size > max_header_bytes || size > section.size - 4) refuse("its header is cut off");
    const Json header = parse_json(section.part(4, size));
    const Bytes body = section.from(4 + size);
    CoreImage core;
    core.target = header.at("target").string();
    core.lanes = static_cast<uint32_t>(header.at("lanes").whole(1, max_depth));
    header.at("pair").whole(1, 2);
    core.weight_words = static_cast<uint32_t>(header.at("weight_depth").whole(1, max_depth));
    core.activations = static_cast<uint32_t>(header.at("activation_depth").whole(1, max_depth));
    header.at("cycles").whole(1, max_cycles);
    const int64_t most = static_cast<int64_t>(body.size);
    const size_t program = static_cast<size_t>(header.at("program_size").whole(0, most));
    const std::string &digest = header.at("sha256").string();
    if (header.object.size() != header_keys) refuse("its header has a key too many");
    if (checksums_matter && sha256(body) != digest) refuse("its SHA-256 is another");
    core.program = body.part(0, program);
    core.weights = body.from(program);
    check_program(core, network);
    core.resident = little32(core.program.data + 16) != 0;
    return core;
}

}  // namespace

CoreImage read_core(Bytes section, const Network &network) {
    try {
        return read(section, network);
    } catch (const Error &error) {
        throw Error{error.fault, "its core program cannot be used: " + error.message};
    }
}

}  // namespace edgeglyph
