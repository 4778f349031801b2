// NEON without dot products: two products of signed bytes added in 16 bits, then added in pairs to
// sums of 32. Cortex-A9 (armv7) and Cortex-A53 (aarch64).
#if defined(__ARM_NEON)
#include <arm_neon.h>

#include "instruction_sets.h"
#include "micro_kernel_template.h"

namespace edgeglyph {
namespace {

struct Neon {
#if defined(__aarch64__)
    static constexpr int pixels = 4;
    using Four = int8x16_t;
#else
    static constexpr int pixels = 2;  // half the registers
    using Four = int8x8_t;
#endif
    static constexpr int lanes = 4, step = 2, vectors = 2;
    static constexpr Exact exact = Exact::small_pairs;
    struct Sums {
        int32x4_t low, high;  // of channels 0 and 1, and 2 and 3: two parts of each
    };
    struct Values {
        Four first, second;  // 4 values each, repeated
    };
    struct Weights {
        int8x16_t first, second;  // of 4 channels, 4 values each
    };

    static Sums load(const int32_t *from) {
        const int32x4x2_t both = vzipq_s32(vld1q_s32(from), vdupq_n_s32(0));
        return {both.val[0], both.val[1]};
    }
    static Weights weights(const int8_t *from) { return {vld1q_s8(from), vld1q_s8(from + 16)}; }
    static Values values(const int8_t *from) {
        const int32x2_t eight = vreinterpret_s32_s8(vld1_s8(from));
        return {repeated<0>(eight), repeated<1>(eight)};
    }
    template <bool careful>
    static void multiply(Sums &sums, Values &values, const Weights &weights) {
        if (careful) {
            add(sums, low(values.first, weights.first), high(values.first, weights.first));
            add(sums, low(values.second, weights.second), high(values.second, weights.second));
        } else {
            add(sums, add_low(low(values.first, weights.first), values.second, weights.second),
                add_high(high(values.first, weights.first), values.second, weights.second));
        }
        in_order(sums, values);
    }
    static void store32(int32_t *to, const Sums &sums) { vst1q_s32(to, joined(sums)); }
    static void store8(int8_t *to, const Sums &sums, const Requantize &r) {
        int32x4_t rounded = vrshlq_s32(joined(sums), vdupq_n_s32(-r.shift));
        rounded = vminq_s32(vmaxq_s32(rounded, vdupq_n_s32(r.low)), vdupq_n_s32(r.high));
        const int16x4_t words = vmovn_s32(rounded);
        const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
        const int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
        __builtin_memcpy(to, &four, sizeof four);
    }

private:
#if defined(__aarch64__)
    template <int lane>
    static Four repeated(int32x2_t values) {
        return vreinterpretq_s8_s32(vdupq_lane_s32(values, lane));
    }
    static int16x8_t low(Four a, int8x16_t b) { return vmull_s8(vget_low_s8(a), vget_low_s8(b)); }
    static int16x8_t high(Four a, int8x16_t b) { return vmull_high_s8(a, b); }
    static int16x8_t add_low(int16x8_t sum, Four a, int8x16_t b) {
        return vmlal_s8(sum, vget_low_s8(a), vget_low_s8(b));
    }
    static int16x8_t add_high(int16x8_t sum, Four a, int8x16_t b) {
        return vmlal_high_s8(sum, a, b);
    }
    static void in_order(Sums &, Values &) {}
#else
    template <int lane>
    static Four repeated(int32x2_t values) {
        return vreinterpret_s8_s32(vdup_lane_s32(values, lane));
    }
    static int16x8_t low(Four a, int8x16_t b) { return vmull_s8(a, vget_low_s8(b)); }
    static int16x8_t high(Four a, int8x16_t b) { return vmull_s8(a, vget_high_s8(b)); }
    static int16x8_t add_low(int16x8_t sum, Four a, int8x16_t b) {
        return vmlal_s8(sum, a, vget_low_s8(b));
    }
    static int16x8_t add_high(int16x8_t sum, Four a, int8x16_t b) {
        return vmlal_s8(sum, a, vget_high_s8(b));
    }
    // Left alone, compilers begin with all products, which 16 registers cannot hold: say that the
    // next ones depend on these sums.
    static void in_order(Sums &sums, Values &values) {
        __asm__ volatile("" : "+w"(sums.low), "+w"(sums.high), "+w"(values.first));
    }
#endif
    static void add(Sums &sums, int16x8_t low, int16x8_t high) {
        sums.low = vpadalq_s16(sums.low, low);
        sums.high = vpadalq_s16(sums.high, high);
    }
    static int32x4_t joined(const Sums &sums) {
#if defined(__aarch64__)
        return vpaddq_s32(sums.low, sums.high);
#else
        return vcombine_s32(vpadd_s32(vget_low_s32(sums.low), vget_high_s32(sums.low)),
                            vpadd_s32(vget_low_s32(sums.high), vget_high_s32(sums.high)));
#endif
    }
};

}  // namespace

const MicroKernel neon_kernel = micro_kernel<Neon>();

}  // namespace edgeglyph
#endif
