// Pools and additions in plain C++, and the table of scalar kernels.
#include <algorithm>

#include "kernels_scalar.h"
#include "requantize.h"

namespace edgeglyph {
namespace {

constexpr int64_t block = 64;  // channels at a time, in registers or close to them

// Each output value from `start` and all of the window's values of its channel.
template <typename Combine>
void pool(const Layer &layer, const Shape &in, const int8_t *x, int8_t *y, int32_t start,
          const Combine &combine) {
    const Finish finish(layer);
    for (int64_t i = 0; i < layer.output.height; ++i) {
        for (int64_t j = 0; j < layer.output.width; ++j) {
            const Taps at(layer, in, i, j);
            for (int64_t first = 0; first < in.channels; first += block) {
                const int64_t count = std::min(block, in.channels - first);
                int32_t found[block];
                std::fill_n(found, count, start);
                for (int64_t r = at.row_from; r < at.row_to; ++r) {
                    for (int64_t c = at.column_from; c < at.column_to; ++c) {
                        const int8_t *values = x + (r * in.width + c) * in.channels + first;
                        for (int64_t k = 0; k < count; ++k) found[k] = combine(found[k], values[k]);
                    }
                }
                for (int64_t k = 0; k < count; ++k) *y++ = finish(found[k] * layer.multiplier);
            }
        }
    }
}

}  // namespace

Taps::Taps(const Layer &layer, const Shape &in, int64_t i, int64_t j)
    : top(i * layer.stride[0] - layer.pad[0]), left(j * layer.stride[1] - layer.pad[2]) {
    row_from = std::max<int64_t>(0, top);
    row_to = std::min(in.height, top + layer.kernel[0]);
    column_from = std::max<int64_t>(0, left);
    column_to = std::min(in.width, left + layer.kernel[1]);
}

void scalar_avg_pool(const Layer &layer, const Shape &in, const int8_t *x, int8_t *y) {
    // At most 2^24 values of -128 to 127.
    pool(layer, in, x, y, 0, [](int32_t sum, int8_t value) { return sum + value; });
}

void scalar_max_pool(const Layer &layer, const Shape &in, const int8_t *x, int8_t *y) {
    pool(layer, in, x, y, -128,
         [](int32_t best, int8_t value) { return std::max<int32_t>(best, value); });
}

void scalar_add(const Layer &layer, const int8_t *a, const int8_t *b, int8_t *y) {
    const Finish finish(layer);
    const int64_t first = int64_t{1} << layer.left_shifts[0];
    const int64_t second = int64_t{1} << layer.left_shifts[1];
    for (int64_t i = 0; i < layer.output.values(); ++i) y[i] = finish(a[i] * first + b[i] * second);
}

const Kernels scalar_kernels = {"scalar",        scalar_conv, scalar_depthwise, scalar_avg_pool,
                                scalar_max_pool, scalar_add,  nullptr};

}  // namespace edgeglyph
