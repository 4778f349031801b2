// The micro-kernel itself, for an instruction set `I` that says how to load, multiply and store
// vectors (micro_*.cpp). Everything here is private to the file that includes it.
#pragma once

#include "micro_kernel.h"

namespace edgeglyph {
namespace {

template <typename I, size_t pixels, size_t vectors, bool careful>
void micro(const MicroCall &call, const Requantize *requantize) {
    constexpr ptrdiff_t vector_bytes = 4 * I::step * I::lanes;
    typename I::Sums sums[pixels][vectors];
    const int8_t *x[pixels];
#pragma GCC unroll 8
    for (size_t p = 0; p < pixels; ++p) {
        x[p] = call.x[p];
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; ++v) sums[p][v] = I::load(call.from[p] + v * I::lanes);
    }
    const int8_t *row_weights = call.weights;
    for (ptrdiff_t row = 0; row < call.rows; ++row) {
        const int8_t *weights = row_weights;
        const ptrdiff_t end = call.steps * 4 * I::step;
        for (ptrdiff_t at = 0; at < end; at += 4 * I::step) {
            typename I::Weights w[vectors];
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; ++v) w[v] = I::weights(weights + v * vector_bytes);
            weights += vectors * vector_bytes;
#pragma GCC unroll 8
            for (size_t p = 0; p < pixels; ++p) {
                typename I::Values values = I::values(x[p] + at);
#pragma GCC unroll 8
                for (size_t v = 0; v < vectors; ++v) {
                    I::template multiply<careful>(sums[p][v], values, w[v]);
                }
            }
        }
        row_weights += call.weight_row;
#pragma GCC unroll 8
        for (size_t p = 0; p < pixels; ++p) x[p] += call.x_row;
    }
    if (requantize) {
        const Requantize end = *requantize;
#pragma GCC unroll 8
        for (size_t p = 0; p < pixels; ++p) {
            int8_t *to = static_cast<int8_t *>(call.to[p]);
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; ++v) I::store8(to + v * I::lanes, sums[p][v], end);
        }
        return;
    }
#pragma GCC unroll 8
    for (size_t p = 0; p < pixels; ++p) {
        int32_t *to = static_cast<int32_t *>(call.to[p]);
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; ++v) I::store32(to + v * I::lanes, sums[p][v]);
    }
}

// Fill a table with the functions for 1 to I::pixels pixels and 1 to I::vectors vectors.
template <typename I, size_t pixels = I::pixels, size_t vectors = I::vectors>
constexpr void fill(MicroKernel &kernel) {
    kernel.functions[0][pixels - 1][vectors - 1] = micro<I, pixels, vectors, false>;
    constexpr bool twins = I::exact == Exact::not_negative || I::exact == Exact::small_pairs;
    kernel.functions[1][pixels - 1][vectors - 1] = micro<I, pixels, vectors, twins>;
    if constexpr (vectors > 1) {
        fill<I, pixels, vectors - 1>(kernel);
    } else if constexpr (pixels > 1) {
        fill<I, pixels - 1, I::vectors>(kernel);
    }
}

template <typename I>
constexpr MicroKernel micro_kernel() {
    static_assert(I::pixels <= most_pixels && I::vectors <= most_vectors, "enlarge MicroCall");
    MicroKernel kernel{I::lanes, I::step, I::pixels, I::vectors, I::exact, {}};
    fill<I>(kernel);
    return kernel;
}

}  // namespace
}  // namespace edgeglyph
