// A device beside the CPU that runs the whole network.
#pragma once

#include <cstdint>
#include <memory>

#include "core_section.h"
#include "dpu_section.h"

namespace edgeglyph {

class Accelerator {
public:
    virtual ~Accelerator() = default;

    virtual const char *name() const = 0;
    virtual const char *device() const { return "the DPU"; }
    virtual const char *program() const { return "the DPU kernel"; }

    // `input` int8 [32][32], `logits` [classes]. Calls may come from several threads; they
    // take their turns. Throws Error.
    virtual void run(const int8_t *input, int32_t *logits) = 0;
};

// DNNDK's runtime on Zynq boards, loaded from libn2cube.so. `dpu` is of kind elf and must outlive
// the accelerator. Throws Error where the device, its driver or the library is missing, or the
// kernel is not what `dpu` says.
std::unique_ptr<Accelerator> open_n2cube(const DpuKernel &dpu);

// Whether this machine has the device that N2Cube drives.
bool has_n2cube_device();

// Vitis AI's runtime; only in programs that were built with its headers (docs/runtime.md).
std::unique_ptr<Accelerator> open_vart(const DpuKernel &dpu);

// The open core (docs/core.md), by its registers: on a board (core_registers.h says what `path` may
// be), or its Verilator model. `image` must outlive the accelerator.
std::unique_ptr<Accelerator> open_core(const CoreImage &image, const std::string &path);
std::unique_ptr<Accelerator> open_core_sim(const CoreImage &image, const std::string &library);

}  // namespace edgeglyph
