// The core's registers on a board, mapped into this process.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core_registers.h"
#include "error.h"

namespace edgeglyph {
namespace {

constexpr size_t map_bytes = 4096;
constexpr const char *uio_class = "/sys/class/uio", *uio_name = "edgeglyph_core";

/// The first line of a file, empty where there is none. (std::ifstream would nearly double the
/// whole program.)
std::string first_line(const std::string &path) {
    char line[64] = "";
    if (std::FILE *file = std::fopen(path.c_str(), "re")) {
        if (!std::fgets(line, sizeof line, file)) line[0] = '\0';
        std::fclose(file);
    }
    line[std::strcspn(line, "\n")] = '\0';
    return line;
}

std::string find_uio() {
    std::string found;
    if (DIR *folder = ::opendir(uio_class)) {
        while (const dirent *entry = ::readdir(folder)) {
            if (first_line(std::string(uio_class) + "/" + entry->d_name + "/name") == uio_name) {
                found = std::string("/dev/") + entry->d_name;
            }
        }
        ::closedir(folder);
    }
    if (found.empty()) {
        refuse(std::string("no core here: no UIO device is named ") + uio_name +
               "; name one with --core, for example /dev/uio0 or /dev/mem@43C00000");
    }
    return found;
}

class MappedCore final : public CoreRegisters {
public:
    MappedCore(const std::string &path, off_t offset) {
        const int file = ::open(path.c_str(), O_RDWR | O_SYNC | O_CLOEXEC);
        if (file < 0) refuse(path + ": cannot be opened (" + std::strerror(errno) + ")");
        void *mapped = ::mmap(nullptr, map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, offset);
        const int error = errno;
        ::close(file);
        if (mapped == MAP_FAILED) {
            refuse(path + ": cannot be mapped (" + std::strerror(error) + ")");
        }
        words_ = static_cast<volatile uint32_t *>(mapped);
    }
    ~MappedCore() override { ::munmap(const_cast<uint32_t *>(words_), map_bytes); }
    MappedCore(const MappedCore &) = delete;
    MappedCore &operator=(const MappedCore &) = delete;

    uint32_t read(uint32_t address) override { return words_[address / 4]; }
    void write(uint32_t address, uint32_t value) override { words_[address / 4] = value; }
    void wait() override { ::sched_yield(); }

private:
    volatile uint32_t *words_;
};

}  // namespace

std::unique_ptr<CoreRegisters> open_mapped_core(const std::string &path) {
    const size_t at = path.find('@');
    if (at == std::string::npos) {
        return std::make_unique<MappedCore>(path.empty() ? find_uio() : path, 0);
    }
    char *end = nullptr;
    const unsigned long address = std::strtoul(path.c_str() + at + 1, &end, 16);
    if (*end != '\0' || at + 1 == path.size() || address % map_bytes != 0) {
        refuse("--core " + path + ": the address is no multiple of 1000 in hexadecimal");
    }
    return std::make_unique<MappedCore>(path.substr(0, at), static_cast<off_t>(address));
}

}  // namespace edgeglyph
