// AVX2: vpmaddubsw adds pairs of products of unsigned and signed bytes, saturating at 16 bits,
// which values of 0 to 127 never reach; of others, the positive and the negative part are taken.
#if defined(__x86_64__)
#include <immintrin.h>

#include "instruction_sets.h"

#define EDGEGLYPH_TARGET "avx2"
#include "target_begin.h"

#include "micro_kernel_template.h"

namespace edgeglyph {
namespace {

struct Avx2 {
    static constexpr int lanes = 8, step = 1, pixels = 4, vectors = 2;
    static constexpr Exact exact = Exact::not_negative;
    using Sums = __m256i;
    using Values = __m256i;
    using Weights = __m256i;

    static Sums load(const int32_t *from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    }
    static Weights weights(const int8_t *from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    }
    static Values values(const int8_t *from) {
        int32_t four;
        __builtin_memcpy(&four, from, sizeof four);
        return _mm256_set1_epi32(four);
    }
    // Each product of a value up to 128 with two weights: -32,768 to 32,512 for 128, all fits.
    static __m256i products(Values values, Weights weights) {
        return _mm256_madd_epi16(_mm256_maddubs_epi16(values, weights), _mm256_set1_epi16(1));
    }
    template <bool careful>
    static void multiply(Sums &sums, Values values, Weights weights) {
        if (careful) {
            const __m256i positive = _mm256_max_epi8(values, _mm256_setzero_si256());
            const __m256i negative = _mm256_sub_epi8(positive, values);  // 0 to 128, unsigned
            sums = _mm256_add_epi32(sums, products(positive, weights));
            sums = _mm256_sub_epi32(sums, products(negative, weights));
        } else {
            sums = _mm256_add_epi32(sums, products(values, weights));
        }
    }
    static void store32(int32_t *to, Sums sums) {
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), sums);
    }
    static void store8(int8_t *to, Sums sums, const Requantize &r) {
        const __m256i half = _mm256_set1_epi32((1 << r.shift) >> 1);
        sums = _mm256_sra_epi32(_mm256_add_epi32(sums, half), _mm_cvtsi32_si128(r.shift));
        sums = _mm256_max_epi32(sums, _mm256_set1_epi32(r.low));
        sums = _mm256_min_epi32(sums, _mm256_set1_epi32(r.high));
        const __m128i words =
            _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i *>(to), _mm_packs_epi16(words, words));
    }
};

}  // namespace

const MicroKernel avx2_kernel = micro_kernel<Avx2>();

}  // namespace edgeglyph

#include "target_end.h"
#endif
