#include "preprocess.h"

#include <algorithm>

namespace edgeglyph {
namespace {

constexpr uint32_t side = input_side, total = side * side, max_width = 16384;
constexpr int levels = 256, min_contrast = 8;

// The pixels that one output cell covers along one axis, and how much of the first and the last.
// A pixel is `unit` long: `side`, or 1 where cells consist of whole pixels.
struct Span {
    uint32_t first, last;
    uint32_t first_weight, last_weight;  // the pixels between count `unit` each
};

uint32_t unit_of(uint32_t length) {
    return length % side == 0 ? 1 : side;
}

Span span_of(uint32_t cell, uint32_t length, uint32_t unit) {
    const uint32_t cell_length = length * unit / side;
    const uint32_t from = cell * cell_length, to = from + cell_length;
    Span span{from / unit, (to - 1) / unit, 0, 0};
    span.first_weight = std::min(to, (span.first + 1) * unit) - from;
    span.last_weight = to - std::max(from, span.last * unit);
    return span;
}

// Column sums of one row of cells: each at most 255 times the cell's height.
void add_rows(const uint8_t *pixels, uint32_t width, size_t stride, const Span &rows, uint32_t unit,
              uint32_t *sums) {
    const uint8_t *row = pixels + rows.first * stride;
    for (uint32_t c = 0; c < width; ++c) sums[c] = row[c] * rows.first_weight;
    for (uint32_t r = rows.first + 1; r <= rows.last; ++r) {
        row += stride;
        const uint32_t weight = r == rows.last ? rows.last_weight : unit;
        for (uint32_t c = 0; c < width; ++c) sums[c] += row[c] * weight;
    }
}

// Division by one number many times: multiplying by its reciprocal gives the quotient or one less.
class Divider {
public:
    explicit Divider(uint32_t divisor)
        : divisor_(divisor), reciprocal_((uint64_t{1} << 32) / divisor) {}

    uint32_t quotient(uint32_t n) const {
        const uint32_t q = static_cast<uint32_t>((n * reciprocal_) >> 32);
        return q + (n - q * divisor_ >= divisor_ ? 1 : 0);
    }

private:
    uint32_t divisor_;
    uint64_t reciprocal_;
};

class LargeDivider {
public:
    explicit LargeDivider(uint64_t divisor) : divisor_(divisor) {}
    uint64_t quotient(uint64_t n) const { return n / divisor_; }

private:
    uint64_t divisor_;
};

// Rounded means of cells; `Sum` holds 256 times the area of one.
template <typename Sum, typename Division>
void area_resize(const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride,
                 uint8_t *out) {
    const uint32_t row_unit = unit_of(height), unit = unit_of(width);
    const Sum area = Sum{height * row_unit / side} * (width * unit / side);
    const Division division(area);
    Span columns[side];
    for (uint32_t j = 0; j < side; ++j) columns[j] = span_of(j, width, unit);
    uint32_t sums[max_width];
    for (uint32_t i = 0; i < side; ++i) {
        add_rows(pixels, width, stride, span_of(i, height, row_unit), row_unit, sums);
        for (const Span &span : columns) {
            Sum sum = Sum{sums[span.first]} * span.first_weight + area / 2;
            if (span.last != span.first) {
                Sum between = 0;
                for (uint32_t c = span.first + 1; c < span.last; ++c) between += sums[c];
                sum += between * unit + Sum{sums[span.last]} * span.last_weight;
            }
            *out++ = static_cast<uint8_t>(division.quotient(sum));
        }
    }
}

// The same of 64×64 pixels: means of four.
void halve(const uint8_t *pixels, size_t stride, uint8_t *out) {
    for (uint32_t i = 0; i < side; ++i, pixels += 2 * stride, out += side) {
        const uint8_t *below = pixels + stride;
        for (uint32_t j = 0; j < side; ++j) {
            const int sum = pixels[2 * j] + pixels[2 * j + 1] + below[2 * j] + below[2 * j + 1] + 2;
            out[j] = static_cast<uint8_t>(sum >> 2);
        }
    }
}

void resize(const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride, uint8_t *out) {
    if (width == 2 * side && height == 2 * side) return halve(pixels, stride, out);
    if (uint64_t{width} * height <= uint64_t{1} << 24) {
        return area_resize<uint32_t, Divider>(pixels, width, height, stride, out);
    }
    area_resize<uint64_t, LargeDivider>(pixels, width, height, stride, out);
}

// How often each level occurs; four tables, as equal neighbours would wait for one another.
void count_levels(const uint8_t *gray, uint16_t *counts) {
    uint16_t parts[4][levels] = {};
    for (uint32_t i = 0; i < total; i += 4) {
        for (uint32_t k = 0; k < 4; ++k) ++parts[k][gray[i + k]];
    }
    for (int v = 0; v < levels; ++v) {
        counts[v] = static_cast<uint16_t>(parts[0][v] + parts[1][v] + parts[2][v] + parts[3][v]);
    }
}

void normalize_contrast(const uint8_t *gray, int8_t *input) {
    uint16_t counts[levels];
    count_levels(gray, counts);
    // The smallest levels that at least 2 % and 98 % of the pixels do not exceed.
    int lo = 0, hi = levels - 1;
    for (uint32_t below = counts[0]; below * 50 < total;) below += counts[++lo];
    for (uint32_t above = counts[hi]; above * 50 <= total;) above += counts[--hi];
    const int span = hi - lo;
    int8_t table[levels] = {};
    if (span >= min_contrast) {
        std::fill_n(table, lo, int8_t{-128});
        std::fill(table + hi, table + levels, int8_t{127});
        const Divider by_span(static_cast<uint32_t>(span));
        uint32_t n = static_cast<uint32_t>(span / 2);
        for (int v = lo; v < hi; ++v, n += 255) {
            table[v] = static_cast<int8_t>(static_cast<int>(by_span.quotient(n)) - 128);
        }
    }
    for (uint32_t i = 0; i < total; ++i) input[i] = table[gray[i]];
}

}  // namespace

void preprocess(const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride,
                int8_t *input) {
    uint8_t resized[total];
    resize(pixels, width, height, stride, resized);
    normalize_contrast(resized, input);
}

}  // namespace edgeglyph
