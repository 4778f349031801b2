// Unpacking of zlib streams (RFC 1950 and 1951).
#pragma once

#include <vector>

#include "bytes.h"

namespace edgeglyph {

// Unpack a stream that must hold exactly `size` bytes; false where it is damaged or holds others.
bool inflate(Bytes stream, size_t size, std::vector<uint8_t> &out);

}  // namespace edgeglyph
