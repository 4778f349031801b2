#include "inflate.h"

#include <algorithm>

namespace edgeglyph {
namespace {

struct Broken {};

constexpr int max_bits = 15, quick_bits = 9;

class BitReader {
public:
    explicit BitReader(Bytes bytes) : bytes_(bytes) {}

    // At least `count` bits (up to 25) to look at, zeros after the end.
    uint32_t peek(int count) {
        while (held_ < count) {
            const uint32_t next = at_ < bytes_.size ? bytes_.data[at_] : 0;
            ++at_;
            bits_ |= next << held_;
            held_ += 8;
        }
        return bits_ & ((1u << count) - 1);
    }
    void drop(int count) {
        bits_ >>= count;
        held_ -= count;
        if (at_ > bytes_.size && (at_ - bytes_.size) * 8 > static_cast<size_t>(held_)) {
            throw Broken{};  // bits after the end were used
        }
    }
    uint32_t take(int count) {
        const uint32_t value = peek(count);
        drop(count);
        return value;
    }
    // The bytes from the next whole one on.
    Bytes rest() {
        const size_t back = static_cast<size_t>(held_ / 8);
        at_ -= back;
        bits_ = 0, held_ = 0;
        return bytes_.from(std::min(at_, bytes_.size));
    }
    void skip(size_t count) { at_ += count; }

private:
    Bytes bytes_;
    size_t at_ = 0;
    uint32_t bits_ = 0;
    int held_ = 0;
};

// A canonical prefix code: short codes from a table, longer ones bit by bit.
class Code {
public:
    // Codes that leave bit patterns unused are refused; a single code of one bit, or none at all,
    // is allowed where `may_be_single`.
    Code(const uint8_t *lengths, size_t count, bool may_be_single) {
        for (size_t i = 0; i < count; ++i) ++counts_[lengths[i]];
        counts_[0] = 0;
        int left = 1;
        for (int length = 1; length <= max_bits; ++length) {
            left = 2 * left - counts_[length];
            if (left < 0) throw Broken{};
        }
        const bool single = may_be_single && left == 1 << (max_bits - 1) && counts_[1] == 1;
        const bool none = may_be_single && left == 1 << max_bits;
        if (left > 0 && !single && !none) throw Broken{};
        uint16_t offsets[max_bits + 2] = {};
        for (int n = 1; n <= max_bits; ++n) {
            offsets[n + 1] = static_cast<uint16_t>(offsets[n] + counts_[n]);
        }
        for (size_t i = 0; i < count; ++i) {
            if (lengths[i]) symbols_[offsets[lengths[i]]++] = static_cast<uint16_t>(i);
        }
        fill_quick();
    }

    int decode(BitReader &in) const {
        const uint16_t entry = quick_[in.peek(quick_bits)];
        if (entry) {
            in.drop(entry & 15);
            return entry >> 4;
        }
        const uint32_t bits = in.peek(max_bits);
        int code = 0, first = 0, index = 0;
        for (int length = 1; length <= max_bits; ++length) {
            code |= static_cast<int>(bits >> (length - 1) & 1);
            if (code - first < counts_[length]) {
                in.drop(length);
                return symbols_[index + code - first];
            }
            index += counts_[length];
            first = (first + counts_[length]) << 1;
            code <<= 1;
        }
        throw Broken{};
    }

private:
    void fill_quick() {
        uint32_t code = 0;
        size_t index = 0;
        for (int length = 1; length <= quick_bits; ++length, code <<= 1) {
            for (int k = 0; k < counts_[length]; ++k, ++code, ++index) {
                uint32_t reversed = 0;
                for (int b = 0; b < length; ++b) reversed |= (code >> b & 1) << (length - 1 - b);
                const int entry = symbols_[index] << 4 | length;
                for (uint32_t i = reversed; i < 1u << quick_bits; i += 1u << length) {
                    quick_[i] = static_cast<uint16_t>(entry);
                }
            }
        }
    }

    int counts_[max_bits + 1] = {};
    uint16_t symbols_[288] = {};
    uint16_t quick_[1 << quick_bits] = {};  // symbol << 4 | length, 0 where the code is longer
};

class Inflater {
public:
    Inflater(Bytes stream, size_t size, std::vector<uint8_t> &out)
        : in_(stream), size_(size), out_(out) {}

    void run() {
        bool last = false;
        while (!last) {
            last = in_.take(1) != 0;
            switch (in_.take(2)) {
                case 0: stored(); break;
                case 1: fixed(); break;
                case 2: dynamic(); break;
                default: throw Broken{};
            }
        }
    }

    Bytes rest() { return in_.rest(); }

private:
    void need(size_t count) const {
        if (count > size_ - out_.size()) throw Broken{};
    }

    void stored() {
        const Bytes rest = in_.rest();
        if (rest.size < 4) throw Broken{};
        const size_t length = little16(rest.data);
        if ((length ^ little16(rest.data + 2)) != 0xFFFF || rest.size - 4 < length) throw Broken{};
        need(length);
        out_.insert(out_.end(), rest.data + 4, rest.data + 4 + length);
        in_.skip(4 + length);
    }

    void fixed() {
        uint8_t lengths[288], distances[32];
        for (size_t i = 0; i < 288; ++i) {
            lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        }
        std::fill_n(distances, 32, uint8_t{5});
        block(Code(lengths, 288, false), Code(distances, 32, false));
    }

    void dynamic() {
        static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                          11, 4,  12, 3, 13, 2, 14, 1, 15};
        const size_t literals = in_.take(5) + 257, distances = in_.take(5) + 1;
        const size_t used = in_.take(4) + 4;
        if (literals > 286 || distances > 30) throw Broken{};
        uint8_t lengths[286 + 30] = {}, code_lengths[19] = {};
        for (size_t i = 0; i < used; ++i)
            code_lengths[order[i]] = static_cast<uint8_t>(in_.take(3));
        const Code code(code_lengths, 19, false);
        for (size_t i = 0; i < literals + distances;) {
            const int symbol = code.decode(in_);
            if (symbol < 16) {
                lengths[i++] = static_cast<uint8_t>(symbol);
                continue;
            }
            if (symbol == 16 && i == 0) throw Broken{};
            const uint8_t value = symbol == 16 ? lengths[i - 1] : uint8_t{0};
            const size_t repeat = symbol == 16   ? 3 + in_.take(2)
                                  : symbol == 17 ? 3 + in_.take(3)
                                                 : 11 + in_.take(7);
            if (repeat > literals + distances - i) throw Broken{};
            std::fill_n(lengths + i, repeat, value);
            i += repeat;
        }
        if (lengths[256] == 0) throw Broken{};
        block(Code(lengths, literals, true), Code(lengths + literals, distances, true));
    }

    void block(const Code &literals, const Code &distances) {
        static const uint16_t length_base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                 15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                 67, 83, 99, 115, 131, 163, 195, 227, 258};
        static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
        for (;;) {
            const int symbol = literals.decode(in_);
            if (symbol == 256) return;
            if (symbol < 256) {
                need(1);
                out_.push_back(static_cast<uint8_t>(symbol));
                continue;
            }
            if (symbol > 285) throw Broken{};
            const size_t length = length_base[symbol - 257] + in_.take(length_bits[symbol - 257]);
            copy(distance(distances.decode(in_)), length);
        }
    }

    size_t distance(int symbol) {
        if (symbol > 29) throw Broken{};
        if (symbol < 4) return static_cast<size_t>(symbol) + 1;
        const int bits = symbol / 2 - 1;
        return (size_t{2} + static_cast<size_t>(symbol % 2)) * (size_t{1} << bits) +
               in_.take(bits) + 1;
    }

    void copy(size_t distance, size_t length) {
        if (distance > out_.size()) throw Broken{};
        need(length);
        for (size_t i = 0; i < length; ++i) out_.push_back(out_[out_.size() - distance]);
    }

    BitReader in_;
    size_t size_;
    std::vector<uint8_t> &out_;
};

uint32_t adler32(const std::vector<uint8_t> &bytes) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < bytes.size();) {
        const size_t end = std::min(bytes.size(), i + 5552);  // as long as b cannot overflow
        for (; i < end; ++i) a += bytes[i], b += a;
        a %= 65521, b %= 65521;
    }
    return b << 16 | a;
}

}  // namespace

bool inflate(Bytes stream, size_t size, std::vector<uint8_t> &out) {
    out.clear();
    if (stream.size < 6) return false;
    const unsigned method = stream.data[0], flags = stream.data[1];
    if ((method & 15) != 8 || method >> 4 > 7 || (method * 256 + flags) % 31 != 0 || flags & 32) {
        return false;
    }
    // Deflate makes at most 1,032 bytes of one: no memory for what cannot be there.
    if (size / 1032 > stream.size) return false;
    out.reserve(size);
    Inflater inflater(stream.from(2), size, out);
    try {
        inflater.run();
    } catch (const Broken &) {
        return false;
    }
    const Bytes rest = inflater.rest();
    if (out.size() != size || rest.size < 4) return false;
    return !checksums_matter || big32(rest.data) == adler32(out);
}

}  // namespace edgeglyph
