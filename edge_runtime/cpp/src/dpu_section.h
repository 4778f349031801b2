// The section *dpu* of a bundle: what the vendor's compiler made for one DPU (docs/bundle.md).
#pragma once

#include <string>

#include "bytes.h"
#include "layers.h"

namespace edgeglyph {

struct DpuKernel {
    std::string flow, kind;  // dnndk with elf; vitis-ai with elf or xmodel
    std::string net, kernel, input_node, output_node, target, fingerprint;
    int64_t input_size = 0, output_size = 0;  // bytes
    int input_fix_point = 0, output_fix_point = 0;
    Bytes artifact;  // nothing in a bundle that has no kernel

    bool given() const { return artifact.size > 0; }
};

// Take the section apart, which must outlive the kernel, and refuse what is not for `network`.
DpuKernel read_dpu(Bytes section, const Network &network);

}  // namespace edgeglyph
