// NEON with dot products (ARMv8.2): sdot adds four products of signed bytes to each of 4 sums.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "instruction_sets.h"

#if defined(__clang__)
#define EDGEGLYPH_TARGET "dotprod"
#else
#define EDGEGLYPH_TARGET "arch=armv8.2-a+dotprod"
#endif
#include "target_begin.h"

#include "micro_kernel_template.h"

namespace edgeglyph {
namespace {

struct NeonDot {
    static constexpr int lanes = 4, step = 4, pixels = 8, vectors = 2;
    static constexpr Exact exact = Exact::all;
    using Sums = int32x4_t;
    using Values = int8x16_t;
    struct Weights {
        int8x16_t groups[4];  // of 4 channels, 4 values each
    };

    static Sums load(const int32_t *from) { return vld1q_s32(from); }
    static Values values(const int8_t *from) { return vld1q_s8(from); }
    static Weights weights(const int8_t *from) {
        return {{vld1q_s8(from), vld1q_s8(from + 16), vld1q_s8(from + 32), vld1q_s8(from + 48)}};
    }
    template <bool>
    static void multiply(Sums &sums, Values values, const Weights &weights) {
        sums = vdotq_laneq_s32(sums, weights.groups[0], values, 0);
        sums = vdotq_laneq_s32(sums, weights.groups[1], values, 1);
        sums = vdotq_laneq_s32(sums, weights.groups[2], values, 2);
        sums = vdotq_laneq_s32(sums, weights.groups[3], values, 3);
    }
    static void store32(int32_t *to, Sums sums) { vst1q_s32(to, sums); }
    static void store8(int8_t *to, Sums sums, const Requantize &r) {
        int32x4_t rounded = vrshlq_s32(sums, vdupq_n_s32(-r.shift));
        rounded = vminq_s32(vmaxq_s32(rounded, vdupq_n_s32(r.low)), vdupq_n_s32(r.high));
        const int16x4_t words = vmovn_s32(rounded);
        const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
        const int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
        __builtin_memcpy(to, &four, sizeof four);
    }
};

}  // namespace

const MicroKernel neon_dot_kernel = micro_kernel<NeonDot>();

}  // namespace edgeglyph

#include "target_end.h"
#endif
