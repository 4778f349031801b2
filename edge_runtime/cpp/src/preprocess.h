// From gray pixels to the network's input, in integers only (docs/preprocessing.md).
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgeglyph {

constexpr int preprocessing_version = 1, input_side = 32, input_fix_point = 7;

// `pixels` [height][stride] with `width` in use, 1 to 16,384 each; `input` [32][32], int8.
void preprocess(const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride,
                int8_t *input);

}  // namespace edgeglyph
