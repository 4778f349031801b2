/* Classify characters by a converted C file: classify IMAGE.pgm…
 *
 *     cc -O2 -I FOLDER classify.c FOLDER/scene62.c -o classify      (FOLDER is build/convert/c)
 *
 * For a network of another name, put it in place of scene62 and SCENE62. */
#define SCENE62_DECLARATIONS_ONLY
#include "scene62.c"

#include <stdio.h>
#include <stdlib.h>

/* Pixels of a binary PGM of 8 bits without comments; NULL where it is none. */
static uint8_t *read_pgm(const char *path, unsigned *width, unsigned *height) {
    FILE *file = fopen(path, "rb");
    uint8_t *pixels = NULL;
    unsigned most = 0;
    if (!file) return NULL;
    if (fscanf(file, "P5 %u %u %u", width, height, &most) == 3 && most == 255 &&
        fgetc(file) != EOF && *width > 0 && *width <= 16384 && *height > 0 && *height <= 16384) {
        const size_t size = (size_t)*width * *height;
        pixels = malloc(size);
        if (pixels && fread(pixels, 1, size, file) != size) {
            free(pixels);
            pixels = NULL;
        }
    }
    fclose(file);
    return pixels;
}

int main(int count, char **paths) {
    static int8_t arena[SCENE62_ARENA_BYTES];
    int i, failed = 0;
    for (i = 1; i < count; ++i) {
        unsigned width, height;
        uint8_t *gray = read_pgm(paths[i], &width, &height);
        scene62_result found;
        if (!gray || scene62_classify(gray, width, height, width, arena, &found) != 0) {
            fprintf(stderr, "%s: not a binary PGM of 8 bits\n", paths[i]);
            failed = 2;
        } else {
            printf("%s\t%s\t%lu.%06lu\t%lu.%06lu\n", paths[i], scene62_symbols[found.label],
                   (unsigned long)found.confidence / 1000000,
                   (unsigned long)found.confidence % 1000000, (unsigned long)found.p_real / 1000000,
                   (unsigned long)found.p_real % 1000000);
        }
        free(gray);
    }
    return failed;
}
