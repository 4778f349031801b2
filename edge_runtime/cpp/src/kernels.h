// The engine's inner loops for one instruction set, chosen at run time; all give the same
// integers. Maps are int8 [height][width][channels]; a layer's input is `in`.
#pragma once

#include <string>
#include <vector>

#include "layers.h"
#include "micro_kernel.h"

namespace edgeglyph {

struct Kernels {
    const char *name;
    // `scratch` holds scratch_values() int16; `y` is int8, or int32 where the layer says so.
    void (*conv)(const Layer &layer, const Shape &in, const int8_t *x, int16_t *scratch, void *y);
    void (*depthwise)(const Layer &layer, const Shape &in, const int8_t *x, void *y);
    void (*avg_pool)(const Layer &layer, const Shape &in, const int8_t *x, int8_t *y);
    void (*max_pool)(const Layer &layer, const Shape &in, const int8_t *x, int8_t *y);
    void (*add)(const Layer &layer, const int8_t *a, const int8_t *b, int8_t *y);
    const MicroKernel *micro;  // runs convolutions instead of `conv`, by PackedConv; may be null
};

extern const Kernels scalar_kernels;  // plain C++, every platform

// Of the instruction set `name`, or of the fastest that this processor has for "auto" and nullptr;
// throws Error.
Kernels find_kernels(const char *name);

// The instruction sets that this processor has, the fastest first.
std::vector<std::string> supported_names();

// int16 values that a convolution needs beside its maps: one kernel window.
int64_t scratch_values(const Layer &layer);

}  // namespace edgeglyph
