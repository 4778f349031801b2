/* The C API as a C program uses it: one classifier, four threads, every
 * function once. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_runtime.h"

struct job {
    const eg_classifier *classifier;
    const eg_image *image;
    eg_prediction expected;
    int wrong;
};

static void *work(void *argument) {
    struct job *job = argument;
    for (int i = 0; i < 200; ++i) {
        eg_prediction found;
        if (eg_classify(job->classifier, job->image, &found, NULL, NULL, NULL, 0) != EG_OK ||
            memcmp(&found, &job->expected, sizeof found) != 0) {
            ++job->wrong;
        }
    }
    return NULL;
}

static unsigned char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    unsigned char *bytes = malloc(1 << 20);
    *size = bytes ? fread(bytes, 1, 1 << 20, file) : 0;
    fclose(file);
    return bytes;
}

static int fail(const char *what, const char *error) {
    fprintf(stderr, "%s: %s\n", what, error);
    return 1;
}

int main(int count, char **arguments) {
    char error[256];
    eg_classifier *classifier = NULL;
    eg_image image;
    size_t size = 0;
    if (count != 3 || eg_abi() != EG_ABI || eg_version()[0] == 0) return fail("usage", "");
    if (eg_open("none.egb", NULL, &classifier, error, sizeof error) != EG_BAD_INPUT ||
        classifier != NULL || !strstr(error, "none.egb: no such bundle")) {
        return fail("a missing bundle", error);
    }
    if (eg_open(arguments[1], "auto", &classifier, error, sizeof error) != EG_OK) {
        return fail("open", error);
    }
    unsigned char *file = read_all(arguments[2], &size);
    if (eg_decode("GIF89a", 6, "a.gif", &image, error, 8) != EG_BAD_INPUT || strlen(error) != 7) {
        return fail("a short message", error);
    }
    if (eg_decode(file, size, arguments[2], &image, error, sizeof error) != EG_OK) {
        return fail("decode", error);
    }
    const uint32_t classes = eg_classes(classifier);
    int32_t *logits = malloc(2 * classes * sizeof *logits);
    uint32_t *probabilities = malloc(2 * classes * sizeof *probabilities);
    eg_prediction both[2];
    const eg_image images[2] = {image, image};
    if (eg_classify_batch(classifier, images, 2, 2, both, logits, probabilities, error,
                          sizeof error) != EG_OK ||
        memcmp(&both[0], &both[1], sizeof both[0]) != 0 ||
        probabilities[classes + both[1].label] != both[1].confidence) {
        return fail("batch", error);
    }
    struct job jobs[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) {
        jobs[i] = (struct job){classifier, &image, both[0], 0};
        pthread_create(&threads[i], NULL, work, &jobs[i]);
    }
    for (int i = 0; i < 4; ++i) {
        pthread_join(threads[i], NULL);
        if (jobs[i].wrong) return fail("threads", "other answers");
    }
    eg_image bad = image;
    bad.stride = 0;
    if (eg_classify(classifier, &bad, &both[0], NULL, NULL, error, sizeof error) != EG_BAD_INPUT) {
        return fail("a bad stride", "accepted");
    }
    int8_t *input = calloc(32 * 32, 1);
    if (eg_run(classifier, input, 1, 1, logits + classes, error, sizeof error) != EG_OK ||
        eg_symbol(classifier, classes) != NULL || eg_workspace_bytes(classifier) == 0 ||
        strlen(eg_isa(classifier)) == 0) {
        return fail("the rest", error);
    }
    printf("%s: %u classes\n", eg_name(classifier), classes);
    printf("%s %u %u %d\n", eg_symbol(classifier, both[1].label), both[1].confidence,
           both[1].p_real, logits[0]);
    eg_free_image(&image);
    eg_close(classifier);
    eg_close(NULL);
    free(input), free(logits), free(probabilities), free(file);
    return 0;
}
