// The C API over Classifier: arguments checked, exceptions turned into status and message.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "classifier.h"
#include "edge_runtime.h"
#include "error.h"
#include "image.h"
#include "preprocess.h"
#include "version.h"

struct eg_classifier {
    std::unique_ptr<edgeglyph::Classifier> inner;
};

namespace {

using namespace edgeglyph;

struct Message {
    char *text;
    size_t size;

    void put(const char *words) const {
        if (text && size > 0) std::snprintf(text, size, "%s", words);
    }
};

// Run `body` so that nothing is thrown beyond.
template <typename Body>
eg_status guarded(Message message, const Body &body) {
    try {
        body();
        message.put("");
        return EG_OK;
    } catch (const Error &error) {
        message.put(error.message.c_str());
        return static_cast<eg_status>(error.fault);
    } catch (const std::bad_alloc &) {
        message.put("out of memory");
        return EG_NO_MEMORY;
    } catch (...) {
        message.put("an unexpected failure");
        return EG_BAD_INPUT;
    }
}

void need(bool given, const char *what) {
    if (!given) refuse(std::string(what) + " is NULL");
}

void check_image(const eg_image &image) {
    need(image.pixels != nullptr, "the picture");
    if (image.width < 1 || image.height < 1 || image.width > max_side || image.height > max_side ||
        uint64_t{image.width} * image.height > max_pixels || image.stride < image.width) {
        refuse("a picture of " + std::to_string(image.width) + "×" + std::to_string(image.height) +
               " pixels, stride " + std::to_string(image.stride) + ", cannot be");
    }
}

void classify_one(const Classifier &classifier, const eg_image &image, eg_prediction &prediction,
                  int32_t *logits, uint32_t *probabilities) {
    std::vector<int32_t> own_logits(logits ? 0 : classifier.classes());
    std::vector<uint32_t> own_probabilities(probabilities ? 0 : classifier.classes());
    const Prediction found = classifier.classify(
        image.pixels, image.width, image.height, image.stride, logits ? logits : own_logits.data(),
        probabilities ? probabilities : own_probabilities.data());
    prediction = {found.label, found.confidence, found.p_real};
}

}  // namespace

int eg_abi(void) {
    return EG_ABI;
}

const char *eg_version(void) {
    return edgeglyph_version;
}

eg_status eg_open(const char *path, const char *isa, eg_classifier **classifier, char *error,
                  size_t error_size) {
    return guarded({error, error_size}, [&] {
        need(path && classifier, "an argument");
        *classifier = nullptr;
        *classifier = new eg_classifier{open_classifier(path, isa)};
    });
}

eg_status eg_open_memory(const void *data, size_t size, const char *name, const char *isa,
                         eg_classifier **classifier, char *error, size_t error_size) {
    return guarded({error, error_size}, [&] {
        need(data && name && classifier, "an argument");
        *classifier = nullptr;
        const uint8_t *bytes = static_cast<const uint8_t *>(data);
        std::vector<uint8_t> copy(bytes, bytes + size);
        *classifier = new eg_classifier{std::make_unique<Classifier>(std::move(copy), name, isa)};
    });
}

void eg_close(eg_classifier *classifier) {
    delete classifier;
}

const char *eg_name(const eg_classifier *classifier) {
    return classifier->inner->bundle().name.c_str();
}

const char *eg_isa(const eg_classifier *classifier) {
    return classifier->inner->engine().kernels().name;
}

uint32_t eg_classes(const eg_classifier *classifier) {
    return static_cast<uint32_t>(classifier->inner->classes());
}

const char *eg_symbol(const eg_classifier *classifier, uint32_t label) {
    const std::vector<std::string> &symbols = classifier->inner->bundle().alphabet;
    return label < symbols.size() ? symbols[label].c_str() : nullptr;
}

size_t eg_workspace_bytes(const eg_classifier *classifier) {
    return classifier->inner->engine().arena_bytes();
}

eg_status eg_classify(const eg_classifier *classifier, const eg_image *image,
                      eg_prediction *prediction, int32_t *logits, uint32_t *probabilities,
                      char *error, size_t error_size) {
    return eg_classify_batch(classifier, image, 1, 1, prediction, logits, probabilities, error,
                             error_size);
}

eg_status eg_classify_batch(const eg_classifier *classifier, const eg_image *images, size_t count,
                            unsigned threads, eg_prediction *predictions, int32_t *logits,
                            uint32_t *probabilities, char *error, size_t error_size) {
    return guarded({error, error_size}, [&] {
        need(classifier && (count == 0 || (images && predictions)), "an argument");
        for (size_t i = 0; i < count; ++i) check_image(images[i]);
        const Classifier &inner = *classifier->inner;
        const size_t classes = inner.classes();
        inner.workers().run(count, threads, [&](size_t i) {
            classify_one(inner, images[i], predictions[i], logits ? logits + i * classes : nullptr,
                         probabilities ? probabilities + i * classes : nullptr);
        });
    });
}

eg_status eg_run(const eg_classifier *classifier, const int8_t *inputs, size_t count,
                 unsigned threads, int32_t *logits, char *error, size_t error_size) {
    return guarded({error, error_size}, [&] {
        need(classifier && (count == 0 || (inputs && logits)), "an argument");
        const Classifier &inner = *classifier->inner;
        const size_t size = input_side * input_side, classes = inner.classes();
        inner.workers().run(count, threads,
                            [&](size_t i) { inner.run(inputs + i * size, logits + i * classes); });
    });
}

eg_status eg_decode(const void *data, size_t size, const char *name, eg_image *image, char *error,
                    size_t error_size) {
    return guarded({error, error_size}, [&] {
        need(data && name && image, "an argument");
        *image = {};
        const Image found = decode_image({static_cast<const uint8_t *>(data), size}, name);
        uint8_t *pixels = static_cast<uint8_t *>(std::malloc(found.pixels.size()));
        if (!pixels) throw std::bad_alloc();
        std::memcpy(pixels, found.pixels.data(), found.pixels.size());
        *image = {pixels, found.width, found.height, found.width};
    });
}

void eg_free_image(eg_image *image) {
    if (!image) return;
    std::free(const_cast<uint8_t *>(image->pixels));
    *image = {};
}
