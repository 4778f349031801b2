// The harness around the Verilated core: a clock, queues for the streams, random pauses.
#include "core_model.h"

#include <cstring>
#include <deque>
#include <memory>

#include "Veg_core.h"
#include "verilated.h"

namespace {

constexpr int reset_cycles = 8, patience = 4096;

struct Beat {
    uint64_t data;
    bool last;
};

}  // namespace

// Powers up with random bits in every register and memory, the same in each run: what works only
// because a simulator starts with zeros is found.
struct Context : VerilatedContext {
    Context() {
        randReset(2);
        randSeed(1);
    }
};

struct egc_model {
    Context context;
    Veg_core core{&context};
    std::deque<Beat> queues[EGC_STREAMS];
    bool offered[EGC_STREAMS] = {};  // a beat that has been offered stays until it is taken
    std::deque<Beat> logits;
    uint32_t random = 1;
    int chance = 0;
    uint64_t cycles = 0;
    Beat waiting{0, false};  // a logit that was offered and not taken: it must stay
    bool waits = false;
    uint64_t violations = 0;

    ~egc_model() { core.final(); }

    bool pauses() {
        if (chance == 0) return false;
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        return static_cast<int>(random >> 24) < chance;
    }

    bool offer(int stream) {
        if (queues[stream].empty()) return false;
        if (!offered[stream]) offered[stream] = !pauses();
        return offered[stream];
    }

    void take(int stream) {
        queues[stream].pop_front();
        offered[stream] = false;
    }

    // One clock cycle; the caller has set the AXI4-Lite inputs. Outputs are those before the edge
    // once `settle` has returned, and after it when `edge` has.
    void settle() {
        const Beat none{0, false};
        core.i_program_tvalid = offer(EGC_PROGRAM);
        const Beat program = core.i_program_tvalid ? queues[EGC_PROGRAM].front() : none;
        core.i_program_tdata = static_cast<uint32_t>(program.data);
        core.i_program_tlast = program.last;
        core.i_weights_tvalid = offer(EGC_WEIGHTS);
        const Beat weights = core.i_weights_tvalid ? queues[EGC_WEIGHTS].front() : none;
        core.i_weights_tdata = weights.data;
        core.i_weights_tlast = weights.last;
        core.i_image_tvalid = offer(EGC_IMAGE);
        const Beat image = core.i_image_tvalid ? queues[EGC_IMAGE].front() : none;
        core.i_image_tdata = static_cast<uint32_t>(image.data);
        core.i_image_tlast = image.last;
        core.i_logits_tready = !pauses();
        core.i_clk = 0;
        core.eval();
    }

    void edge() {
        if (core.i_program_tvalid && core.o_program_tready) take(EGC_PROGRAM);
        if (core.i_weights_tvalid && core.o_weights_tready) take(EGC_WEIGHTS);
        if (core.i_image_tvalid && core.o_image_tready) take(EGC_IMAGE);
        if (waits && (!core.o_logits_tvalid || core.o_logits_tdata != waiting.data ||
                      (core.o_logits_tlast != 0) != waiting.last)) {
            ++violations;
        }
        waits = core.o_logits_tvalid && !core.i_logits_tready;
        waiting = {core.o_logits_tdata, core.o_logits_tlast != 0};
        if (core.o_logits_tvalid && core.i_logits_tready) {
            logits.push_back({core.o_logits_tdata, core.o_logits_tlast != 0});
        }
        core.i_clk = 1;
        core.eval();
        ++cycles;
    }

    void tick() {
        settle();
        edge();
    }
};

egc_model *egc_open(void) {
    return egc_open_with(nullptr);
}

egc_model *egc_open_with(const char *plusarg) {
    std::unique_ptr<egc_model> model(new egc_model);
    const char *arguments[] = {"core_model", plusarg};
    model->context.commandArgs(plusarg ? 2 : 1, arguments);
    model->core.i_wstrb = 0xF;
    egc_reset(model.get());
    return model.release();
}

void egc_close(egc_model *model) {
    delete model;
}

void egc_reset(egc_model *model) {
    for (int stream = 0; stream < EGC_STREAMS; ++stream) egc_drop(model, stream);
    model->logits.clear();
    model->core.i_rst_n = 0;
    for (int i = 0; i < reset_cycles; ++i) model->tick();
    model->core.i_rst_n = 1;
    model->tick();
}

int egc_write(egc_model *model, uint32_t address, uint32_t value) {
    Veg_core &core = model->core;
    core.i_awaddr = static_cast<uint8_t>(address);
    core.i_wdata = value;
    bool address_taken = false, data_taken = false, answered = false;
    for (int i = 0; i < patience && !(address_taken && data_taken); ++i) {
        if (!core.i_awvalid) core.i_awvalid = !address_taken && !model->pauses();
        if (!core.i_wvalid) core.i_wvalid = !data_taken && !model->pauses();
        model->settle();
        address_taken |= core.i_awvalid && core.o_awready;
        data_taken |= core.i_wvalid && core.o_wready;
        model->edge();
        if (address_taken) core.i_awvalid = 0;
        if (data_taken) core.i_wvalid = 0;
    }
    core.i_awvalid = 0;
    core.i_wvalid = 0;
    if (!address_taken || !data_taken) return -1;
    for (int i = 0; i < patience && !answered; ++i) {
        core.i_bready = !model->pauses();
        model->settle();
        answered = core.o_bvalid && core.i_bready;
        model->edge();
    }
    core.i_bready = 0;
    return answered ? 0 : -1;
}

int egc_read(egc_model *model, uint32_t address, uint32_t *value) {
    Veg_core &core = model->core;
    core.i_araddr = static_cast<uint8_t>(address);
    core.i_arvalid = 1;
    bool answered = false;
    for (int i = 0; i < patience && !answered; ++i) {
        model->settle();
        answered = core.o_arready;
        model->edge();
    }
    core.i_arvalid = 0;
    if (!answered) return -1;
    answered = false;
    for (int i = 0; i < patience && !answered; ++i) {
        core.i_rready = !model->pauses();
        model->settle();
        answered = core.o_rvalid && core.i_rready;
        *value = core.o_rdata;
        model->edge();
    }
    core.i_rready = 0;
    return answered ? 0 : -1;
}

void egc_send(egc_model *model, int stream, const void *data, size_t beats, int last) {
    const size_t size = stream == EGC_WEIGHTS ? 8 : 4;
    const uint8_t *bytes = static_cast<const uint8_t *>(data);
    for (size_t i = 0; i < beats; ++i) {
        Beat beat{0, last && i + 1 == beats};
        std::memcpy(&beat.data, bytes + i * size, size);
        model->queues[stream].push_back(beat);
    }
}

size_t egc_pending(const egc_model *model, int stream) {
    return model->queues[stream].size();
}

void egc_drop(egc_model *model, int stream) {
    model->queues[stream].clear();
    model->offered[stream] = false;
}

size_t egc_receive(egc_model *model, int32_t *logits, uint8_t *last, size_t most) {
    size_t count = 0;
    for (; count < most && !model->logits.empty(); ++count) {
        const Beat beat = model->logits.front();
        model->logits.pop_front();
        logits[count] = static_cast<int32_t>(beat.data);
        last[count] = beat.last;
    }
    return count;
}

uint64_t egc_run(egc_model *model, uint64_t cycles, size_t logits, int until_interrupt) {
    for (uint64_t i = 0; i < cycles; ++i) {
        if (logits != 0 && model->logits.size() >= logits) return i;
        if (until_interrupt && model->core.o_irq) return i;
        model->tick();
    }
    return cycles;
}

void egc_pauses(egc_model *model, uint32_t seed, int chance) {
    model->random = seed ? seed : 1;
    model->chance = chance;
}

int egc_interrupt(const egc_model *model) {
    return model->core.o_irq;
}

uint64_t egc_violations(const egc_model *model) {
    return model->violations;
}

uint64_t egc_cycles(const egc_model *model) {
    return model->cycles;
}
