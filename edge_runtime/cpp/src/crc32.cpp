// CRC-32 (polynomial 0xEDB88320), eight bytes at a time.
#include <array>

#include "bytes.h"

namespace edgeglyph {
namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
    Tables t{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        t[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; ++i) {
        for (size_t k = 1; k < 8; ++k) t[k][i] = t[0][t[k - 1][i] & 255] ^ (t[k - 1][i] >> 8);
    }
    return t;
}

constexpr Tables tables = make_tables();

}  // namespace

uint32_t crc32(Bytes bytes, uint32_t before) {
    uint32_t c = ~before;
    const uint8_t *p = bytes.data;
    size_t left = bytes.size;
    for (; left >= 8; left -= 8, p += 8) {
        const uint32_t low = c ^ little32(p), high = little32(p + 4);
        c = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
            tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
            tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; left > 0; --left, ++p) c = tables[0][(c ^ *p) & 255] ^ (c >> 8);
    return ~c;
}

}  // namespace edgeglyph
