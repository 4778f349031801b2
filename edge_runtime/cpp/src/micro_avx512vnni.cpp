// AVX512-VNNI: vpdpbusd adds four products of unsigned and signed bytes to each of 16 sums.
#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // of GCC 12's own header (bug 105593)
#endif
#include <immintrin.h>

#include "instruction_sets.h"

#define EDGEGLYPH_TARGET "avx512f,avx512vnni"
#include "target_begin.h"

#include "micro_kernel_template.h"

namespace edgeglyph {
namespace {

struct Avx512Vnni {
    static constexpr int lanes = 16, step = 1, pixels = 6, vectors = 4;
    static constexpr Exact exact = Exact::offset;
    using Sums = __m512i;
    using Values = __m512i;
    using Weights = __m512i;

    static Sums load(const int32_t *from) { return _mm512_loadu_si512(from); }
    static Weights weights(const int8_t *from) { return _mm512_loadu_si512(from); }
    static Values values(const int8_t *from) {
        int32_t four;
        __builtin_memcpy(&four, from, sizeof four);
        return _mm512_set1_epi32(four);
    }
    template <bool>
    static void multiply(Sums &sums, Values values, Weights weights) {
        sums = _mm512_dpbusd_epi32(sums, values, weights);
    }
    static void store32(int32_t *to, Sums sums) { _mm512_storeu_si512(to, sums); }
    static void store8(int8_t *to, Sums sums, const Requantize &r) {
        const __m512i half = _mm512_set1_epi32((1 << r.shift) >> 1);
        sums = _mm512_sra_epi32(_mm512_add_epi32(sums, half), _mm_cvtsi32_si128(r.shift));
        sums = _mm512_max_epi32(sums, _mm512_set1_epi32(r.low));
        sums = _mm512_min_epi32(sums, _mm512_set1_epi32(r.high));
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to), _mm512_cvtepi32_epi8(sums));
    }
};

}  // namespace

const MicroKernel avx512vnni_kernel = micro_kernel<Avx512Vnni>();

}  // namespace edgeglyph

#include "target_end.h"
#endif
