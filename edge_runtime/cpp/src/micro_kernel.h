// What the driver of convolutions (packed_conv.cpp) asks of an instruction set: sums of products
// for a few pixels and channels at a time, kept in registers. Plain data only: the files that are
// compiled for one instruction set include nothing whose code others could be linked to.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace edgeglyph {

constexpr int most_pixels = 8, most_vectors = 4;  // of one call

// A rectangle of taps for a few pixels that all have these taps on the map.
struct MicroCall {
    const int8_t *weights;         // [rows][steps][vectors][values of a step][lanes]
    ptrdiff_t weight_row;          // bytes from a row of weights to the next
    const int8_t *x[most_pixels];  // each pixel's first value under the first tap
    ptrdiff_t x_row;               // bytes from a row of the map to the next
    ptrdiff_t rows, steps;
    const int32_t *from[most_pixels];  // sums to begin with, int32 [vectors][lanes]
    void *to[most_pixels];             // int8 or int32 [vectors][lanes]
};

// clip((sum + half) >> shift, low, high), rounding half up.
struct Requantize {
    int32_t shift, low, high;
};

// `requantize` is null where the sums themselves are wanted.
using MicroFunction = void (*)(const MicroCall &call, const Requantize *requantize);

// What inputs a micro-kernel multiplies exactly at full speed. Others take its careful twin.
enum class Exact {
    all,           // signed times signed
    offset,        // unsigned times signed: what may be negative is passed with 128 added
    not_negative,  // 0 to 127, as products are added in pairs that saturate
    small_pairs,   // all, unless two weights that are 4 values apart are both -128
};

struct MicroKernel {
    int lanes;    // output channels of a vector
    int step;     // groups of 4 input values that one step takes
    int pixels;   // most of one call
    int vectors;  // most of one call
    Exact exact;
    MicroFunction functions[2][most_pixels][most_vectors];  // [careful][pixels - 1][vectors - 1]
};

}  // namespace edgeglyph
