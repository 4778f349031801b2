// The one step that ends every layer: a rounding shift, the activation, the clip to int8.
#pragma once

#include <algorithm>
#include <cstdint>

#include "layers.h"

namespace edgeglyph {

// floor(sum · 2^-shift + 1/2); a negative shift multiplies. `Sum` is int32_t or int64_t.
template <typename Sum>
inline Sum shifted(Sum sum, int64_t shift) {
    if (shift <= 0) return sum * (Sum{1} << -shift);
    return (sum + (Sum{1} << (shift - 1))) >> shift;
}

// All that a layer does to its sums, taken apart once.
struct Finish {
    int64_t shift;
    int low, high;
    bool leaky;

    explicit Finish(const Layer &layer)
        : shift(layer.shift),
          low(output_low(layer)),
          high(output_high(layer)),
          leaky(layer.activation == Activation::leaky_relu) {}

    template <typename Sum>
    int8_t operator()(Sum sum) const {
        if (leaky && sum < 0) return clipped(shifted(int64_t{sum} * 26, shift + 8));
        return clipped(shifted(sum, shift));
    }

private:
    template <typename Sum>
    int8_t clipped(Sum value) const {
        return static_cast<int8_t>(std::clamp<Sum>(value, low, high));
    }
};

}  // namespace edgeglyph
