#include "peak.h"

#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>

#define EDGEGLYPH_TARGET "avx512f,avx512vnni"
#include "target_begin.h"

namespace {

// Sixteen chains, more than any processor needs to hide the latency; `x` keeps them from being
// worked out by the compiler.
int32_t multiply(int64_t rounds, int32_t x) {
    __m512i sums[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sums[i] = _mm512_set1_epi32(i);
    const __m512i a = _mm512_set1_epi32(x), b = _mm512_set1_epi32(x + 1);
    for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    }
    __m512i total = sums[0];
#pragma GCC unroll 16
    for (int i = 1; i < 16; ++i) total = _mm512_xor_si512(total, sums[i]);
    int32_t lanes[16];
    _mm512_storeu_si512(lanes, total);
    return lanes[0];
}

}  // namespace

#include "target_end.h"
#endif

namespace edgeglyph {

double peak_multiply_adds_per_ns() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vnni")) return 0;
    using Clock = std::chrono::steady_clock;
    constexpr int64_t rounds = 20000;
    volatile int32_t seed = 3;
    const Clock::time_point start = Clock::now();
    seed = multiply(rounds, seed);
    const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    return static_cast<double>(rounds) * 16 * 64 / ns;
#else
    return 0;
#endif
}

}  // namespace edgeglyph
