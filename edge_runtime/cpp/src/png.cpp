// PNG files: all color types and depths, palettes, transparency, interlacing.
#include <cstdlib>
#include <cstring>

#include "image.h"
#include "inflate.h"

namespace edgeglyph {
namespace {

enum Color : uint8_t { gray = 0, rgb = 2, palette = 3, gray_alpha = 4, rgb_alpha = 6 };

struct Header {
    uint32_t width, height;
    unsigned depth, color;
    bool interlaced;

    unsigned bands() const {
        return color == rgb ? 3 : color == gray_alpha ? 2 : color == rgb_alpha ? 4 : 1;
    }
    size_t row_bytes(uint32_t columns) const { return (size_t{columns} * depth * bands() + 7) / 8; }
};

// One of the seven pictures that an interlaced one is stored as, or the whole of a plain one.
struct Pass {
    uint32_t row, column, row_step, column_step;

    uint32_t rows(const Header &h) const {
        return h.height > row ? (h.height - row + row_step - 1) / row_step : 0;
    }
    uint32_t columns(const Header &h) const {
        return h.width > column ? (h.width - column + column_step - 1) / column_step : 0;
    }
};

constexpr Pass interlaced_passes[7] = {{0, 0, 8, 8}, {0, 4, 8, 8}, {4, 0, 8, 4}, {0, 2, 4, 4},
                                       {2, 0, 4, 2}, {0, 1, 2, 2}, {1, 0, 2, 1}};
constexpr Pass plain_pass = {0, 0, 1, 1};

struct Parts {
    Header header{};
    Bytes palette, transparency;
    bool has_palette = false, has_transparency = false;
    std::vector<uint8_t> data;  // of all IDAT chunks
};

bool known_depth(unsigned color, unsigned depth) {
    switch (color) {
        case gray: return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
        case palette: return depth == 1 || depth == 2 || depth == 4 || depth == 8;
        case rgb:
        case gray_alpha:
        case rgb_alpha: return depth == 8 || depth == 16;
        default: return false;
    }
}

Header read_header(const uint8_t *p) {
    Header h{big32(p), big32(p + 4), p[8], p[9], p[12] == 1};
    if (!known_depth(h.color, h.depth) || p[10] || p[11] || p[12] > 1) throw Damage{"header"};
    check_size(h.width, h.height);
    return h;
}

void keep_once(bool &has, Bytes &kept, Bytes content) {
    if (has) throw Damage{"chunks"};
    has = true;
    kept = content;
}

void check_tables(const Parts &parts) {
    const Header &h = parts.header;
    if (h.color == palette) {
        const size_t entries = parts.palette.size / 3;
        if (parts.palette.size % 3 || entries < 1 || entries > size_t{1} << h.depth) {
            throw Damage{"palette"};
        }
        if (parts.transparency.size > entries) throw Damage{"transparency"};
    } else if ((h.color == gray || h.color == rgb) && parts.has_transparency &&
               parts.transparency.size != 2 * h.bands()) {
        throw Damage{"transparency"};
    }
}

Parts read_chunks(Bytes file) {
    Parts parts;
    bool started = false, seen_data = false;
    uint32_t last = 0;
    constexpr uint32_t ihdr = 0x49484452, idat = 0x49444154, iend = 0x49454E44;
    constexpr uint32_t plte = 0x504C5445, trns = 0x74524E53;
    for (size_t at = 8; last != iend;) {
        if (file.size - at < 12) throw Damage{"chunks"};
        const uint8_t *p = file.data + at;
        const size_t length = big32(p);
        if (length > file.size - at - 12) throw Damage{"chunks"};
        const uint32_t kind = big32(p + 4);
        const Bytes content{p + 8, length};
        if (!started) {  // too large a picture is told from its first bytes
            if (kind != ihdr || length != 13) throw Damage{"header"};
            parts.header = read_header(content.data);
            started = true;
        } else if (kind == ihdr) {
            throw Damage{"header"};
        }
        const bool sound = big32(p + 8 + length) == crc32({p + 4, length + 4});
        if (checksums_matter && !sound) throw Damage{"checksum"};
        if (kind == idat) {
            if (seen_data && last != idat) throw Damage{"chunks"};
            seen_data = true;
            parts.data.insert(parts.data.end(), content.data, content.data + length);
        } else if (kind == plte || kind == trns) {
            if (seen_data) throw Damage{"chunks"};
            kind == plte ? keep_once(parts.has_palette, parts.palette, content)
                         : keep_once(parts.has_transparency, parts.transparency, content);
        } else if (kind != ihdr && kind != iend && !(p[4] & 32)) {
            throw Damage{"chunks"};  // an unknown chunk that one must understand
        }
        at += 12 + length;
        last = kind;
    }
    if (!seen_data) throw Damage{"chunks"};
    check_tables(parts);
    return parts;
}

uint8_t paeth(int a, int b, int c) {
    const int pa = std::abs(b - c), pb = std::abs(a - c), pc = std::abs(a + b - 2 * c);
    return static_cast<uint8_t>(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

// Undo a row's filter in place. `above` is nullptr for the first row, `back` the bytes of a pixel.
void unfilter(unsigned filter, uint8_t *row, const uint8_t *above, size_t size, size_t back) {
    for (size_t i = 0; i < size; ++i) {
        const int a = i >= back ? row[i - back] : 0;
        const int b = above ? above[i] : 0;
        const int c = above && i >= back ? above[i - back] : 0;
        int add = 0;
        switch (filter) {
            case 1: add = a; break;
            case 2: add = b; break;
            case 3: add = (a + b) / 2; break;
            case 4: add = paeth(a, b, c); break;
            default: break;
        }
        row[i] = static_cast<uint8_t>(row[i] + add);
    }
}

// From a row's samples to gray pixels.
class Grays {
public:
    explicit Grays(const Parts &parts) : h_(parts.header) {
        const Bytes t = parts.transparency;
        entries_ = parts.palette.size / 3;
        if (h_.color == palette) {
            for (size_t i = 0; i < entries_; ++i) {
                const uint8_t *c = parts.palette.data + 3 * i;
                const uint32_t a = i < t.size ? t.data[i] : 255;
                table_[i] = gray_of(over_white(c[0], a), over_white(c[1], a), over_white(c[2], a));
            }
        } else if (parts.has_transparency && (h_.color == gray || h_.color == rgb)) {
            keyed_ = true;
            for (size_t i = 0; i < h_.bands(); ++i) key_[i] = to_byte(big16(t.data + 2 * i));
        }
    }

    uint8_t pixel(const uint8_t *row, size_t x) const {
        uint32_t s[4];
        for (size_t i = 0; i < h_.bands(); ++i) s[i] = sample(row, x * h_.bands() + i);
        switch (h_.color) {
            case palette:
                if (s[0] >= entries_) throw Damage{"palette"};
                return table_[s[0]];
            case gray_alpha: return static_cast<uint8_t>(over_white(s[0], s[1]));
            case rgb_alpha:
                return gray_of(over_white(s[0], s[3]), over_white(s[1], s[3]),
                               over_white(s[2], s[3]));
            case rgb:
                if (keyed_ && s[0] == key_[0] && s[1] == key_[1] && s[2] == key_[2]) return 255;
                return gray_of(s[0], s[1], s[2]);
            default: return keyed_ && s[0] == key_[0] ? uint8_t{255} : static_cast<uint8_t>(s[0]);
        }
    }

private:
    // A color key's 16 bits as a sample of 8: high byte of 16, else the low bits, stretched.
    uint32_t to_byte(uint32_t value) const {
        if (h_.depth == 16) return value >> 8;
        const uint32_t largest = (1u << h_.depth) - 1;
        return (value & largest) * 255 / largest;
    }

    // Sample number `i` of a row: 0..255, but for palettes the index itself.
    uint32_t sample(const uint8_t *row, size_t i) const {
        if (h_.depth == 8) return row[i];
        if (h_.depth == 16) return row[2 * i];  // the high byte
        const size_t bit = i * h_.depth;
        const uint32_t largest = (1u << h_.depth) - 1;
        const uint32_t value = row[bit / 8] >> (8 - h_.depth - bit % 8) & largest;
        return h_.color == palette ? value : value * 255 / largest;
    }

    Header h_;
    size_t entries_ = 0;
    uint8_t table_[256] = {};
    bool keyed_ = false;
    uint32_t key_[3] = {};
};

// Undo the filters of one pass and put its pixels into the picture; returns the data after it.
uint8_t *read_pass(const Pass &pass, const Header &h, const Grays &grays, uint8_t *data,
                   Image &image) {
    const uint32_t columns = pass.columns(h);
    if (columns == 0) return data;
    const size_t size = h.row_bytes(columns), back = (h.depth * h.bands() + 7) / 8;
    const uint8_t *above = nullptr;
    for (uint32_t y = 0; y < pass.rows(h); ++y, data += 1 + size) {
        if (data[0] > 4) throw Damage{"pixel data"};
        unfilter(data[0], data + 1, above, size, back);
        above = data + 1;
        uint8_t *out =
            image.pixels.data() + size_t{pass.row + y * pass.row_step} * h.width + pass.column;
        for (uint32_t x = 0; x < columns; ++x) out[x * pass.column_step] = grays.pixel(above, x);
    }
    return data;
}

}  // namespace

Image decode_png(Bytes file) {
    const Parts parts = read_chunks(file);
    const Header &h = parts.header;
    const Pass *passes = h.interlaced ? interlaced_passes : &plain_pass;
    const size_t count = h.interlaced ? 7 : 1;
    size_t size = 0;
    for (size_t i = 0; i < count; ++i) {
        const uint32_t columns = passes[i].columns(h);
        if (columns) size += passes[i].rows(h) * (1 + h.row_bytes(columns));
    }
    std::vector<uint8_t> data;
    if (!inflate({parts.data.data(), parts.data.size()}, size, data)) throw Damage{"pixel data"};
    Image image{h.width, h.height, std::vector<uint8_t>(size_t{h.width} * h.height)};
    const Grays grays(parts);
    uint8_t *at = data.data();
    for (size_t i = 0; i < count; ++i) at = read_pass(passes[i], h, grays, at, image);
    return image;
}

}  // namespace edgeglyph
