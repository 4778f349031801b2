/* Preloaded into what runs on the tests' board, a folder of this machine behind a real ssh server.
   It does what that machine's kernel lacks: runs armhf programs, by the emulator that
   BOARD_EMULATOR names (as binfmt_misc would), and, while the file BOARD_FULL exists, has a full
   disk. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { most_bytes = 100000, most_arguments = 4000, machine_arm = 40 };

static int is_for_arm(const char *path) {
    unsigned char header[20] = {0};
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    const ssize_t got = read(file, header, sizeof header);
    close(file);
    return got == sizeof header && !memcmp(header, "\177ELF", 4) && header[18] == machine_arm;
}

int execve(const char *path, char *const arguments[], char *const environment[]) {
    char *emulator = getenv("BOARD_EMULATOR");
    if (emulator && is_for_arm(path)) {
        char *given[most_arguments] = {emulator, (char *)path};
        for (int i = 1; arguments[i]; ++i) {
            if (i > most_arguments - 3) return errno = E2BIG, -1;
            given[i + 1] = arguments[i];
        }
        return (int)syscall(SYS_execve, emulator, given, environment);
    }
    return (int)syscall(SYS_execve, path, arguments, environment);
}

ssize_t write(int file, const void *bytes, size_t count) {
    const char *full = getenv("BOARD_FULL");
    struct stat status;
    if (full && !access(full, F_OK) && !fstat(file, &status) && S_ISREG(status.st_mode) &&
        lseek(file, 0, SEEK_CUR) + (off_t)count > most_bytes)
        return errno = ENOSPC, -1;
    return syscall(SYS_write, file, bytes, count);
}
