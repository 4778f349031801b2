#include "layers.h"

#include <algorithm>
#include <cstdlib>

#include "error.h"

namespace edgeglyph {
namespace {

constexpr int64_t max_shift = 16, smallest_shift = -16, largest_shift = 40;
constexpr int64_t max_map_values = int64_t{1} << 24, max_multiply_adds = int64_t{1} << 32;
constexpr int64_t accumulator_limit = int64_t{1} << 31;
constexpr size_t max_layers = 1024;

[[noreturn]] void fail(const Layer &layer, const char *what) {
    refuse("layer " + layer.name + ": " + what);
}

void check_shifts(const Layer &layer) {
    if (layer.convolves()) {
        if (layer.shift < 0 || layer.shift > max_shift || layer.shift_bias < 0 ||
            layer.shift_bias > max_shift) {
            fail(layer, "shifts outside of 0..16");
        }
        if (layer.int32_output && (layer.shift != 0 || layer.activation != Activation::none)) {
            fail(layer, "int32 output takes no shift and no activation");
        }
    } else if (layer.shift < smallest_shift || layer.shift > largest_shift) {
        fail(layer, "its shift is outside of -16..40");
    }
}

// The sums of every output channel stay below 2^31, in any order of summation.
void check_accumulators(const Layer &layer) {
    const int64_t size = layer.kernel_values();
    for (int64_t o = 0; o < layer.out_channels; ++o) {
        int64_t sum = 0;
        for (int64_t i = 0; i < size; ++i) sum += std::abs(int{layer.weights[o * size + i]});
        const int64_t bias = int64_t{std::abs(int{layer.bias[o]})} << layer.shift_bias;
        if (128 * sum + bias + ((int64_t{1} << layer.shift) >> 1) >= accumulator_limit) {
            fail(layer, "its sums do not fit in 32 bits");
        }
    }
}

void check_pools(const Layer &layer) {
    if (layer.kind == Kind::avg_pool) {
        const int64_t sum = 128 * layer.kernel[0] * layer.kernel[1];
        const int64_t left = std::max<int64_t>(-layer.shift, 0);
        if (layer.multiplier < 1 || layer.multiplier > ((int64_t{1} << 62) - 1) / sum >> left) {
            fail(layer, "its multiplier is too large");
        }
    }
    if (layer.kind == Kind::max_pool && (std::max(layer.pad[0], layer.pad[1]) >= layer.kernel[0] ||
                                         std::max(layer.pad[2], layer.pad[3]) >= layer.kernel[1])) {
        fail(layer, "a window lies in the padding alone");
    }
}

Shape windowed(const Layer &layer, const Shape &in) {
    const int64_t height = in.height + layer.pad[0] + layer.pad[1];
    const int64_t width = in.width + layer.pad[2] + layer.pad[3];
    if (height < layer.kernel[0] || width < layer.kernel[1]) {
        fail(layer, "its kernel is larger than the map");
    }
    if (height > max_map_values || width > max_map_values ||
        height * width > max_map_values / in.channels) {
        fail(layer, "its padded map is too large");
    }
    const int64_t channels = layer.convolves() ? layer.out_channels : in.channels;
    return {(height - layer.kernel[0]) / layer.stride[0] + 1,
            (width - layer.kernel[1]) / layer.stride[1] + 1, channels};
}

Shape output_shape(const Network &network, const Layer &layer) {
    const Shape &in = network.shape(layer.sources[0]);
    switch (layer.kind) {
        case Kind::conv:
            if (in.channels != layer.weight_channels) fail(layer, "other channels than its input");
            return windowed(layer, in);
        case Kind::depthwise_conv:
            if (layer.weight_channels != 1 || layer.out_channels % in.channels != 0) {
                fail(layer, "its depthwise kernels do not suit its input");
            }
            return windowed(layer, in);
        case Kind::avg_pool:
        case Kind::max_pool: return windowed(layer, in);
        case Kind::add:
            if (!(in == network.shape(layer.sources[1]))) fail(layer, "adds maps of two shapes");
            return in;
        case Kind::concat: break;
    }
    Shape out{in.height, in.width, 0};
    for (int source : layer.sources) {
        const Shape &part = network.shape(source);
        if (part.height != out.height || part.width != out.width) {
            fail(layer, "concatenates maps of several sizes");
        }
        out.channels += part.channels;
    }
    return out;
}

void check_fix_points(const Network &network, const Layer &layer) {
    const int given = network.fix_point(layer.sources[0]);
    bool consistent = true;
    if (layer.kind == Kind::max_pool) {
        consistent = layer.shift == given - layer.fix_point;
    } else if (layer.kind == Kind::add) {
        const int other = network.fix_point(layer.sources[1]), finer = std::max(given, other);
        consistent = layer.left_shifts[0] == finer - given &&
                     layer.left_shifts[1] == finer - other && finer - given <= max_shift &&
                     finer - other <= max_shift && layer.shift == finer - layer.fix_point;
    } else if (layer.kind == Kind::concat) {
        for (int source : layer.sources) {
            consistent = consistent && network.fix_point(source) == layer.fix_point;
        }
    }
    if (!consistent) fail(layer, "its shifts do not lead from its inputs' fix points to its own");
}

}  // namespace

int64_t multiply_adds(const Layer &layer) {
    const bool pools = layer.kind == Kind::avg_pool || layer.kind == Kind::max_pool;
    const int64_t each = layer.convolves() ? layer.kernel_values()
                         : pools           ? layer.kernel[0] * layer.kernel[1]
                                           : 1;
    return layer.output.values() * each;  // below 2^24 · 2^28 (the bundle's size) or 2^24 · 2^24
}

int output_low(const Layer &layer) {
    return layer.activation == Activation::relu || layer.activation == Activation::relu6 ? 0 : -128;
}

// ReLU6 caps at floor(6 · 2^fix_point + 1/2): 12 · 2^fix_point is an integer from -2 on.
int output_high(const Layer &layer) {
    if (layer.activation != Activation::relu6 || layer.fix_point >= 5) return 127;
    if (layer.fix_point >= 0) return 6 << layer.fix_point;
    return layer.fix_point < -4 ? 0 : (12 + (1 << -layer.fix_point)) >> (1 - layer.fix_point);
}

Range range_of(const std::vector<Range> &ranges, int source) {
    return source < 0 ? Range{-128, 127} : ranges[static_cast<size_t>(source)];
}

std::vector<Range> output_ranges(const Network &network) {
    std::vector<Range> ranges;
    for (const Layer &layer : network.layers) {
        Range range{output_low(layer), output_high(layer)};
        if (!layer.convolves() && layer.kind != Kind::add) {
            range = {127, 127};
            for (int source : layer.sources) {
                range.low = std::min(range.low, range_of(ranges, source).low);
            }
        }
        ranges.push_back(range);
    }
    return ranges;
}

void check_network(Network &network) {
    if (network.layers.empty()) refuse("a network needs at least one layer");
    if (network.layers.size() > max_layers) refuse("more than 1,024 layers");
    int64_t work = 0;
    for (size_t i = 0; i < network.layers.size(); ++i) {
        Layer &layer = network.layers[i];
        for (int source : layer.sources) {
            if (source >= static_cast<int>(i)) fail(layer, "is fed by a later layer");
        }
        if (layer.int32_output && i + 1 < network.layers.size()) {
            fail(layer, "only the last layer's output may be int32");
        }
        check_shifts(layer);
        if (layer.convolves()) check_accumulators(layer);
        check_pools(layer);
        layer.output = output_shape(network, layer);
        if (layer.output.values() > max_map_values) fail(layer, "its map is too large");
        check_fix_points(network, layer);
        work += multiply_adds(layer);
        if (work > max_multiply_adds) refuse("more than 4,294,967,296 multiply-adds");
    }
    const Shape &last = network.layers.back().output;
    if (last.height != 1 || last.width != 1) refuse("the last layer's map is not 1×1");
}

}  // namespace edgeglyph
