#include "container.h"

#include <cstring>

#include "error.h"
#include "text.h"

namespace edgeglyph {
namespace {

constexpr uint8_t magic[8] = {0x89, 'E', 'G', 'B', '\r', '\n', 0x1A, '\n'};
constexpr uint32_t version = 1, max_sections = 64;
constexpr size_t header_size = 24, entry_size = 40, check_size = 8, alignment = 64;

void check_header(Bytes file) {
    if (file.size < sizeof magic || std::memcmp(file.data, magic, sizeof magic) != 0) {
        refuse("is no EdgeGlyph bundle (.egb)");
    }
    if (file.size < header_size) {
        refuse("truncated: " + std::to_string(file.size) + " bytes; copy or compile it again");
    }
    const uint32_t found = little32(file.data + 8);
    if (found != version) {
        refuse("bundle format " + std::to_string(found) + ", this program reads " +
               std::to_string(version) + "; compile the bundle again with the same release");
    }
    const uint64_t size = little64(file.data + 16);
    if (size != file.size && checksums_matter) {
        refuse(with_commas(file.size) + " bytes, but its header says " + with_commas(size) +
               "; it was cut off or appended to; copy or compile it again");
    }
}

std::string label_of(const uint8_t *entry) {
    size_t length = 16;
    while (length > 0 && entry[length - 1] == 0) --length;
    return std::string(reinterpret_cast<const char *>(entry), length);
}

}  // namespace

Sections::Sections(Bytes file) {
    check_header(file);
    const uint32_t count = little32(file.data + 12);
    if (count < 1 || count > max_sections) {
        refuse(std::to_string(count) + " sections; 1 to " + std::to_string(max_sections) +
               " are allowed");
    }
    const size_t table_end = header_size + entry_size * count;
    if (table_end + check_size > file.size) refuse("truncated inside its table of sections");
    const uint8_t *check = file.data + table_end;
    if (checksums_matter &&
        (little32(check) != crc32(file.part(0, table_end)) || little32(check + 4) != 0)) {
        refuse("its table of sections is damaged");
    }
    for (uint32_t i = 0; i < count; ++i) {
        const uint8_t *entry = file.data + header_size + i * entry_size;
        const std::string name = label_of(entry);
        const uint64_t offset = little64(entry + 16), size = little64(entry + 24);
        if (offset % alignment != 0 || offset < table_end || offset > file.size ||
            size > file.size - offset || little32(entry + 36) != 0) {
            refuse("section '" + name + "' lies outside the file");
        }
        for (const auto &other : sections_) {
            if (other.first == name) refuse("section '" + name + "' occurs twice");
        }
        const Bytes bytes = file.part(static_cast<size_t>(offset), static_cast<size_t>(size));
        if (checksums_matter && crc32(bytes) != little32(entry + 32)) {
            refuse("section '" + name + "' is damaged (checksum differs)");
        }
        sections_.emplace_back(name, bytes);
    }
}

const Bytes *Sections::find(const char *name) const {
    for (const auto &section : sections_) {
        if (section.first == name) return &section.second;
    }
    return nullptr;
}

Bytes Sections::at(const char *name) const {
    if (const Bytes *section = find(name)) return *section;
    refuse("lacks '" + std::string(name) + "'; compile it again");
}

}  // namespace edgeglyph
