// Inside of the JPEG reader: the frame, its components, and the steps from bits to samples.
#pragma once

#include <cstdint>
#include <vector>

#include "bytes.h"
#include "image.h"

namespace edgeglyph::jpeg {

struct HuffmanTable {
    bool defined = false;
    uint8_t values[256] = {};
    // By code length 1..16: the first code, the index of its value, and the first code too large.
    int32_t first[17] = {}, index[17] = {}, limit[17] = {};
    // Of the next 8 bits: length << 8 | value, 0 where the code is longer.
    uint16_t quick[256] = {};
};

struct Component {
    uint8_t id = 0, h = 1, v = 1, quantization = 0;
    uint32_t width = 0, height = 0;             // samples that the picture needs
    uint32_t blocks_wide = 0, blocks_high = 0;  // that a scan of this component alone has
    uint32_t stride = 0, rows = 0;              // stored blocks: whole units of all components
    std::vector<int16_t> coefficients;          // [rows][stride][64], in natural order
    std::vector<uint8_t> samples;               // [rows * 8][stride * 8]
    const HuffmanTable *dc = nullptr, *ac = nullptr;
    int32_t last_dc = 0;

    int16_t *block(uint32_t row, uint32_t column) {
        return coefficients.data() + (size_t{row} * stride + column) * 64;
    }
};

struct Frame {
    uint32_t width = 0, height = 0;
    bool progressive = false;
    unsigned h_max = 1, v_max = 1;
    uint32_t units_wide = 0, units_high = 0;  // MCUs of an interleaved scan
    std::vector<Component> components;
    uint16_t quantization[4][64] = {};  // in natural order
    bool has_quantization[4] = {};
    bool jfif = false, adobe = false;
    uint8_t adobe_transform = 0;
};

struct Scan {
    std::vector<Component *> components;
    unsigned from = 0, to = 63, high = 0, low = 0;  // spectral selection, successive approximation
    uint32_t restart_interval = 0;
};

// Position in a block's natural order of the i-th coefficient in zigzag order.
extern const uint8_t zigzag[64];

HuffmanTable make_table(const uint8_t *counts, const uint8_t *values);  // throws Damage

// Decode a scan's entropy-coded data; returns the bytes that it took. Throws Damage.
size_t decode_scan(Frame &frame, const Scan &scan, Bytes data);

// Dequantize and transform all blocks of a component into its samples.
void transform(const uint16_t *quantization, Component &component);

// From the components' samples to gray pixels.
void to_gray(const Frame &frame, Image &image);

}  // namespace edgeglyph::jpeg
