/* sink, a file of this machine as where a body comes from: see sink.h. */
#include <errno.h>    /* EINTR */
#include <fcntl.h>    /* open */
#include <stdlib.h>   /* malloc */
#include <string.h>   /* strerror */
#include <sys/stat.h> /* fstat */
#include <unistd.h>   /* read */

#include "sink.h"

enum { CHUNK = 1 << 16 };

static bool unreadable(struct akl_error *error, const char *from, const char *why) {
  akl_error_set(error, AKL_CAUSE_FILE_UNREADABLE, "%s cannot be copied: %s.", from, why);
  return false;
}

static bool out_of_memory(struct akl_error *error) {
  akl_error_set(error, AKL_CAUSE_OUT_OF_MEMORY, "Memory ran out while copying a file.");
  return false;
}

/* Is this the file of that name? */
static bool is_at(const struct stat *file, const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
}

/* Would writing 'path', or the part on the way there, destroy what is to be copied? */
static bool is_apart(const struct stat *source, const char *from, const char *path,
                     struct akl_error *error) {
  char *part = akl_file_name(path, ".part");
  if (part == NULL)
    return out_of_memory(error);
  bool same = is_at(source, path), same_part = is_at(source, part);
  free(part);
  if (same || same_part)
    akl_error_set(error, AKL_CAUSE_FILE_UNUSABLE, "%s cannot be copied to %s: that is %s.", from,
                  path, same ? "the same file" : "what its part is called");
  return !same && !same_part;
}

static bool check_source(int fd, const char *from, const char *path, struct akl_error *error) {
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0)
    return unreadable(error, from, strerror(errno));
  if (!S_ISREG(st.st_mode))
    return unreadable(error, from, "it is not a regular file");
  if (st.st_size == 0)
    return unreadable(error, from, "it is empty");
  return is_apart(&st, from, path, error);
}

/* All that can be read from 'fd' into the part. */
static bool pour(int fd, const char *from, struct akl_file *f, struct akl_error *error) {
  char *chunk = malloc(CHUNK);
  if (chunk == NULL)
    return out_of_memory(error);
  bool fine = true;
  ssize_t got;
  do {
    got = read(fd, chunk, CHUNK);
    if (got > 0 && !akl_file_write(f, chunk, (size_t)got)) {
      akl_error_copy(error, &f->error);
      fine = false;
    } else if (got < 0 && errno != EINTR) {
      fine = unreadable(error, from, strerror(errno));
    }
  } while (fine && got != 0);
  free(chunk);
  return fine;
}

bool akl_file_copy(const char *from, const char *path, bool overwrite, struct akl_copied *copied,
                   struct akl_error *error) {
  struct akl_file f;
  int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool opened = check_source(fd, from, path, error) &&
                akl_file_open(&f, path, overwrite, false, INT64_MAX, error);
  bool fine = opened && pour(fd, from, &f, error) && akl_file_finish(&f, error);
  if (fine) {
    copied->size = f.size;
    memcpy(copied->sha256, f.sha256, sizeof f.sha256);
  }
  if (opened)
    akl_file_close(&f, false);
  if (fd >= 0)
    (void)close(fd);
  return fine;
}
