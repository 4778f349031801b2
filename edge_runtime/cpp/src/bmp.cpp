// BMP files: palettes, 16, 24 and 32 bits, bit masks, run-length coding.
#include <algorithm>
#include <array>

#include "image.h"

namespace edgeglyph {
namespace {

enum Compression : uint32_t { raw = 0, rle8 = 1, rle4 = 2, bit_masks = 3 };

constexpr size_t file_header = 14;

struct Header {
    uint32_t size, width, height;
    bool top_down;
    uint32_t bits, compression, colors, offset;
    std::array<uint32_t, 4> masks;  // red, green, blue, alpha

    size_t stride() const { return (size_t{width} * bits + 31) / 32 * 4; }
};

void need(Bytes file, size_t size, const char *part) {
    if (file.size < size) throw Damage{part};
}

bool known_coding(const Header &h) {
    switch (h.compression) {
        case raw:
            return h.bits == 1 || h.bits == 4 || h.bits == 8 || h.bits == 16 || h.bits == 24 ||
                   h.bits == 32;
        case rle8: return h.bits == 8 && !h.top_down;
        case rle4: return h.bits == 4 && !h.top_down;
        case bit_masks: return h.size != 64 && (h.bits == 16 || h.bits == 32);
        default: return false;
    }
}

Header read_header(Bytes file) {
    need(file, file_header + 4, "header");
    Header h{};
    const uint8_t *p = file.data;
    h.offset = little32(p + 10);
    h.size = little32(p + 14);
    int64_t width = 0, height = 0;
    if (h.size == 12) {
        need(file, 26, "header");
        width = little16(p + 18), height = little16(p + 20);
        h.bits = little16(p + 24);
    } else if (h.size == 40 || h.size == 52 || h.size == 56 || h.size == 64 || h.size == 108 ||
               h.size == 124) {
        need(file, 50, "header");
        width = static_cast<int32_t>(little32(p + 18));
        height = static_cast<int32_t>(little32(p + 22));
        h.bits = little16(p + 28);
        h.compression = little32(p + 30);
        h.colors = little32(p + 46);
    } else {
        throw Damage{"header"};
    }
    h.top_down = height < 0;
    if (width < 0 || h.offset < file_header + h.size) throw Damage{"header"};
    check_size(static_cast<uint64_t>(width), static_cast<uint64_t>(h.top_down ? -height : height));
    h.width = static_cast<uint32_t>(width);
    h.height = static_cast<uint32_t>(h.top_down ? -height : height);
    if (!known_coding(h)) throw Damage{"bit depth or compression"};
    h.masks = {0xFF0000, 0xFF00, 0xFF, 0};
    if (h.bits == 16) h.masks = {0x7C00, 0x3E0, 0x1F, 0};
    if (h.compression == bit_masks) {
        const size_t count = h.size < 56 ? 3 : 4;
        need(file, file_header + 40 + 4 * count, "header");
        h.masks[3] = 0;
        for (size_t i = 0; i < count; ++i) h.masks[i] = little32(p + file_header + 40 + 4 * i);
    }
    return h;
}

// Stored rows from the first; refused where the file does not hold them all.
const uint8_t *stored_rows(const Header &h, Bytes file) {
    if (h.offset > file.size || file.size - h.offset < h.stride() * h.height) {
        throw Damage{"pixel data"};
    }
    return file.data + h.offset;
}

void raw_indices(const Header &h, const uint8_t *rows, Image &image) {
    for (size_t y = 0; y < h.height; ++y) {
        const uint8_t *row = rows + y * h.stride();
        for (size_t x = 0; x < h.width; ++x) {
            const size_t bit = x * h.bits;
            const unsigned down = static_cast<unsigned>(8 - h.bits - bit % 8);
            image.pixels[y * h.width + x] =
                static_cast<uint8_t>(row[bit / 8] >> down & ((1u << h.bits) - 1));
        }
    }
}

// Pixels that are passed over stay 0.
void run_length(const Header &h, Bytes codes, Image &image) {
    const bool four = h.compression == rle4;
    size_t x = 0, y = 0, at = 0;
    const auto byte = [&] {
        if (at >= codes.size) throw Damage{"pixel data"};
        return codes.data[at++];
    };
    while (y < h.height) {
        const uint8_t count = byte(), value = byte();
        if (count == 0 && value == 0) {
            x = 0, ++y;
        } else if (count == 0 && value == 1) {
            return;
        } else if (count == 0 && value == 2) {
            x += byte();
            y += byte();
            if (x > h.width || y >= h.height) throw Damage{"pixel data"};
        } else {
            const size_t run = count ? count : value;
            const size_t size = count ? 0 : four ? (run + 1) / 2 : run;
            if (x + run > h.width || size > codes.size - at) throw Damage{"pixel data"};
            for (size_t i = 0; i < run; ++i) {
                const unsigned packed = count ? value : codes.data[at + (four ? i / 2 : i)];
                const unsigned index = !four ? packed : i % 2 ? packed & 15 : packed >> 4;
                image.pixels[y * h.width + x + i] = static_cast<uint8_t>(index);
            }
            x += run;
            at += std::min(size + size % 2, codes.size - at);
        }
    }
}

void apply_palette(const Header &h, Bytes file, Image &image) {
    const size_t entry = h.size == 12 ? 3 : 4, start = file_header + h.size;
    const size_t count = std::min<size_t>(h.colors ? h.colors : 256, size_t{1} << h.bits);
    need(file, start + entry * count, "palette");
    uint8_t gray[256] = {};
    for (size_t i = 0; i < count; ++i) {
        const uint8_t *color = file.data + start + entry * i;
        gray[i] = gray_of(color[2], color[1], color[0]);
    }
    for (uint8_t &pixel : image.pixels) {
        if (pixel >= count) throw Damage{"palette"};
        pixel = gray[pixel];
    }
}

// The bits under a mask as 0..255, rounded down.
class Mask {
public:
    explicit Mask(uint32_t mask) : mask_(mask), low_(mask & (~mask + 1)) {
        if (mask == 0 || ((uint64_t{mask} + low_) & mask) != 0) throw Damage{"bit masks"};
    }
    uint32_t operator()(uint32_t value) const {
        return static_cast<uint32_t>(uint64_t{(value & mask_) / low_} * 255 / (mask_ / low_));
    }

private:
    uint32_t mask_, low_;
};

void colors(const Header &h, const uint8_t *rows, Image &image) {
    const Mask red(h.masks[0]), green(h.masks[1]), blue(h.masks[2]);
    const Mask alpha(h.masks[3] ? h.masks[3] : 1);
    const size_t size = h.bits / 8;
    for (size_t y = 0; y < h.height; ++y) {
        const uint8_t *p = rows + y * h.stride();
        for (size_t x = 0; x < h.width; ++x, p += size) {
            uint32_t value = 0;
            for (size_t i = 0; i < size; ++i) value |= uint32_t{p[i]} << (8 * i);
            uint32_t r = red(value), g = green(value), b = blue(value);
            if (h.masks[3]) {
                const uint32_t a = alpha(value);
                r = over_white(r, a), g = over_white(g, a), b = over_white(b, a);
            }
            image.pixels[y * h.width + x] = gray_of(r, g, b);
        }
    }
}

void flip(Image &image) {
    for (size_t top = 0, bottom = image.height - 1; top < bottom; ++top, --bottom) {
        uint8_t *a = image.pixels.data() + top * image.width;
        std::swap_ranges(a, a + image.width, image.pixels.data() + bottom * image.width);
    }
}

}  // namespace

Image decode_bmp(Bytes file) {
    const Header h = read_header(file);
    Image image{h.width, h.height, {}};
    const bool packed = h.compression == rle8 || h.compression == rle4;
    // A code of two bytes makes 255 pixels at most: no memory for what is hardly there.
    if (packed && uint64_t{h.width} * h.height > 256 * uint64_t{file.size}) {
        throw Damage{"pixel data"};
    }
    const uint8_t *rows = packed ? nullptr : stored_rows(h, file);
    image.pixels.resize(size_t{h.width} * h.height);
    if (packed) {
        run_length(h, file.from(std::min<size_t>(h.offset, file.size)), image);
    } else if (h.bits <= 8) {
        raw_indices(h, rows, image);
    } else {
        colors(h, rows, image);
    }
    if (h.bits <= 8) apply_palette(h, file, image);
    if (!h.top_down) flip(image);
    return image;
}

}  // namespace edgeglyph
