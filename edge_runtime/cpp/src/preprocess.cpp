#include "preprocess.h"

#include <algorithm>

namespace edgeglyph {
namespace {

constexpr int side = input_side, total = side * side, min_contrast = 8;

// The columns that one output column covers, and how much of the first and the last.
struct Span {
    uint32_t first, last;
    uint32_t first_weight, last_weight;  // the columns between count `side` each
};

Span span_of(uint32_t cell, uint32_t length) {
    const uint32_t from = cell * length, to = from + length;  // pixels are `side` wide
    Span span{from / side, (to - 1) / side, 0, 0};
    span.first_weight = std::min(to, (span.first + 1) * side) - from;
    span.last_weight = to - std::max(from, span.last * side);
    return span;
}

// Weighted sum of `span`'s values; where a span lies within one pixel, that pixel alone counts.
template <typename At>
uint64_t weighted(const Span &span, At at) {
    uint64_t sum = static_cast<uint64_t>(at(span.first)) * span.first_weight;
    if (span.last == span.first) return sum;
    uint64_t between = 0;
    for (uint32_t i = span.first + 1; i < span.last; ++i) between += at(i);
    return sum + between * side + static_cast<uint64_t>(at(span.last)) * span.last_weight;
}

void area_resize(const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride,
                 uint8_t *out) {
    Span columns[side];
    for (uint32_t j = 0; j < side; ++j) columns[j] = span_of(j, width);
    const uint64_t area = uint64_t{height} * width;
    for (uint32_t i = 0; i < side; ++i) {
        const Span rows = span_of(i, height);
        uint64_t sums[side] = {};
        for (uint32_t r = rows.first; r <= rows.last; ++r) {
            const uint8_t *row = pixels + r * stride;
            const uint64_t weight = r == rows.first  ? rows.first_weight
                                    : r == rows.last ? rows.last_weight
                                                     : side;
            for (int j = 0; j < side; ++j) {
                sums[j] += weight * weighted(columns[j], [row](uint32_t c) { return row[c]; });
            }
        }
        for (int j = 0; j < side; ++j) {
            out[i * side + static_cast<uint32_t>(j)] =
                static_cast<uint8_t>((2 * sums[j] + area) / (2 * area));
        }
    }
}

// Smallest value that at least `percent` of the pixels do not exceed.
int percentile(const int (&counts)[256], int percent) {
    int below = 0;
    for (int v = 0; v < 256; ++v) {
        below += counts[v];
        if (below * 100 >= total * percent) return v;
    }
    return 255;
}

void normalize_contrast(const uint8_t *gray, int8_t *input) {
    int counts[256] = {};
    for (int i = 0; i < total; ++i) ++counts[gray[i]];
    const int lo = percentile(counts, 2), span = percentile(counts, 98) - lo;
    int8_t table[256] = {};
    for (int v = 0; v < 256 && span >= min_contrast; ++v) {
        // Below lo the quotient would be negative or zero, and is clipped to zero.
        const int level = v <= lo ? 0 : ((v - lo) * 255 + span / 2) / span;
        table[v] = static_cast<int8_t>(std::min(level, 255) - 128);
    }
    for (int i = 0; i < total; ++i) input[i] = table[gray[i]];
}

}  // namespace

void preprocess(const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride,
                int8_t *input) {
    uint8_t resized[total];
    area_resize(pixels, width, height, stride, resized);
    normalize_contrast(resized, input);
}

}  // namespace edgeglyph
