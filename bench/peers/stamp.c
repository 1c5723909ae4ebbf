/* The child of every dispatch measurement, static so that its own start costs little.
 *
 *   stamp FIFO                     reads CLOCK_MONOTONIC as its first act and writes it, 8 bytes of nanoseconds, to FIFO
 *   stamp --launch N FIFO CMD ...  N times: notes the time, spawns CMD (which must run `stamp FIFO` somewhere), and prints the nanoseconds
 *                                  from just before the spawn to that first instruction, one line each
 *
 * CLOCK_MONOTONIC is the same clock in .NET's Stopwatch and Node's hrtime, so the stamps of all contenders compare. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int launch(int count, const char *fifo, char **command) {
  int in = open(fifo, O_RDWR | O_CLOEXEC);
  if (in < 0) return perror(fifo), 1;
  for (int i = 0; i < count; i++) {
    pid_t pid;
    int status;
    int64_t stamp, from = now();
    if (posix_spawnp(&pid, command[0], NULL, NULL, command, environ) != 0) return perror(command[0]), 1;
    /* The child first: a command that fails before its stamp must not leave us waiting for one. */
    if (waitpid(pid, &status, 0) != pid || status != 0) return fprintf(stderr, "%s: status %d\n", command[0], status), 1;
    if (read(in, &stamp, sizeof stamp) != sizeof stamp) return perror("read"), 1;
    printf("%" PRId64 "\n", stamp - from);
  }
  return 0;
}

int main(int argc, char **argv) {
  int64_t stamp = now();
  if (argc >= 5 && strcmp(argv[1], "--launch") == 0) return launch(atoi(argv[2]), argv[3], argv + 4);
  if (argc != 2) return fprintf(stderr, "usage: stamp FIFO | stamp --launch N FIFO CMD ...\n"), 2;
  int out = open(argv[1], O_WRONLY);
  if (out < 0 || write(out, &stamp, sizeof stamp) != sizeof stamp) return perror(argv[1]), 1;
  return 0;
}
