// The proofs before the first answer: the parameters are those that were compiled, and this machine
// makes of the probes and of the golden vectors what the reference made of them.
#include <cstring>
#include <initializer_list>

#include "bundle.h"
#include "error.h"
#include "probe.h"

namespace edgeglyph {
namespace {

[[noreturn]] void fail(const Bundle &bundle, const std::string &what) {
    throw Error{Fault::not_verified, "self-test of bundle '" + bundle.name + "' failed: " + what +
                                         "; compile the bundle again"};
}

class Checksum {
public:
    void number(int64_t value) {
        uint8_t bytes[8];
        for (int i = 0; i < 8; ++i) {
            bytes[i] = static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i));
        }
        crc_ = crc32({bytes, sizeof bytes}, crc_);
    }

    template <size_t count>
    void numbers(const int64_t (&values)[count]) {
        for (int64_t value : values) number(value);
    }

    void values(const int8_t *data, int64_t count) {
        crc_ = crc32({reinterpret_cast<const uint8_t *>(data), static_cast<size_t>(count)}, crc_);
    }

    uint32_t crc() const { return crc_; }

private:
    uint32_t crc_ = 0;
};

void add_conv(const Layer &layer, Checksum &sum) {
    sum.numbers(layer.stride);
    sum.numbers(layer.pad);
    sum.number(static_cast<int64_t>(layer.activation));
    sum.number(layer.shift);
    sum.number(layer.shift_bias);
    sum.number(layer.int32_output ? 1 : 0);
    for (int64_t n : {layer.out_channels, layer.kernel[0], layer.kernel[1]}) sum.number(n);
    sum.number(layer.weight_channels);
    sum.values(layer.weights, layer.out_channels * layer.kernel_values());
    sum.values(layer.bias, layer.out_channels);
}

uint32_t parameters(const Layer &layer) {
    Checksum sum;
    sum.number(static_cast<int64_t>(layer.kind));
    sum.number(static_cast<int64_t>(layer.sources.size()));
    for (int source : layer.sources) sum.number(source);
    sum.number(layer.fix_point);
    switch (layer.kind) {
        case Kind::conv:
        case Kind::depthwise_conv: add_conv(layer, sum); break;
        case Kind::avg_pool:
            sum.numbers(layer.kernel);
            sum.numbers(layer.stride);
            sum.number(layer.multiplier);
            sum.number(layer.shift);
            break;
        case Kind::max_pool:
            sum.numbers(layer.kernel);
            sum.numbers(layer.stride);
            sum.numbers(layer.pad);
            sum.number(layer.shift);
            break;
        case Kind::add:
            sum.numbers(layer.left_shifts);
            sum.number(static_cast<int64_t>(layer.activation));
            sum.number(layer.shift);
            break;
        case Kind::concat: break;
    }
    return sum.crc();
}

void check_parts(const Bundle &bundle, const Engine &engine) {
    const uint8_t *expected = bundle.checks.data;
    for (size_t i = 0; i < bundle.network.layers.size(); ++i, expected += 8) {
        const Layer &layer = bundle.network.layers[i];
        if (parameters(layer) != little32(expected)) {
            fail(bundle, "layer " + layer.name + " is not what was compiled");
        }
        if (probe(bundle.network, engine, i) != little32(expected + 4)) {
            fail(bundle, "layer " + layer.name + " computes other sums than when it was compiled");
        }
    }
    if (crc32(bundle.table) != little32(expected)) {
        fail(bundle, "the score table is not what was compiled");
    }
    uint32_t symbols = 0;
    for (const std::string &symbol : bundle.alphabet) {
        const std::string line = symbol + "\n";
        symbols = crc32({reinterpret_cast<const uint8_t *>(line.data()), line.size()}, symbols);
    }
    if (symbols != little32(expected + 4)) fail(bundle, "the alphabet is not what was compiled");
}

struct Comparison {
    const Bundle &bundle;
    const uint8_t *checksums;
    uint32_t vector;
};

void compare_layer(void *context, size_t layer, Bytes output) {
    const Comparison &expected = *static_cast<const Comparison *>(context);
    if (crc32(output) != little32(expected.checksums + 4 * layer)) {
        fail(expected.bundle, "golden vector " + std::to_string(expected.vector) +
                                  " differs first at layer " +
                                  expected.bundle.network.layers[layer].name);
    }
}

bool same_logits(const Network &network, const int32_t *logits, const uint8_t *expected) {
    for (size_t i = 0; i < static_cast<size_t>(network.classes()); ++i) {
        const int32_t want = network.int32_logits()
                                 ? static_cast<int32_t>(little32(expected + 4 * i))
                                 : static_cast<int8_t>(expected[i]);
        if (logits[i] != want) return false;
    }
    return true;
}

// Beginnings of a golden vector's parts.
struct Golden {
    const int8_t *input;
    const uint8_t *checksums, *logits;
};

Golden golden_vector(const Bundle &bundle, uint32_t index) {
    const size_t record = bundle.golden.size / bundle.golden_count;
    const uint8_t *at = bundle.golden.data + index * record;
    const uint8_t *checksums = at + bundle.network.input.values();
    return {reinterpret_cast<const int8_t *>(at), checksums,
            checksums + 4 * bundle.network.layers.size()};
}

}  // namespace

void self_test(const Bundle &bundle, const Engine &engine, uint8_t *arena) {
    check_parts(bundle, engine);
    const Network &network = bundle.network;
    std::vector<int32_t> logits(static_cast<size_t>(network.classes()));
    for (uint32_t i = 0; i < bundle.golden_count; ++i) {
        const Golden golden = golden_vector(bundle, i);
        Comparison expected{bundle, golden.checksums, i};
        engine.run(golden.input, arena, logits.data(), compare_layer, &expected);
        if (!same_logits(network, logits.data(), golden.logits)) {
            fail(bundle, "the logits of golden vector " + std::to_string(i) + " differ");
        }
    }
}

void self_test(const Bundle &bundle, Accelerator &accelerator) {
    std::vector<int32_t> logits(static_cast<size_t>(bundle.network.classes()));
    for (uint32_t i = 0; i < bundle.golden_count; ++i) {
        const Golden golden = golden_vector(bundle, i);
        accelerator.run(golden.input, logits.data());
        if (!same_logits(bundle.network, logits.data(), golden.logits)) {
            throw Error{Fault::not_verified,
                        "self-test of bundle '" + bundle.name + "' failed on " +
                            accelerator.device() + " (" + accelerator.name() +
                            "): the logits of golden vector " + std::to_string(i) + " differ; " +
                            accelerator.program() + " was not made from these integers, or " +
                            accelerator.device() + " cannot be trusted"};
        }
    }
}

}  // namespace edgeglyph
