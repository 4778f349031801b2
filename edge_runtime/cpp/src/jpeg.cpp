// JPEG files, baseline and progressive with Huffman coding: the markers. Its samples are those that
// libjpeg and libjpeg-turbo make in their default settings (accurate integer transform, smooth
// upsampling), bit for bit.
#include "jpeg.h"

#include <algorithm>
#include <cstring>

namespace edgeglyph {
namespace jpeg {
namespace {

constexpr unsigned last_baseline = 0xC1, progressive = 0xC2;

class Decoder {
public:
    explicit Decoder(Bytes file) : file_(file) {}

    Image run() {
        at_ = 2;
        while (!done_) {
            const unsigned marker = next_marker();
            if (marker == 0xD9) break;
            segment(marker);
        }
        if (scans_ == 0) throw Damage{"JPEG data"};
        for (Component &component : frame_.components) {
            if (!frame_.has_quantization[component.quantization]) throw Damage{"JPEG data"};
            transform(frame_.quantization[component.quantization], component);
        }
        Image image{frame_.width, frame_.height, {}};
        image.pixels.resize(size_t{frame_.width} * frame_.height);
        to_gray(frame_, image);
        return image;
    }

private:
    // Past anything that is no marker, as every JPEG reader does.
    unsigned next_marker() {
        for (; at_ + 1 < file_.size; ++at_) {
            const unsigned second = file_.data[at_ + 1];
            if (file_.data[at_] == 0xFF && second != 0 && second != 0xFF &&
                !(second >= 0xD0 && second <= 0xD7)) {
                at_ += 2;
                return second;
            }
        }
        throw Damage{"JPEG data"};
    }

    void segment(unsigned marker) {
        if (marker == 0x01 || marker == 0xD8) throw Damage{"JPEG data"};
        if (file_.size - at_ < 2) throw Damage{"JPEG data"};
        const size_t length = big16(file_.data + at_);
        if (length < 2 || length > file_.size - at_) throw Damage{"JPEG data"};
        const Bytes content = file_.part(at_ + 2, length - 2);
        at_ += length;
        switch (marker) {
            case 0xC4: return huffman_tables(content);
            case 0xDB: return quantization_tables(content);
            case 0xDD:
                if (content.size != 2) throw Damage{"JPEG data"};
                restart_interval_ = big16(content.data);
                return;
            case 0xDA: return scan(content);
            case 0xE0: frame_.jfif = frame_.jfif || begins(content, "JFIF", 5); return;
            case 0xEE:
                if (begins(content, "Adobe", 5) && content.size >= 12) {
                    frame_.adobe = true;
                    frame_.adobe_transform = content.data[11];
                }
                return;
            default: break;
        }
        if (marker >= 0xC0 && marker <= progressive) return frame(marker, content);
        if (marker > progressive && marker <= 0xCF) throw Damage{"JPEG coding"};
        if (marker == 0xDC) throw Damage{"JPEG coding"};
    }

    static bool begins(Bytes bytes, const char *text, size_t size) {
        return bytes.size >= size && std::memcmp(bytes.data, text, size) == 0;
    }

    void quantization_tables(Bytes content) {
        while (content.size > 0) {
            const unsigned wide = content.data[0] >> 4, number = content.data[0] & 15;
            const size_t size = wide ? 128 : 64;
            if (wide > 1 || number > 3 || content.size < 1 + size) throw Damage{"JPEG data"};
            const uint8_t *p = content.data + 1;
            for (size_t i = 0; i < 64; ++i) {
                frame_.quantization[number][zigzag[i]] = wide ? big16(p + 2 * i) : p[i];
            }
            // A table that a later scan replaces has been used by then: components keep none here.
            if (scans_ > 0) throw Damage{"JPEG coding"};
            frame_.has_quantization[number] = true;
            content = content.from(1 + size);
        }
    }

    void huffman_tables(Bytes content) {
        while (content.size > 0) {
            if (content.size < 17) throw Damage{"JPEG data"};
            const unsigned kind = content.data[0] >> 4, number = content.data[0] & 15;
            size_t count = 0;
            for (size_t i = 1; i <= 16; ++i) count += content.data[i];
            if (kind > 1 || number > 3 || count > 256 || content.size < 17 + count) {
                throw Damage{"JPEG data"};
            }
            const uint8_t *values = content.data + 17;
            for (size_t i = 0; kind == 0 && i < count; ++i) {
                if (values[i] > 15) throw Damage{"JPEG data"};
            }
            (kind ? ac_ : dc_)[number] = make_table(content.data + 1, values);
            content = content.from(17 + count);
        }
    }

    void frame(unsigned marker, Bytes content) {
        if (!frame_.components.empty() || content.size < 6) throw Damage{"JPEG data"};
        const uint8_t *p = content.data;
        if (p[0] != 8) throw Damage{"JPEG coding"};
        frame_.progressive = marker > last_baseline;
        frame_.height = big16(p + 1);
        frame_.width = big16(p + 3);
        check_size(frame_.width, frame_.height);
        const size_t count = p[5];
        if (content.size != 6 + 3 * count) throw Damage{"JPEG data"};
        if (count != 1 && count != 3 && count != 4) throw Damage{"JPEG coding"};
        for (size_t i = 0; i < count; ++i) {
            const uint8_t *c = p + 6 + 3 * i;
            Component component;
            component.id = c[0];
            component.h = c[1] >> 4, component.v = c[1] & 15;
            component.quantization = c[2];
            if (component.h < 1 || component.h > 4 || component.v < 1 || component.v > 4 ||
                component.quantization > 3) {
                throw Damage{"JPEG data"};
            }
            for (const Component &other : frame_.components) {
                if (other.id == component.id) throw Damage{"JPEG data"};
            }
            frame_.h_max = std::max<unsigned>(frame_.h_max, component.h);
            frame_.v_max = std::max<unsigned>(frame_.v_max, component.v);
            frame_.components.push_back(std::move(component));
        }
        lay_out();
    }

    void lay_out() {
        Frame &f = frame_;
        const auto divided = [](uint32_t a, uint32_t b) { return (a + b - 1) / b; };
        f.units_wide = divided(f.width, 8 * f.h_max);
        f.units_high = divided(f.height, 8 * f.v_max);
        uint64_t blocks = 0;
        for (Component &c : f.components) {
            if (f.h_max % c.h || f.v_max % c.v) throw Damage{"JPEG coding"};
            c.width = divided(f.width * c.h, f.h_max);
            c.height = divided(f.height * c.v, f.v_max);
            c.blocks_wide = divided(c.width, 8);
            c.blocks_high = divided(c.height, 8);
            c.stride = f.units_wide * c.h;
            c.rows = f.units_high * c.v;
            blocks += uint64_t{c.blocks_wide} * c.blocks_high;
        }
        // A block takes one bit at least: no memory for what cannot be there.
        if (blocks > 8 * uint64_t{file_.size}) throw Damage{"JPEG data"};
        for (Component &c : f.components) c.coefficients.resize(size_t{c.stride} * c.rows * 64);
    }

    Component &component_of(uint8_t id) {
        for (Component &c : frame_.components) {
            if (c.id == id) return c;
        }
        throw Damage{"JPEG data"};
    }

    void scan(Bytes content) {
        if (frame_.components.empty() || content.size < 1) throw Damage{"JPEG data"};
        const size_t count = content.data[0];
        if (count < 1 || count > 4 || content.size != 4 + 2 * count || ++scans_ > 256) {
            throw Damage{"JPEG data"};
        }
        Scan scan;
        scan.restart_interval = restart_interval_;
        for (size_t i = 0; i < count; ++i) {
            const uint8_t *p = content.data + 1 + 2 * i;
            Component &component = component_of(p[0]);
            for (const Component *other : scan.components) {
                if (other == &component) throw Damage{"JPEG data"};
            }
            if (p[1] >> 4 > 3 || (p[1] & 15) > 3) throw Damage{"JPEG data"};
            component.dc = &dc_[p[1] >> 4];
            component.ac = &ac_[p[1] & 15];
            scan.components.push_back(&component);
        }
        const uint8_t *p = content.data + 1 + 2 * count;
        if (frame_.progressive) {
            scan.from = p[0], scan.to = p[1], scan.high = p[2] >> 4, scan.low = p[2] & 15;
        }
        at_ += decode_scan(frame_, scan, file_.from(at_));
        // A picture in one scan is complete here; the end marker may be missing.
        done_ = !frame_.progressive && count == frame_.components.size();
    }

    Bytes file_;
    size_t at_ = 0;
    Frame frame_;
    HuffmanTable dc_[4], ac_[4];
    uint32_t restart_interval_ = 0;
    int scans_ = 0;
    bool done_ = false;
};

}  // namespace
}  // namespace jpeg

Image decode_jpeg(Bytes file) {
    return jpeg::Decoder(file).run();
}

}  // namespace edgeglyph
