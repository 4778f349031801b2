// Views of bytes, integers in either byte order, and the CRC-32 of PNG and zip.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgeglyph {

// Checksums would keep a fuzzer at the door: its builds let wrong ones pass.
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
constexpr bool checksums_matter = false;
#else
constexpr bool checksums_matter = true;
#endif

struct Bytes {
    const uint8_t *data = nullptr;
    size_t size = 0;

    // The part from `offset` on; the caller has made sure that it lies inside.
    Bytes part(size_t offset, size_t length) const { return {data + offset, length}; }
    Bytes from(size_t offset) const { return {data + offset, size - offset}; }
};

inline bool is_elf(Bytes file) {
    const uint8_t *p = file.data;
    return file.size >= 4 && p[0] == 0x7f && p[1] == 'E' && p[2] == 'L' && p[3] == 'F';
}

inline uint16_t little16(const uint8_t *p) {
    return static_cast<uint16_t>(p[0] | p[1] << 8);
}
inline uint32_t little32(const uint8_t *p) {
    return little16(p) | static_cast<uint32_t>(little16(p + 2)) << 16;
}
inline uint64_t little64(const uint8_t *p) {
    return little32(p) | static_cast<uint64_t>(little32(p + 4)) << 32;
}
inline uint16_t big16(const uint8_t *p) {
    return static_cast<uint16_t>(p[0] << 8 | p[1]);
}
inline uint32_t big32(const uint8_t *p) {
    return static_cast<uint32_t>(big16(p)) << 16 | big16(p + 2);
}

// CRC-32 of `bytes`, going on from the CRC of what came before (0 at the start).
uint32_t crc32(Bytes bytes, uint32_t before = 0);

}  // namespace edgeglyph
