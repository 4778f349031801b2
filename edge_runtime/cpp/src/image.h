// From an encoded image to gray pixels (docs/preprocessing.md, "Gray pixels"). A file that breaks
// its format's rules is refused, not guessed at; edge_runtime/images.py refuses the same ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bytes.h"

namespace edgeglyph {

constexpr size_t max_image_bytes = size_t{64} << 20;
constexpr uint64_t max_pixels = 64000000, max_side = 16384;

struct Image {
    uint32_t width = 0, height = 0;
    std::vector<uint8_t> pixels;  // [height][width]
};

// Decode by the file's own first bytes; `name` stands for it in messages. Throws Error.
Image decode_image(Bytes file, const std::string &name);

// The decoders throw Damage with the reason, without the file's name.
struct Damage {
    const char *reason;
};
struct TooLarge {
    uint64_t width, height;
};

void check_size(uint64_t width, uint64_t height);  // throws Damage for 0, TooLarge beyond limits

Image decode_png(Bytes file);
Image decode_jpeg(Bytes file);
Image decode_bmp(Bytes file);
Image decode_pnm(Bytes file);

// The specification's gray value of a color, and of a color with transparency laid over white.
inline uint8_t gray_of(uint32_t r, uint32_t g, uint32_t b) {
    return static_cast<uint8_t>((4899 * r + 9617 * g + 1868 * b + 8192) >> 14);
}
inline uint32_t over_white(uint32_t c, uint32_t alpha) {
    return (c * alpha + 255 * (255 - alpha) + 127) / 255;
}

}  // namespace edgeglyph
