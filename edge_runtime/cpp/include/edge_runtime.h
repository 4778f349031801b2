/* EdgeGlyph's runtime as a C library: open a bundle, classify images, close.
 *
 * There is no global state. A classifier may be used by any number of threads at once; each call
 * that runs at the same time as others takes a workspace of its own (see eg_workspace_bytes), made
 * on first use and kept for later calls. No C++ exception leaves these functions.
 *
 * Functions that can fail return an eg_status and, on failure, write one line of text into `error`
 * (cut to error_size bytes with its zero; may be NULL with error_size 0).
 */
#ifndef EDGE_RUNTIME_H
#define EDGE_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EG_API __attribute__((visibility("default")))
#else
#define EG_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define EG_ABI 2 /* grows when a function or a struct here changes */

typedef enum eg_status {
    EG_OK = 0,
    EG_NOT_VERIFIED = 1, /* the self-test failed: this bundle, or this machine, cannot be trusted */
    EG_BAD_INPUT = 2,    /* a bundle, image or argument that cannot be used */
    EG_NO_MEMORY = 3
} eg_status;

typedef struct eg_classifier eg_classifier;

/* A gray picture: row y starts at pixels + y * stride; 0 is black. Not copied, not kept. */
typedef struct eg_image {
    const uint8_t *pixels;
    uint32_t width, height; /* 1 to 16,384 each, at most 64 million pixels */
    size_t stride;          /* bytes from row to row, at least width */
} eg_image;

/* Probabilities are in millionths: 983211 is 0.983211. */
typedef struct eg_prediction {
    uint32_t label;      /* class number; eg_symbol() gives its text */
    uint32_t confidence; /* probability of that class */
    uint32_t p_real;     /* probability that the picture is a character at all */
} eg_prediction;

/* EG_ABI of the library, and its release, for example "0.1.0". */
EG_API int eg_abi(void);
EG_API const char *eg_version(void);

/* Read a bundle and run its self-test. `isa` names the instruction set of the engine's inner
 * loops: scalar, avx2, avx512vnni, neon or neon-dot; NULL or "auto" take the fastest that this
 * processor has. All give the same integers; one that the processor lacks is refused. */
EG_API eg_status eg_open(const char *path, const char *isa, eg_classifier **classifier, char *error,
                         size_t error_size);

/* The same of a bundle in memory, which is copied. `name` stands for it in messages. */
EG_API eg_status eg_open_memory(const void *data, size_t size, const char *name, const char *isa,
                                eg_classifier **classifier, char *error, size_t error_size);

/* No other call may be using the classifier. NULL is allowed. */
EG_API void eg_close(eg_classifier *classifier);

/* What the bundle is; texts are UTF-8 and live as long as the classifier. */
EG_API const char *eg_name(const eg_classifier *classifier);
EG_API const char *eg_isa(const eg_classifier *classifier); /* the one chosen */
EG_API uint32_t eg_classes(const eg_classifier *classifier);
EG_API const char *eg_symbol(const eg_classifier *classifier, uint32_t label); /* NULL if none */
EG_API size_t eg_workspace_bytes(const eg_classifier *classifier);

/* Classify one gray picture. `logits` and `probabilities` receive eg_classes() values each, the
 * network's integers and millionths; either may be NULL. */
EG_API eg_status eg_classify(const eg_classifier *classifier, const eg_image *image,
                             eg_prediction *prediction, int32_t *logits, uint32_t *probabilities,
                             char *error, size_t error_size);

/* Classify `count` pictures on up to `threads` threads (0: as many as the machine has).
 * `predictions` has `count` entries, `logits` and `probabilities` count * eg_classes() or NULL. */
EG_API eg_status eg_classify_batch(const eg_classifier *classifier, const eg_image *images,
                                   size_t count, unsigned threads, eg_prediction *predictions,
                                   int32_t *logits, uint32_t *probabilities, char *error,
                                   size_t error_size);

/* Run the network alone on preprocessed inputs, int8 [count][32][32][1] (docs/preprocessing.md);
 * `logits` is [count][eg_classes()]. */
EG_API eg_status eg_run(const eg_classifier *classifier, const int8_t *inputs, size_t count,
                        unsigned threads, int32_t *logits, char *error, size_t error_size);

/* Decode a PNG, JPEG, BMP, PGM or PPM file's bytes into gray pixels, which eg_free_image releases.
 * `name` stands for it in messages. */
EG_API eg_status eg_decode(const void *data, size_t size, const char *name, eg_image *image,
                           char *error, size_t error_size);
EG_API void eg_free_image(eg_image *image);

#ifdef __cplusplus
}
#endif

#endif
