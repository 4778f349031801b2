// A device beside the CPU that runs the whole network: int8 input, int8 logits.
#pragma once

#include <cstdint>
#include <memory>

#include "dpu_section.h"

namespace edgeglyph {

class Accelerator {
public:
    virtual ~Accelerator() = default;

    virtual const char *name() const = 0;

    // `input` int8 [32][32], `logits` int8 [classes]. Calls may come from several threads; they
    // take their turns. Throws Error.
    virtual void run(const int8_t *input, int8_t *logits) = 0;
};

// DNNDK's runtime on Zynq boards, loaded from libn2cube.so. `dpu` is of kind elf and must outlive
// the accelerator. Throws Error where the device, its driver or the library is missing, or the
// kernel is not what `dpu` says.
std::unique_ptr<Accelerator> open_n2cube(const DpuKernel &dpu);

// Whether this machine has the device that N2Cube drives.
bool has_n2cube_device();

// Vitis AI's runtime; only in programs that were built with its headers (docs/runtime.md).
std::unique_ptr<Accelerator> open_vart(const DpuKernel &dpu);

}  // namespace edgeglyph
