/* The core's Verilator model as a C library: its registers, its streams, its clock. */
#ifndef EDGEGLYPH_CORE_MODEL_H
#define EDGEGLYPH_CORE_MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EGC_EXPORT __attribute__((visibility("default")))

typedef struct egc_model egc_model;

enum { EGC_PROGRAM = 0, EGC_WEIGHTS = 1, EGC_IMAGE = 2, EGC_STREAMS = 3 };

EGC_EXPORT egc_model *egc_open(void);
/* The same, with an argument that the Verilog's $test$plusargs finds. */
EGC_EXPORT egc_model *egc_open_with(const char *plusarg);
EGC_EXPORT void egc_close(egc_model *model);

/* The reset line, held for some cycles; what the model has queued is dropped. */
EGC_EXPORT void egc_reset(egc_model *model);

/* AXI4-Lite; `address` in bytes. A transaction that is not answered in 4,096 cycles gives -1. */
EGC_EXPORT int egc_write(egc_model *model, uint32_t address, uint32_t value);
EGC_EXPORT int egc_read(egc_model *model, uint32_t address, uint32_t *value);

/* Queue beats of a stream: 32 bits each, of the weights 64. `last` marks the final one. */
EGC_EXPORT void egc_send(egc_model *model, int stream, const void *data, size_t beats, int last);

/* Beats of a stream that the core has not taken yet; those are forgotten by egc_drop. */
EGC_EXPORT size_t egc_pending(const egc_model *model, int stream);
EGC_EXPORT void egc_drop(egc_model *model, int stream);

/* Logits that came by the stream, and whether each was a packet's last; returns how many. */
EGC_EXPORT size_t egc_receive(egc_model *model, int32_t *logits, uint8_t *last, size_t most);

/* Let time pass; ends early when so many logits wait (0: never), or the interrupt comes. */
EGC_EXPORT uint64_t egc_run(egc_model *model, uint64_t cycles, size_t logits, int until_interrupt);

/* Each cycle, each stream and each AXI4-Lite channel pauses with this chance in 256. */
EGC_EXPORT void egc_pauses(egc_model *model, uint32_t seed, int chance);

EGC_EXPORT int egc_interrupt(const egc_model *model);
EGC_EXPORT uint64_t egc_cycles(const egc_model *model);
/* Times that a logit was offered, not taken, and gone or another in the next cycle; a reset and a
   change of who takes logits may do that, nothing else. */
EGC_EXPORT uint64_t egc_violations(const egc_model *model);

#ifdef __cplusplus
}
#endif
#endif
