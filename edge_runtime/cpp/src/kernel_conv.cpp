// Convolutions in plain C++: one kernel window is gathered as int16, then multiplied with the
// weights of four output channels at a time, in a loop that compilers turn into SIMD by themselves.
#include <algorithm>
#include <cstring>

#include "kernels_scalar.h"
#include "requantize.h"

namespace edgeglyph {
namespace {

struct Window {
    int64_t top, left;  // of the window on the map; negative inside the padding
};

// The window's values, rows from the top, int16 [kernel height][kernel width][channels]; zeros
// where it lies in the padding.
void gather(const Layer &layer, const Shape &in, const int8_t *x, Window at, int16_t *window) {
    const int64_t row_values = layer.kernel[1] * in.channels;
    const int64_t from = std::max<int64_t>(0, -at.left);
    const int64_t to = std::min(layer.kernel[1], in.width - at.left);
    for (int64_t i = 0; i < layer.kernel[0]; ++i, window += row_values) {
        const int64_t row = at.top + i;
        if (row < 0 || row >= in.height || from >= to) {
            std::fill_n(window, row_values, int16_t{0});
            continue;
        }
        const int8_t *values = x + ((row * in.width) + at.left + from) * in.channels;
        std::fill_n(window, from * in.channels, int16_t{0});
        std::copy_n(values, (to - from) * in.channels, window + from * in.channels);
        std::fill(window + to * in.channels, window + row_values, int16_t{0});
    }
}

template <size_t channels>
void dot(const int16_t *window, const int8_t *weights, int64_t size, int32_t *sums) {
    int32_t total[channels] = {};
    for (int64_t i = 0; i < size; ++i) {
        for (size_t c = 0; c < channels; ++c) {
            total[c] += window[i] * weights[static_cast<int64_t>(c) * size + i];
        }
    }
    std::copy_n(total, channels, sums);
}

int32_t with_bias(const Layer &layer, int64_t channel, int32_t sum) {
    return sum + layer.bias[channel] * (1 << layer.shift_bias);
}

template <typename Out, typename Last>
void conv(const Layer &layer, const Shape &in, const int8_t *x, int16_t *window, Out *y,
          const Last &last) {
    const int64_t size = layer.kernel_values(), channels = layer.out_channels;
    for (int64_t i = 0; i < layer.output.height; ++i) {
        for (int64_t j = 0; j < layer.output.width; ++j, y += channels) {
            const Window at{i * layer.stride[0] - layer.pad[0], j * layer.stride[1] - layer.pad[2]};
            gather(layer, in, x, at, window);
            for (int64_t o = 0; o < channels; o += 4) {
                const int64_t count = std::min<int64_t>(4, channels - o);
                const int8_t *weights = layer.weights + o * size;
                int32_t sums[4];
                if (count == 4) {
                    dot<4>(window, weights, size, sums);
                } else {
                    for (int64_t c = 0; c < count; ++c) {
                        dot<1>(window, weights + c * size, size, sums + c);
                    }
                }
                for (int64_t c = 0; c < count; ++c) {
                    y[o + c] = last(with_bias(layer, o + c, sums[c]));
                }
            }
        }
    }
}

}  // namespace

int64_t scratch_values(const Layer &layer) {
    return layer.kind == Kind::conv ? layer.kernel_values() : 0;
}

void scalar_conv(const Layer &layer, const Shape &in, const int8_t *x, int16_t *scratch, void *y) {
    if (layer.int32_output) {
        conv(layer, in, x, scratch, static_cast<int32_t *>(y), [](int32_t sum) { return sum; });
    } else {
        conv(layer, in, x, scratch, static_cast<int8_t *>(y), Finish(layer));
    }
}

}  // namespace edgeglyph
