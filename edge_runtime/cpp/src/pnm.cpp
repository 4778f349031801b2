// PBM, PGM and PPM files, plain and binary (P1 to P6).
#include "image.h"

namespace edgeglyph {
namespace {

bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

class Reader {
public:
    Reader(Bytes file, size_t at) : file_(file), at_(at) {}

    // Past white space and comments; whether there was any.
    bool skip() {
        const size_t start = at_;
        while (at_ < file_.size && (is_space(file_.data[at_]) || file_.data[at_] == '#')) {
            if (file_.data[at_] == '#') {
                while (at_ < file_.size && file_.data[at_] != '\n' && file_.data[at_] != '\r')
                    ++at_;
            } else {
                ++at_;
            }
        }
        return at_ > start;
    }

    // A number of one to nine digits.
    uint32_t number(const char *part) {
        uint32_t value = 0;
        size_t digits = 0;
        for (; at_ < file_.size && is_digit(file_.data[at_]) && digits < 10; ++at_, ++digits) {
            value = value * 10 + (file_.data[at_] - uint32_t{'0'});
        }
        if (digits < 1 || digits > 9) throw Damage{part};
        return value;
    }

    uint32_t header_number() {
        if (!skip()) throw Damage{"header"};
        return number("header");
    }

    // One white space ends the header.
    void end_of_header() {
        if (at_ >= file_.size || !is_space(file_.data[at_])) throw Damage{"header"};
        ++at_;
    }

    uint32_t plain_number() {
        skip();
        const uint32_t value = number("pixel data");
        if (at_ < file_.size && !is_space(file_.data[at_]) && file_.data[at_] != '#') {
            throw Damage{"pixel data"};
        }
        return value;
    }

    bool plain_bit() {
        skip();
        if (at_ >= file_.size || (file_.data[at_] & 0xFE) != '0') throw Damage{"pixel data"};
        return file_.data[at_++] == '1';
    }

    const uint8_t *take(uint64_t size) {
        if (size > file_.size - at_) throw Damage{"pixel data"};
        const uint8_t *bytes = file_.data + at_;
        at_ += static_cast<size_t>(size);
        return bytes;
    }

private:
    Bytes file_;
    size_t at_;
};

// 0..largest to 0..255, rounded half up; what needs two bytes then loses the low one.
uint32_t to_byte(uint32_t value, uint32_t largest) {
    if (value > largest) throw Damage{"pixel data"};
    if (largest == 255) return value;
    const uint64_t full = largest < 256 ? 255 : 65535;
    const uint64_t scaled = (2 * value * full + largest) / (2 * largest);
    return static_cast<uint32_t>(largest < 256 ? scaled : scaled >> 8);
}

void read_bits(Reader &reader, bool plain, Image &image) {
    const size_t stride = (image.width + 7) / 8;
    uint8_t *out = image.pixels.data();
    const uint8_t *rows = plain ? nullptr : reader.take(uint64_t{stride} * image.height);
    for (size_t y = 0; y < image.height; ++y) {
        for (size_t x = 0; x < image.width; ++x) {
            const bool black =
                plain ? reader.plain_bit() : (rows[y * stride + x / 8] >> (7 - x % 8) & 1) != 0;
            *out++ = black ? 0 : 255;
        }
    }
}

void read_samples(Reader &reader, bool plain, bool color, uint32_t largest, Image &image) {
    const size_t size = largest < 256 ? 1 : 2, bands = color ? 3 : 1;
    const uint64_t count = uint64_t{image.width} * image.height * bands;
    const uint8_t *bytes = plain ? nullptr : reader.take(count * size);
    const auto sample = [&]() -> uint32_t {
        if (plain) return to_byte(reader.plain_number(), largest);
        const uint32_t value = size == 1 ? *bytes : big16(bytes);
        bytes += size;
        return to_byte(value, largest);
    };
    for (uint8_t &pixel : image.pixels) {
        const uint32_t first = sample();
        if (!color) {
            pixel = static_cast<uint8_t>(first);
            continue;
        }
        const uint32_t second = sample(), third = sample();
        pixel = gray_of(first, second, third);
    }
}

}  // namespace

Image decode_pnm(Bytes file) {
    const int kind = file.data[1] - '0';
    const bool bits = kind == 1 || kind == 4, plain = kind <= 3;
    Reader reader(file, 2);
    const uint32_t width = reader.header_number(), height = reader.header_number();
    const uint32_t largest = bits ? 1 : reader.header_number();
    check_size(width, height);
    if (largest < 1 || largest > 65535) throw Damage{"header"};
    reader.end_of_header();
    // A plain file has a character a pixel at least: no memory for what cannot be there.
    if (plain && uint64_t{width} * height > file.size) throw Damage{"pixel data"};
    Image image{width, height, {}};
    if (!plain)
        Reader(reader).take(bits ? uint64_t{(width + 7) / 8} * height : uint64_t{width} * height);
    image.pixels.resize(size_t{width} * height);
    if (bits) {
        read_bits(reader, plain, image);
    } else {
        read_samples(reader, plain, kind == 3 || kind == 6, largest, image);
    }
    return image;
}

}  // namespace edgeglyph
