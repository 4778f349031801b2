#include "text.h"

#include <cstdio>

namespace edgeglyph {

size_t utf8_length(Bytes bytes) {
    if (bytes.size == 0) return 0;
    const unsigned first = bytes.data[0];
    if (first < 0x80) return 1;
    const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || bytes.size < length) return 0;
    for (size_t i = 1; i < length; ++i) {
        if ((bytes.data[i] & 0xC0) != 0x80) return 0;
    }
    const unsigned second = bytes.data[1];
    const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool beyond = first == 0xF4 && second > 0x8F;
    const bool surrogate = first == 0xED && second > 0x9F;
    return overlong || beyond || surrogate ? 0 : length;
}

void append_utf8(std::string &out, unsigned code) {
    const auto tail = [&](unsigned shift) {
        out += static_cast<char>(0x80 | (code >> shift & 0x3F));
    };
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0 | code >> 6);
        tail(0);
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0 | code >> 12);
        tail(6), tail(0);
    } else {
        out += static_cast<char>(0xF0 | code >> 18);
        tail(12), tail(6), tail(0);
    }
}

std::string json_text(const std::string &text) {
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    std::string out = "\"";
    const Bytes bytes{reinterpret_cast<const uint8_t *>(text.data()), text.size()};
    for (size_t i = 0; i < bytes.size;) {
        const size_t length = utf8_length(bytes.from(i));
        const unsigned c = bytes.data[i];
        char buffer[8];
        if (length == 0 || (length == 1 && c < 0x20)) {
            std::snprintf(buffer, sizeof buffer, "\\u%04x", length == 0 ? 0xDC00u + c : c);
        }
        const char *named = nullptr;
        for (size_t k = 0; length == 1 && k + 1 < sizeof plain; ++k) {
            if (text[i] == plain[k]) named = letters + k;
        }
        if (named) {
            out += '\\';
            out += *named;
        } else if (length == 0 || c < 0x20) {
            out += buffer;
        } else {
            out.append(text, i, length);
        }
        i += length == 0 ? 1 : length;
    }
    return out + '"';
}

std::string decimal(uint32_t millionths) {
    char buffer[24];
    std::snprintf(buffer, sizeof buffer, "%u.%06u", millionths / 1000000, millionths % 1000000);
    return buffer;
}

std::string percent(uint32_t millionths) {
    char buffer[24];
    std::snprintf(buffer, sizeof buffer, "%.1f", millionths / 10000.0);
    return buffer;
}

std::string with_commas(uint64_t value) {
    std::string digits = std::to_string(value);
    for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
    return digits;
}

}  // namespace edgeglyph
