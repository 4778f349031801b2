// The processor's limit that engines are compared with.
#pragma once

namespace edgeglyph {

// 8-bit multiply-adds in a nanosecond of a loop of vpdpbusd on registers alone, in about a tenth of
// a millisecond; 0 where the processor lacks AVX512-VNNI.
double peak_multiply_adds_per_ns();

}  // namespace edgeglyph
