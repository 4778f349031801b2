// The core's registers in its Verilator model, loaded as a library (rtl/model/core_model.h).
#include <dlfcn.h>

#include <cstring>

#include "core_registers.h"
#include "error.h"

namespace edgeglyph {
namespace {

constexpr uint64_t wait_cycles = 256;

class SimulatedCore final : public CoreRegisters {
public:
    explicit SimulatedCore(const std::string &path)
        : library_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (!library_) {
            const char *reason = ::dlerror();
            refuse("the core's model cannot be loaded (" + std::string(reason ? reason : path) +
                   "); `make core-model` builds it, --core names another");
        }
        resolve("egc_read", read_);
        resolve("egc_write", write_);
        resolve("egc_run", run_);
        resolve("egc_close", close_);
        void *(*open)() = nullptr;
        resolve("egc_open", open);
        model_ = open();
    }
    // The library stays loaded: what it has of its own is freed with the process.
    ~SimulatedCore() override { close_(model_); }
    SimulatedCore(const SimulatedCore &) = delete;
    SimulatedCore &operator=(const SimulatedCore &) = delete;

    uint32_t read(uint32_t address) override {
        uint32_t value = 0;
        if (read_(model_, address, &value) != 0) refuse("the core's model does not answer a read");
        return value;
    }
    void write(uint32_t address, uint32_t value) override {
        if (write_(model_, address, value) != 0) refuse("the core's model does not take a write");
    }
    void wait() override { run_(model_, wait_cycles, 0, 0); }

private:
    template <typename Function>
    void resolve(const char *name, Function &function) {
        void *found = ::dlsym(library_, name);
        if (!found) refuse("the core's model lacks " + std::string(name));
        std::memcpy(&function, &found, sizeof found);
    }

    void *library_, *model_ = nullptr;
    int (*read_)(void *, uint32_t, uint32_t *) = nullptr;
    int (*write_)(void *, uint32_t, uint32_t) = nullptr;
    uint64_t (*run_)(void *, uint64_t, size_t, int) = nullptr;
    void (*close_)(void *) = nullptr;
};

}  // namespace

std::unique_ptr<CoreRegisters> open_simulated_core(const std::string &library) {
    return std::make_unique<SimulatedCore>(library);
}

}  // namespace edgeglyph
