#include "probe.h"

#include <algorithm>

#include "bytes.h"
#include "engine.h"

namespace edgeglyph {
namespace {

struct Range {
    int low, high;
};

Range range_of(const std::vector<Range> &ranges, int index) {
    return index < 0 ? Range{-128, 127} : ranges[static_cast<size_t>(index)];
}

// Smallest and largest value that each layer's output can have, roughly.
std::vector<Range> ranges_of(const Network &network) {
    std::vector<Range> ranges;
    for (const Layer &layer : network.layers) {
        Range range{output_low(layer), output_high(layer)};
        if (!layer.convolves() && layer.kind != Kind::add) {  // what is never negative stays so
            range = {127, 127};
            for (int source : layer.sources) {
                range.low = std::min(range.low, range_of(ranges, source).low);
            }
        }
        ranges.push_back(range);
    }
    return ranges;
}

// Values in `range` by a hash of their place.
std::vector<int8_t> noise(const Shape &shape, Range range, uint32_t seed) {
    std::vector<int8_t> values(static_cast<size_t>(shape.values()));
    const uint32_t choices = static_cast<uint32_t>(range.high - range.low + 1);
    uint32_t place = (seed << 24) + 1;
    for (int8_t &value : values) {
        uint32_t h = place++ * 2654435761u;
        h ^= h >> 15;
        h *= 2246822519u;
        h ^= h >> 13;
        value = static_cast<int8_t>(range.low + static_cast<int>((h >> 8) % choices));
    }
    return values;
}

}  // namespace

uint32_t probe(const Network &network, const Kernels &kernels, size_t index) {
    const std::vector<Range> ranges = ranges_of(network);
    Layer layer = network.layers[index];
    if (layer.convolves()) {
        layer.int32_output = true;
        layer.shift = 0;
        layer.activation = Activation::none;
    }
    std::vector<std::vector<int8_t>> maps;
    std::vector<const int8_t *> inputs;
    std::vector<Shape> shapes;
    for (size_t k = 0; k < layer.sources.size(); ++k) {
        const int source = layer.sources[k];
        const uint32_t seed = static_cast<uint32_t>(index + 7919 * k);
        shapes.push_back(network.shape(source));
        maps.push_back(noise(shapes.back(), range_of(ranges, source), seed));
        inputs.push_back(maps.back().data());
    }
    std::vector<int16_t> scratch(static_cast<size_t>(scratch_values(layer)));
    std::vector<uint8_t> output(output_bytes(layer));
    run_layer(layer, kernels, inputs.data(), shapes.data(), scratch.data(), output.data());
    return crc32({output.data(), output.size()});
}

}  // namespace edgeglyph
