#include "engine.h"

#include <algorithm>
#include <cstring>

namespace edgeglyph {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "int32 logits are checked as bytes");

namespace {

constexpr size_t alignment = 64;

size_t aligned(size_t size) {
    return (size + alignment - 1) / alignment * alignment;
}

void concat(const Layer &layer, const int8_t *const *inputs, const Shape *shapes, uint8_t *out) {
    for (int64_t pixel = 0; pixel < layer.output.height * layer.output.width; ++pixel) {
        for (size_t k = 0; k < layer.sources.size(); ++k) {
            const size_t channels = static_cast<size_t>(shapes[k].channels);
            std::memcpy(out, inputs[k] + static_cast<size_t>(pixel) * channels, channels);
            out += channels;
        }
    }
}

}  // namespace

size_t output_bytes(const Layer &layer) {
    const size_t values = static_cast<size_t>(layer.output.values());
    return layer.int32_output ? 4 * values : values;
}

void Engine::run_layer(size_t index, const Layer &layer, const int8_t *const *inputs,
                       uint8_t *scratch, uint8_t *output) const {
    const Shape *shapes = shapes_.data() + first_[index];
    const int8_t *x = inputs[0];
    int8_t *y = reinterpret_cast<int8_t *>(output);
    if (packed_[index]) return packed_[index]->run(layer, x, scratch, output);
    switch (layer.kind) {
        case Kind::conv:
            return kernels_.conv(layer, shapes[0], x, reinterpret_cast<int16_t *>(scratch), output);
        case Kind::depthwise_conv: return kernels_.depthwise(layer, shapes[0], x, output);
        case Kind::avg_pool: return kernels_.avg_pool(layer, shapes[0], x, y);
        case Kind::max_pool: return kernels_.max_pool(layer, shapes[0], x, y);
        case Kind::add: return kernels_.add(layer, x, inputs[1], y);
        case Kind::concat: return concat(layer, inputs, shapes, output);
    }
}

size_t Engine::scratch_bytes(size_t index) const {
    if (packed_[index]) return packed_[index]->scratch_bytes();
    return sizeof(int16_t) * static_cast<size_t>(scratch_values(network_.layers[index]));
}

Engine::Engine(const Network &network, const Kernels &kernels)
    : network_(network), kernels_(kernels) {
    pack();
    plan();
}

void Engine::pack() {
    packed_.resize(network_.layers.size());
    if (!kernels_.micro) return;
    const std::vector<Range> ranges = output_ranges(network_);
    for (size_t i = 0; i < packed_.size(); ++i) {
        const Layer &layer = network_.layers[i];
        if (layer.kind != Kind::conv) continue;
        const int source = layer.sources[0];
        packed_[i] = std::make_unique<PackedConv>(layer, network_.shape(source),
                                                  range_of(ranges, source).low, *kernels_.micro);
    }
}

// Each map gets the lowest place that no other map has while both are needed.
void Engine::plan() {
    const std::vector<Layer> &layers = network_.layers;
    const size_t count = layers.size();
    std::vector<size_t> last_use(count);
    for (size_t i = 0; i < count; ++i) {
        last_use[i] = i;
        for (int source : layers[i].sources) {
            if (source >= 0) last_use[static_cast<size_t>(source)] = i;
        }
    }
    offsets_.assign(count, 0);
    size_t maps = 0, scratch = 0;
    for (size_t i = 0; i < count; ++i) {
        const size_t size = aligned(output_bytes(layers[i]));
        size_t place = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (size_t k = 0; k < i; ++k) {
                const size_t end = offsets_[k] + aligned(output_bytes(layers[k]));
                if (last_use[k] >= i && place < end && offsets_[k] < place + size) {
                    place = end;
                    moved = true;
                }
            }
        }
        offsets_[i] = place;
        maps = std::max(maps, place + size);
        scratch = std::max(scratch, scratch_bytes(i));
    }
    size_t sources = 0;
    for (const Layer &layer : layers) {
        first_.push_back(shapes_.size());
        for (int source : layer.sources) shapes_.push_back(network_.shape(source));
        sources = std::max(sources, layer.sources.size());
    }
    scratch_offset_ = maps;
    pointers_offset_ = maps + aligned(scratch);
    arena_bytes_ = pointers_offset_ + aligned(sources * sizeof(const int8_t *));
}

void Engine::run_in_place(size_t index, const int8_t *input, uint8_t *arena) const {
    const Layer &layer = network_.layers[index];
    const int8_t **inputs = reinterpret_cast<const int8_t **>(arena + pointers_offset_);
    for (size_t k = 0; k < layer.sources.size(); ++k) {
        const int source = layer.sources[k];
        const uint8_t *map = source < 0 ? nullptr : arena + offsets_[static_cast<size_t>(source)];
        inputs[k] = map ? reinterpret_cast<const int8_t *>(map) : input;
    }
    run_layer(index, layer, inputs, arena + scratch_offset_, arena + offsets_[index]);
}

void Engine::run(const int8_t *input, uint8_t *arena, int32_t *logits, Observer observer,
                 void *context) const {
    for (size_t i = 0; i < network_.layers.size(); ++i) {
        const Layer &layer = network_.layers[i];
        run_in_place(i, input, arena);
        if (observer) observer(context, i, {arena + offsets_[i], output_bytes(layer)});
    }
    const uint8_t *last = arena + offsets_.back();
    const size_t classes = static_cast<size_t>(network_.classes());
    if (network_.int32_logits()) {
        std::memcpy(logits, last, 4 * classes);
    } else {
        std::copy_n(reinterpret_cast<const int8_t *>(last), classes, logits);
    }
}

}  // namespace edgeglyph
