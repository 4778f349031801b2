#include "elf_exports.h"

#include <algorithm>

#include "error.h"

namespace edgeglyph {
namespace {

constexpr uint32_t dynamic_symbols = 11;  // a section's type
constexpr int local = 0;                  // a symbol's binding

// Offsets of fields, which differ between files of 32 and 64 bits.
struct Layout {
    size_t table, count, header, section_size, section_offset, section_length, section_link;
    size_t symbol_size, symbol_info, symbol_section;
};

constexpr Layout bits32 = {32, 48, 52, 40, 16, 20, 24, 16, 12, 14};
constexpr Layout bits64 = {40, 60, 64, 64, 24, 32, 40, 24, 4, 6};

class Reader {
public:
    Reader(Bytes file, const std::string &name) : file_(file), name_(name) {
        if (!is_elf(file) || file.size < 6 || (file.data[4] != 1 && file.data[4] != 2) ||
            file.data[5] != 1) {
            refuse(name + ": is no little-endian ELF file");
        }
        wide_ = file.data[4] == 2;
        layout_ = wide_ ? &bits64 : &bits32;
        if (file.size < layout_->header) cut_off();
    }

    std::vector<std::string> exports() const {
        const Bytes table =
            part(word(file_, layout_->table),
                 uint64_t{little16(file_.data + layout_->count)} * layout_->section_size);
        std::vector<std::string> found;
        const size_t count = table.size / layout_->section_size;
        for (size_t i = 0; i < count; ++i) {
            const Bytes section = row(table, i, layout_->section_size);
            if (little32(section.data + 4) != dynamic_symbols) continue;
            const size_t strings = little32(section.data + layout_->section_link);
            if (strings >= count) cut_off();
            collect(content(section), content(row(table, strings, layout_->section_size)), found);
        }
        return found;
    }

private:
    [[noreturn]] void cut_off() const { refuse(name_ + ": is cut off or damaged; copy it again"); }

    Bytes part(uint64_t offset, uint64_t size) const {
        if (offset > file_.size || size > file_.size - offset) cut_off();
        return file_.part(static_cast<size_t>(offset), static_cast<size_t>(size));
    }

    static Bytes row(Bytes table, size_t index, size_t size) {
        return table.part(index * size, size);
    }

    uint64_t word(Bytes bytes, size_t offset) const {
        return wide_ ? little64(bytes.data + offset) : little32(bytes.data + offset);
    }

    Bytes content(Bytes section) const {
        return part(word(section, layout_->section_offset), word(section, layout_->section_length));
    }

    void collect(Bytes symbols, Bytes strings, std::vector<std::string> &found) const {
        for (size_t i = 0; i < symbols.size / layout_->symbol_size; ++i) {
            const Bytes symbol = row(symbols, i, layout_->symbol_size);
            const bool defined = little16(symbol.data + layout_->symbol_section) != 0;
            const size_t name = little32(symbol.data);
            if (!defined || symbol.data[layout_->symbol_info] >> 4 == local ||
                name >= strings.size) {
                continue;
            }
            const uint8_t *begin = strings.data + name, *end = strings.data + strings.size;
            found.emplace_back(begin, std::find(begin, end, uint8_t{0}));
        }
    }

    Bytes file_;
    const std::string &name_;
    const Layout *layout_ = nullptr;
    bool wide_ = false;
};

}  // namespace

std::vector<std::string> elf_exports(Bytes file, const std::string &name) {
    return Reader(file, name).exports();
}

}  // namespace edgeglyph
