#include "classifier.h"

#include <algorithm>

#include "container.h"
#include "error.h"
#include "files.h"
#include "preprocess.h"

namespace edgeglyph {
namespace {

constexpr size_t alignment = 64;

uint8_t *aligned(uint8_t *p) {
    return p + (alignment - reinterpret_cast<uintptr_t>(p) % alignment) % alignment;
}

Bundle read_named(const std::vector<uint8_t> &file, const std::string &name) {
    try {
        return read_bundle({file.data(), file.size()});
    } catch (const Error &error) {
        throw Error{error.fault, name + ": " + error.message};
    }
}

}  // namespace

// An arena for the time of one call; made when all others are in use.
class Classifier::Lease {
public:
    explicit Lease(const Classifier &owner) : owner_(owner) {
        {
            const std::lock_guard<std::mutex> lock(owner.guard_);
            if (!owner.idle_.empty()) {
                arena_ = std::move(owner.idle_.back());
                owner.idle_.pop_back();
                return;
            }
        }
        arena_.reset(new uint8_t[owner.engine_->arena_bytes() + alignment]);
        const std::lock_guard<std::mutex> lock(owner.guard_);
        owner.idle_.reserve(owner.idle_.capacity() + 1);  // so that giving back cannot fail
    }
    ~Lease() {
        const std::lock_guard<std::mutex> lock(owner_.guard_);
        owner_.idle_.push_back(std::move(arena_));
    }
    Lease(const Lease &) = delete;
    Lease &operator=(const Lease &) = delete;

    uint8_t *memory() { return aligned(arena_.get()); }

private:
    const Classifier &owner_;
    Arena arena_;
};

Classifier::Classifier(std::vector<uint8_t> file, const std::string &name, const char *isa)
    : file_(std::move(file)),
      bundle_(read_named(file_, name)),
      engine_(std::make_unique<Engine>(bundle_.network, find_kernels(isa))) {
    self_test(bundle_, *engine_, Lease(*this).memory());
}

void Classifier::use(std::unique_ptr<Accelerator> accelerator) {
    self_test(bundle_, *accelerator);
    accelerator_ = std::move(accelerator);
}

void Classifier::run(const int8_t *input, int32_t *logits) const {
    if (accelerator_) {
        accelerator_->run(input, logits);
        return;
    }
    Lease lease(*this);
    engine_->run(input, lease.memory(), logits);
}

Prediction Classifier::classify(const uint8_t *pixels, uint32_t width, uint32_t height,
                                size_t stride, int32_t *logits, uint32_t *probabilities) const {
    int8_t input[input_side * input_side];
    preprocess(pixels, width, height, stride, input);
    run(input, logits);
    Prediction found;
    found.p_real = bundle_.scores.probabilities(logits, classes(), probabilities);
    const int32_t *best = std::max_element(logits, logits + classes());  // the first of equals
    found.label = static_cast<uint32_t>(best - logits);
    found.confidence = probabilities[found.label];
    return found;
}

std::unique_ptr<Classifier> open_classifier(const std::string &path, const char *isa) {
    const std::string name = tidy_path(path);
    auto file = read_file(name, max_bundle_bytes, "no such bundle; `make compile` writes one");
    return std::make_unique<Classifier>(std::move(file), name, isa);
}

}  // namespace edgeglyph
