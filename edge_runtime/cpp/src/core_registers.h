// The open core's registers (docs/core.md), on a board or in simulation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace edgeglyph {

class CoreRegisters {
public:
    virtual ~CoreRegisters() = default;

    // `address` in bytes, a multiple of 4. Throws Error where the device does not answer.
    virtual uint32_t read(uint32_t address) = 0;
    virtual void write(uint32_t address, uint32_t value) = 0;

    // Let some time pass while the core works.
    virtual void wait() = 0;
};

// Registers in this machine's memory: a UIO device (/dev/uio0), or /dev/mem@ADDRESS with the
// address in hexadecimal. Without a path, the UIO device whose name is edgeglyph_core.
std::unique_ptr<CoreRegisters> open_mapped_core(const std::string &path);

// The Verilator model: a library that scripts/build_core_model.py has made.
std::unique_ptr<CoreRegisters> open_simulated_core(const std::string &library);

}  // namespace edgeglyph
