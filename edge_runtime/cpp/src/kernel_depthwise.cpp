// Depthwise convolutions in plain C++: output channel o sees input channel o / (out / in) alone.
#include "kernels_scalar.h"
#include "requantize.h"

namespace edgeglyph {
namespace {

template <typename Out, typename Last>
void depthwise(const Layer &layer, const Shape &in, const int8_t *x, Out *y, const Last &last) {
    const int64_t taps = layer.kernel[0] * layer.kernel[1];
    const int64_t multiple = layer.out_channels / in.channels;
    for (int64_t i = 0; i < layer.output.height; ++i) {
        for (int64_t j = 0; j < layer.output.width; ++j) {
            const Taps at(layer, in, i, j);
            for (int64_t o = 0; o < layer.out_channels; ++o) {
                const int8_t *weights = layer.weights + o * taps;
                const int8_t *channel = x + o / multiple;
                int32_t sum = layer.bias[o] * (1 << layer.shift_bias);
                for (int64_t r = at.row_from; r < at.row_to; ++r) {
                    for (int64_t c = at.column_from; c < at.column_to; ++c) {
                        sum += channel[(r * in.width + c) * in.channels] *
                               weights[(r - at.top) * layer.kernel[1] + c - at.left];
                    }
                }
                *y++ = last(sum);
            }
        }
    }
}

}  // namespace

void scalar_depthwise(const Layer &layer, const Shape &in, const int8_t *x, void *y) {
    if (layer.int32_output) {
        depthwise(layer, in, x, static_cast<int32_t *>(y), [](int32_t sum) { return sum; });
    } else {
        depthwise(layer, in, x, static_cast<int8_t *>(y), Finish(layer));
    }
}

}  // namespace edgeglyph
