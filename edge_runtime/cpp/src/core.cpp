// Back ends core and core-sim: the open core (edge_runtime/rtl), driven by its registers alone.
#include <chrono>
#include <mutex>
#include <vector>

#include "accelerator.h"
#include "core_registers.h"
#include "error.h"

namespace edgeglyph {
namespace {

// docs/core.md, register map.
enum Address : uint32_t {
    id = 0x00,
    version = 0x04,
    weight_depth = 0x08,
    activation_depth = 0x0C,
    control = 0x10,
    status = 0x14,
    waiting_logits = 0x30,
    weight_space = 0x34,
    program_beat = 0x40,
    weight_beat = 0x48,
    image_beat = 0x50,
    logit = 0x58,
};
constexpr uint32_t last = 4;  // added to a beat's address: the packet ends with it
constexpr uint32_t core_id = 0x31434745, core_version = 1;
constexpr uint32_t run_bit = 1, by_registers = 2, soft_reset = 4;
constexpr auto patience = std::chrono::seconds(60);

const char *const errors[] = {
    "no error",
    "not a program",
    "a program for another core",
    "program length",
    "program checksum",
    "weights length",
    "image length",
    "illegal instruction",
    "a group of pixels without any tap",
    "number of logits",
    "overrun",
    "watchdog",
};

class Core final : public Accelerator {
public:
    Core(const CoreImage &image, std::unique_ptr<CoreRegisters> registers, const char *name)
        : image_(image), registers_(std::move(registers)), name_(name) {
        check_device();
        registers_->write(control, soft_reset);
        registers_->write(control, run_bit | by_registers);
        send(program_beat, image_.program);
        check_errors();
        if (image_.resident) send(weight_beat, image_.weights);
        check_errors();
    }
    ~Core() override {
        try {
            registers_->write(control, soft_reset);
        } catch (const Error &) {  // a device that does not answer needs no reset
        }
    }

    const char *name() const override { return name_; }
    const char *device() const override { return "the core"; }
    const char *program() const override { return "the core's program"; }

    void run(const int8_t *input, int32_t *logits) override {
        const std::lock_guard<std::mutex> lock(guard_);
        const uint32_t pixels = little32(image_.program.data + 20);
        const uint32_t classes = little32(image_.program.data + 24);
        std::vector<uint8_t> padded((pixels + 3) / 4 * 4);
        for (uint32_t i = 0; i < pixels; ++i) padded[i] = static_cast<uint8_t>(input[i]);
        send(image_beat, {padded.data(), padded.size()});
        if (!image_.resident) send_weights();
        const auto start = std::chrono::steady_clock::now();
        for (uint32_t got = 0; got < classes;) {
            const uint32_t waiting = registers_->read(waiting_logits);
            for (uint32_t i = 0; i < waiting && got < classes; ++i) {
                logits[got++] = static_cast<int32_t>(registers_->read(logit));
            }
            if (waiting == 0) await(start);
        }
        check_errors();
    }

private:
    void check_device() {
        if (registers_->read(id) != core_id) refuse("there is no core at these registers");
        const uint32_t found = registers_->read(version);
        if (found >> 24 != core_version || (found & 0xFFFF) != image_.lanes) {
            refuse("this core has version " + std::to_string(found >> 24) + " and " +
                   std::to_string(found & 0xFFFF) + " lanes; the bundle's program is for " +
                   std::to_string(image_.lanes) + " (" + image_.target + ")");
        }
        if (registers_->read(weight_depth) < image_.weight_words ||
            registers_->read(activation_depth) < image_.activations) {
            refuse("this core's memories are smaller than those of " + image_.target);
        }
    }

    // A packet, beat by beat; the last word goes to an address of its own.
    void send(uint32_t address, Bytes bytes) {
        for (size_t i = 0; i < bytes.size; i += 4) {
            const bool ends = i + 4 >= bytes.size;
            registers_->write(address + (ends ? last : 0), little32(bytes.data + i));
        }
    }

    // Weights that do not stay on chip: as many as there is room for, while tiles are computed.
    void send_weights() {
        const Bytes all = image_.weights;
        const auto start = std::chrono::steady_clock::now();
        for (size_t sent = 0; sent < all.size;) {
            size_t room = size_t{registers_->read(weight_space)} * image_.lanes;
            if (room == 0) await(start);
            for (; room > 0 && sent < all.size; room -= 4, sent += 4) {
                const bool ends = sent + 4 >= all.size;
                registers_->write(weight_beat + (ends ? last : 0), little32(all.data + sent));
            }
        }
    }

    void await(std::chrono::steady_clock::time_point start) {
        check_errors();
        if (std::chrono::steady_clock::now() - start > patience) {
            refuse("the core gives no logits");
        }
        registers_->wait();
    }

    void check_errors() {
        const uint32_t found = registers_->read(status);
        const uint32_t code = found >> 8 & 0xF;
        if (code == 0) return;
        const bool known = code < sizeof errors / sizeof *errors;
        refuse("the core stopped with error " + std::to_string(code) + " (" +
               (known ? errors[code] : "unknown") + ") at instruction " +
               std::to_string(found >> 16));
    }

    const CoreImage &image_;
    std::unique_ptr<CoreRegisters> registers_;
    const char *name_;
    std::mutex guard_;
};

}  // namespace

std::unique_ptr<Accelerator> open_core(const CoreImage &image, const std::string &path) {
    return std::make_unique<Core>(image, open_mapped_core(path), "core");
}

std::unique_ptr<Accelerator> open_core_sim(const CoreImage &image, const std::string &library) {
    return std::make_unique<Core>(image, open_simulated_core(library), "core-sim");
}

}  // namespace edgeglyph
