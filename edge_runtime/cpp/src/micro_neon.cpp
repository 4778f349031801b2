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
#else
    static constexpr int pixels = 2;  // half the registers
#endif
    static constexpr int lanes = 4, step = 2, vectors = 2;
    static constexpr Exact exact = Exact::small_pairs;
    struct Sums {
        int32x4_t low, high;  // of channels 0 and 1, and 2 and 3: two parts of each
    };
    struct Values {
        int8x16_t first, second;  // 4 values each, four times
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
        return {vreinterpretq_s8_s32(vdupq_lane_s32(eight, 0)),
                vreinterpretq_s8_s32(vdupq_lane_s32(eight, 1))};
    }
    template <bool careful>
    static void multiply(Sums &sums, const Values &values, const Weights &weights) {
        const int8x16_t v0 = values.first, v1 = values.second;
        if (careful) {
            add(sums, low(v0, weights.first), high(v0, weights.first));
            add(sums, low(v1, weights.second), high(v1, weights.second));
        } else {
            add(sums,
                vmlal_s8(low(v0, weights.first), vget_low_s8(v1), vget_low_s8(weights.second)),
                add_high(high(v0, weights.first), v1, weights.second));
        }
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
    static int16x8_t low(int8x16_t a, int8x16_t b) {
        return vmull_s8(vget_low_s8(a), vget_low_s8(b));
    }
#if defined(__aarch64__)
    static int16x8_t high(int8x16_t a, int8x16_t b) { return vmull_high_s8(a, b); }
    static int16x8_t add_high(int16x8_t sum, int8x16_t a, int8x16_t b) {
        return vmlal_high_s8(sum, a, b);
    }
#else
    static int16x8_t high(int8x16_t a, int8x16_t b) {
        return vmull_s8(vget_high_s8(a), vget_high_s8(b));
    }
    static int16x8_t add_high(int16x8_t sum, int8x16_t a, int8x16_t b) {
        return vmlal_s8(sum, vget_high_s8(a), vget_high_s8(b));
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
