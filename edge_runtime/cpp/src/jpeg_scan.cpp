// JPEG's entropy-coded data: Huffman codes to coefficients, baseline and progressive.
#include "jpeg.h"

namespace edgeglyph::jpeg {

const uint8_t zigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                            12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                            35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                            58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

namespace {

int16_t narrow(int32_t value) {
    if (value < -32768 || value > 32767) throw Damage{"JPEG data"};
    return static_cast<int16_t>(value);
}

class BitReader {
public:
    explicit BitReader(Bytes data) : data_(data) {}

    // The next `count` bits (up to 16) to look at; zeros stand for what follows a marker.
    uint32_t peek(unsigned count) {
        while (held_ < count) {
            uint32_t next = 0;
            const bool more =
                at_ < data_.size &&
                (data_.data[at_] != 0xFF || (at_ + 1 < data_.size && data_.data[at_ + 1] == 0));
            if (more) {
                next = data_.data[at_];
                at_ += next == 0xFF ? 2 : 1;
            } else {
                missing_ += 8;
            }
            bits_ = bits_ << 8 | next;
            held_ += 8;
        }
        return bits_ >> (held_ - count) & ((1u << count) - 1);
    }
    void drop(unsigned count) {
        held_ -= count;
        if (held_ < missing_) throw Damage{"JPEG data"};
    }
    uint32_t take(unsigned count) {
        if (count == 0) return 0;
        const uint32_t value = peek(count);
        drop(count);
        return value;
    }
    // A number of `size` bits, negative ones by their complement.
    int32_t number(unsigned size) {
        if (size == 0) return 0;
        const int32_t value = static_cast<int32_t>(take(size));
        return value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
    }
    unsigned symbol(const HuffmanTable &table) {
        const uint16_t entry = table.quick[peek(8)];
        if (entry) {
            drop(entry >> 8);
            return entry & 255;
        }
        for (unsigned length = 9; length <= 16; ++length) {
            const int32_t code = static_cast<int32_t>(peek(length));
            if (code < table.limit[length]) {
                drop(length);
                return table.values[table.index[length] + code - table.first[length]];
            }
        }
        throw Damage{"JPEG data"};
    }
    // Past the marker RST`number`, with nothing left over before it.
    void restart(unsigned number) {
        held_ = missing_ = 0;
        bits_ = 0;
        if (data_.size - at_ < 2 || data_.data[at_] != 0xFF ||
            data_.data[at_ + 1] != 0xD0 + number) {
            throw Damage{"JPEG data"};
        }
        at_ += 2;
    }
    size_t used() const { return at_; }

private:
    Bytes data_;
    size_t at_ = 0;
    uint32_t bits_ = 0;
    unsigned held_ = 0, missing_ = 0;
};

class ScanDecoder {
public:
    ScanDecoder(const Scan &scan, bool progressive, Bytes data)
        : scan_(scan), progressive_(progressive), in_(data) {}

    size_t run(Frame &frame) {
        check();
        if (scan_.components.size() == 1) {
            Component &c = *scan_.components[0];
            for (uint32_t row = 0; row < c.blocks_high; ++row) {
                for (uint32_t column = 0; column < c.blocks_wide; ++column) {
                    begin_unit();
                    block(c, c.block(row, column));
                }
            }
            return in_.used();
        }
        for (uint32_t row = 0; row < frame.units_high; ++row) {
            for (uint32_t column = 0; column < frame.units_wide; ++column) {
                begin_unit();
                for (Component *c : scan_.components) unit(*c, row, column);
            }
        }
        return in_.used();
    }

private:
    void check() const {
        const bool dc = scan_.from == 0;
        if (progressive_ && (scan_.to > 63 || scan_.from > scan_.to || scan_.low > 13 ||
                             (dc && scan_.to != 0) || (!dc && scan_.components.size() != 1) ||
                             (scan_.high != 0 && scan_.high != scan_.low + 1))) {
            throw Damage{"JPEG data"};
        }
        unsigned blocks = 0;
        for (const Component *c : scan_.components) {
            blocks += unsigned{c->h} * c->v;
            const bool needs_dc = dc && scan_.high == 0, needs_ac = scan_.to > 0;
            if ((needs_dc && !c->dc->defined) || (needs_ac && !c->ac->defined)) {
                throw Damage{"JPEG data"};
            }
        }
        if (scan_.components.size() > 1 && blocks > 10) throw Damage{"JPEG data"};
    }

    void begin_unit() {
        if (scan_.restart_interval && units_ == scan_.restart_interval) {
            in_.restart(restarts_++ & 7);
            units_ = 0;
        }
        if (units_++ == 0) {
            end_of_band_run_ = 0;
            for (Component *c : scan_.components) c->last_dc = 0;
        }
    }

    void unit(Component &c, uint32_t row, uint32_t column) {
        for (uint32_t v = 0; v < c.v; ++v) {
            for (uint32_t h = 0; h < c.h; ++h) {
                block(c, c.block(row * c.v + v, column * c.h + h));
            }
        }
    }

    void block(Component &c, int16_t *values) {
        if (!progressive_) {
            first_dc(c, values);
            sequential_ac(*c.ac, values);
        } else if (scan_.from == 0) {
            if (scan_.high == 0) {
                first_dc(c, values);
            } else if (in_.take(1)) {
                values[0] = static_cast<int16_t>(values[0] | 1 << scan_.low);
            }
        } else if (scan_.high == 0) {
            first_ac(*c.ac, values);
        } else {
            refine_ac(*c.ac, values);
        }
    }

    void first_dc(Component &c, int16_t *values) {
        c.last_dc = narrow(c.last_dc + in_.number(in_.symbol(*c.dc)));
        values[0] = narrow(c.last_dc * (1 << scan_.low));
    }

    void sequential_ac(const HuffmanTable &table, int16_t *values) {
        for (unsigned k = 1; k < 64; ++k) {
            const unsigned symbol = in_.symbol(table), size = symbol & 15;
            if (size == 0) {
                if (symbol != 0xF0) return;
                k += 15;
                continue;
            }
            k += symbol >> 4;
            if (k > 63) throw Damage{"JPEG data"};
            values[zigzag[k]] = narrow(in_.number(size));
        }
    }

    void first_ac(const HuffmanTable &table, int16_t *values) {
        if (end_of_band_run_ > 0) {
            --end_of_band_run_;
            return;
        }
        for (unsigned k = scan_.from; k <= scan_.to; ++k) {
            const unsigned symbol = in_.symbol(table), run = symbol >> 4, size = symbol & 15;
            if (size == 0) {
                if (run < 15) {
                    end_of_band_run_ = (1u << run) - 1 + in_.take(run);
                    return;
                }
                k += 15;
                continue;
            }
            k += run;
            if (k > scan_.to) throw Damage{"JPEG data"};
            values[zigzag[k]] = narrow(in_.number(size) * (1 << scan_.low));
        }
    }

    // One more bit of a coefficient that is not zero.
    void refine(int16_t &value) {
        const int32_t bit = 1 << scan_.low;
        if (in_.take(1) && (value & bit) == 0) {
            value = narrow(value >= 0 ? value + bit : value - bit);
        }
    }

    void refine_ac(const HuffmanTable &table, int16_t *values) {
        unsigned k = scan_.from;
        if (end_of_band_run_ == 0) {
            for (; k <= scan_.to; ++k) {
                const unsigned symbol = in_.symbol(table), size = symbol & 15;
                unsigned run = symbol >> 4;
                int32_t value = 0;
                if (size > 1) throw Damage{"JPEG data"};
                if (size == 1) {
                    value = in_.take(1) ? 1 << scan_.low : -(1 << scan_.low);
                } else if (run < 15) {
                    end_of_band_run_ = (1u << run) + in_.take(run);
                    break;
                }
                // Pass over `run` zeros; what is not zero on the way gets its bit.
                for (; k <= scan_.to; ++k) {
                    int16_t &found = values[zigzag[k]];
                    if (found != 0) {
                        refine(found);
                    } else if (run-- == 0) {
                        break;
                    }
                }
                if (value != 0) {
                    if (k > scan_.to) throw Damage{"JPEG data"};
                    values[zigzag[k]] = narrow(value);
                }
            }
        }
        if (end_of_band_run_ > 0) {
            for (; k <= scan_.to; ++k) {
                if (values[zigzag[k]] != 0) refine(values[zigzag[k]]);
            }
            --end_of_band_run_;
        }
    }

    const Scan &scan_;
    bool progressive_;
    BitReader in_;
    uint32_t units_ = 0;
    unsigned restarts_ = 0;
    uint32_t end_of_band_run_ = 0;
};

}  // namespace

HuffmanTable make_table(const uint8_t *counts, const uint8_t *values) {
    HuffmanTable table;
    table.defined = true;
    int32_t code = 0, index = 0;
    for (unsigned length = 1; length <= 16; ++length, code <<= 1) {
        table.first[length] = code;
        table.index[length] = index;
        for (unsigned i = 0; i < counts[length - 1]; ++i, ++code, ++index) {
            table.values[index] = values[index];
            if (length > 8) continue;
            const unsigned free = 8 - length;
            for (unsigned k = 0; k < 1u << free; ++k) {
                const unsigned at = (static_cast<unsigned>(code) << free) + k;
                if (at > 255) throw Damage{"JPEG data"};
                table.quick[at] = static_cast<uint16_t>(length << 8 | values[index]);
            }
        }
        table.limit[length] = code;
        if (code > 1 << length) throw Damage{"JPEG data"};
    }
    return table;
}

size_t decode_scan(Frame &frame, const Scan &scan, Bytes data) {
    return ScanDecoder(scan, frame.progressive, data).run(frame);
}

}  // namespace edgeglyph::jpeg
