/* Preloaded into an agent: notes, for every fsync and fdatasync that succeeded, which file it was and how long the file was when the call began.
 * What lies beyond that length is what a power cut may take. The file is named by device, inode and second of birth: a rename changes none of them,
 * and a new file that got a deleted one's inode is not taken for it.
 *
 *   SYNC_LOG=/path  one line each: <device> <inode> <birth> <length>
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(const struct statx *file) {
  const char *path = getenv("SYNC_LOG");
  if (path == NULL || !S_ISREG(file->stx_mode)) return;
  int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (log < 0) return;
  char line[96];
  int length = snprintf(line, sizeof line, "%u:%u %llu %lld %llu\n", file->stx_dev_major, file->stx_dev_minor, (unsigned long long)file->stx_ino, (long long)file->stx_btime.tv_sec, (unsigned long long)file->stx_size);
  if (write(log, line, (size_t)length) != length) abort(); /* A witness that loses lines is worse than none. */
  close(log);
}

static int synced(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct statx before;
  int known = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &before) == 0;
  int result = real(fd);
  if (result == 0 && known) note(&before);
  return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
