/* Runs a converted C file on what standard input holds, for test_c_format.py. NETWORK is the file,
 * N(x) the name of its function or type x, M(x) of its macro X. A record is a letter and data:
 * 'i' and 1,024 bytes of input: prints label, confidence, p_real and logits;
 * 'g', width and height (two bytes each, low first), pixels: prints the preprocessed bytes. */
#define PASTE(a, b) a##_##b
#define JOIN(a, b) PASTE(a, b)
#define N(x) JOIN(PREFIX, x)
#define M(x) JOIN(MACRO, x)
#include NETWORK

#include <stdio.h>
#include <stdlib.h>

static int8_t arena[M(ARENA_BYTES)];

static int classify(void) {
    static int8_t input[1024];
    N(result) found;
    uint32_t probabilities[M(CLASSES)];
    int i;
    if (fread(input, 1, sizeof input, stdin) != sizeof input) return 1;
    N(logits)(input, arena, found.logits);
    N(score)(&found, probabilities);
    printf("%u %lu %lu", found.label, (unsigned long)found.confidence, (unsigned long)found.p_real);
    for (i = 0; i < M(CLASSES); ++i) printf(" %ld", (long)found.logits[i]);
    for (i = 0; i < M(CLASSES); ++i) printf(" %lu", (unsigned long)probabilities[i]);
    putchar('\n');
    return 0;
}

static int preprocess(void) {
    int8_t input[1024];
    uint8_t sizes[4], *gray;
    uint32_t width, height;
    int i;
    if (fread(sizes, 1, 4, stdin) != 4) return 1;
    width = sizes[0] + 256u * sizes[1];
    height = sizes[2] + 256u * sizes[3];
    gray = malloc((size_t)width * height);
    if (!gray || fread(gray, 1, (size_t)width * height, stdin) != (size_t)width * height) return 1;
    if (N(preprocess)(gray, width, height, width, input) != 0) return 1;
    for (i = 0; i < 1024; ++i) printf("%d ", input[i]);
    putchar('\n');
    free(gray);
    return 0;
}

int main(void) {
    int kind, failed = N(self_test)(arena);
    while (!failed && (kind = getchar()) != EOF) failed = kind == 'i' ? classify() : preprocess();
    return failed;
}
