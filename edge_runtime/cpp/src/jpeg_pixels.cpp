// From JPEG coefficients to gray pixels: the inverse transform, upsampling and color, each in the
// integer arithmetic of libjpeg's defaults, so that the pixels are the same.
#include <algorithm>

#include "jpeg.h"

namespace edgeglyph::jpeg {
namespace {

// The "islow" inverse transform: Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT
// algorithms with 11 multiplications" (ICASSP 1989); constants times 2^13. 64 bits, because a
// hostile file's coefficients are not bounded as a real one's are.
constexpr int constant_bits = 13, first_pass_bits = 2;

struct Eight {
    int64_t v[8];
};

Eight transform_1d(const int64_t (&in)[8]) {
    const int64_t even = (in[2] + in[6]) * 4433;
    const int64_t e2 = even - in[6] * 15137, e3 = even + in[2] * 6270;
    const int64_t e0 = (in[0] + in[4]) * (1 << constant_bits);
    const int64_t e1 = (in[0] - in[4]) * (1 << constant_bits);
    const int64_t a0 = e0 + e3, a3 = e0 - e3, a1 = e1 + e2, a2 = e1 - e2;

    const int64_t z5 = (in[7] + in[3] + in[5] + in[1]) * 9633;
    const int64_t z1 = (in[7] + in[1]) * -7373, z2 = (in[5] + in[3]) * -20995;
    const int64_t z3 = (in[7] + in[3]) * -16069 + z5, z4 = (in[5] + in[1]) * -3196 + z5;
    const int64_t o0 = in[7] * 2446 + z1 + z3, o1 = in[5] * 16819 + z2 + z4;
    const int64_t o2 = in[3] * 25172 + z2 + z3, o3 = in[1] * 12299 + z1 + z4;
    return {{a0 + o3, a1 + o2, a2 + o1, a3 + o0, a3 - o0, a2 - o1, a1 - o2, a0 - o3}};
}

int64_t descale(int64_t value, int bits) {
    return (value + (int64_t{1} << (bits - 1))) >> bits;
}

uint8_t clipped(int64_t value) {
    return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255));
}

void transform_block(const int16_t *block, const uint16_t *quantization, uint8_t *out,
                     size_t stride) {
    int64_t columns[8][8];
    for (size_t c = 0; c < 8; ++c) {
        int64_t in[8];
        for (size_t r = 0; r < 8; ++r) in[r] = int64_t{block[8 * r + c]} * quantization[8 * r + c];
        const Eight found = transform_1d(in);
        for (size_t r = 0; r < 8; ++r) {
            columns[r][c] = descale(found.v[r], constant_bits - first_pass_bits);
        }
    }
    for (size_t r = 0; r < 8; ++r, out += stride) {
        const Eight found = transform_1d(columns[r]);
        for (size_t c = 0; c < 8; ++c) {
            out[c] = clipped(descale(found.v[c], constant_bits + first_pass_bits + 3) + 128);
        }
    }
}

// Twice as wide: a pixel is 3/4 of its sample and 1/4 of the nearer neighbour. `scale` is the
// weight that `line` carries already; roundings differ left and right so that errors cancel.
void widen(const uint32_t *line, uint32_t width, uint32_t scale, uint32_t left, uint32_t right,
           uint8_t *out) {
    const uint32_t all = 4 * scale;
    for (uint32_t i = 0; i < width; ++i) {
        const uint32_t before = line[i == 0 ? 0 : i - 1];
        const uint32_t after = line[i + 1 == width ? i : i + 1];
        out[2 * i] = static_cast<uint8_t>((3 * line[i] + before + left) / all);
        out[2 * i + 1] = static_cast<uint8_t>((3 * line[i] + after + right) / all);
    }
}

class Upsampler {
public:
    Upsampler(const Frame &frame, const Component &component)
        : c_(component),
          wide_(frame.h_max / component.h),
          high_(frame.v_max / component.v),
          line_(component.width),
          row_(size_t{component.width} * wide_ + 8) {}

    const uint8_t *row(uint32_t y) {
        const bool smooth_wide = wide_ == 2 && c_.width > 2;
        if (high_ == 2 && (smooth_wide || wide_ == 1)) {
            const uint32_t at = y / 2;
            const uint32_t other = y % 2 ? std::min(at + 1, c_.height - 1) : at - (at > 0 ? 1 : 0);
            return between(samples(at), samples(other), y % 2 ? 2 : 1);
        }
        const uint8_t *in = samples(y / high_);
        if (high_ == 1 && smooth_wide) {
            std::copy_n(in, c_.width, line_.data());
            widen(line_.data(), c_.width, 1, 1, 2, row_.data());
        } else {
            for (size_t x = 0; x < size_t{c_.width} * wide_; ++x) row_[x] = in[x / wide_];
        }
        return row_.data();
    }

private:
    const uint8_t *samples(uint32_t y) const {
        return c_.samples.data() + size_t{y} * c_.stride * 8;
    }

    // Between two rows, 3/4 of the nearer.
    const uint8_t *between(const uint8_t *near, const uint8_t *far, uint32_t rounding) {
        for (uint32_t x = 0; x < c_.width; ++x) line_[x] = 3u * near[x] + far[x];
        if (wide_ == 2) {
            widen(line_.data(), c_.width, 4, 8, 7, row_.data());
        } else {
            for (uint32_t x = 0; x < c_.width; ++x) {
                row_[x] = static_cast<uint8_t>((line_[x] + rounding) >> 2);
            }
        }
        return row_.data();
    }

    const Component &c_;
    uint32_t wide_, high_;
    std::vector<uint32_t> line_;
    std::vector<uint8_t> row_;
};

struct Rgb {
    uint32_t r, g, b;
};

// ITU-R BT.601 at full range, times 2^16.
Rgb from_ycc(int32_t y, int32_t cb, int32_t cr) {
    const int32_t blue = cb - 128, red = cr - 128, half = 1 << 15;
    return {clipped(y + ((91881 * red + half) >> 16)),
            clipped(y + ((-22554 * blue - 46802 * red + half) >> 16)),
            clipped(y + ((116130 * blue + half) >> 16))};
}

// Inks as files hold them (255 is none) over white, as Pillow mixes them.
uint32_t without_ink(uint32_t color, uint32_t black) {
    const uint32_t product = (255 - color) * black + 128;
    return black - ((product + (product >> 8)) >> 8);
}

bool is_rgb(const Frame &frame) {
    const std::vector<Component> &c = frame.components;
    if (frame.jfif) return false;
    if (frame.adobe) return frame.adobe_transform == 0;
    return c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B';
}

}  // namespace

void transform(const uint16_t *quantization, Component &c) {
    const size_t stride = size_t{c.stride} * 8;
    c.samples.resize(stride * c.rows * 8);
    for (uint32_t row = 0; row < c.rows; ++row) {
        for (uint32_t column = 0; column < c.stride; ++column) {
            uint8_t *out = c.samples.data() + row * 8 * stride + column * 8;
            transform_block(c.block(row, column), quantization, out, stride);
        }
    }
    c.coefficients = {};
}

void to_gray(const Frame &frame, Image &image) {
    const size_t count = frame.components.size();
    std::vector<Upsampler> upsamplers;
    for (const Component &component : frame.components) upsamplers.emplace_back(frame, component);
    const bool rgb = count == 3 && is_rgb(frame);
    const bool ycck = count == 4 && frame.adobe && frame.adobe_transform == 2;
    uint8_t *out = image.pixels.data();
    for (uint32_t y = 0; y < frame.height; ++y) {
        const uint8_t *rows[4] = {};
        for (size_t i = 0; i < count; ++i) rows[i] = upsamplers[i].row(y);
        for (uint32_t x = 0; x < frame.width; ++x) {
            if (count == 1) {
                *out++ = rows[0][x];
                continue;
            }
            Rgb c{rows[0][x], rows[1][x], rows[2][x]};
            if (count == 3 ? !rgb : ycck) {
                c = from_ycc(rows[0][x], rows[1][x], rows[2][x]);
            }
            if (count == 4) {
                const uint32_t black = rows[3][x];
                if (ycck) c = {255 - c.r, 255 - c.g, 255 - c.b};
                c = {without_ink(c.r, black), without_ink(c.g, black), without_ink(c.b, black)};
            }
            *out++ = gray_of(c.r, c.g, c.b);
        }
    }
}

}  // namespace edgeglyph::jpeg
