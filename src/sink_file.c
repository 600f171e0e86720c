/* sink, the file half: see sink.h. */
#include <errno.h>    /* EEXIST */
#include <fcntl.h>    /* open */
#include <stdio.h>    /* rename */
#include <stdlib.h>   /* malloc */
#include <string.h>   /* strerror */
#include <strings.h>  /* strncasecmp */
#include <sys/file.h> /* flock */
#include <sys/stat.h> /* fstat */
#include <unistd.h>   /* fsync */

#include "sink.h"

char *akl_file_name(const char *path, const char *ending) {
  size_t a = strlen(path), b = strlen(ending) + 1;
  char *name = malloc(a + b);
  if (name == NULL)
    return NULL;
  memcpy(name, path, a);
  memcpy(name + a, ending, b);
  return name;
}

static bool out_of_memory(struct akl_error *error) {
  akl_error_set(error, AKL_CAUSE_OUT_OF_MEMORY, "Memory ran out while preparing a download.");
  return false;
}

static bool cannot_write(struct akl_error *error, const char *path, int why) {
  akl_error_set(error, AKL_CAUSE_FILE_WRITE, "Writing %s failed: %s.", path, strerror(why));
  return false;
}

/* Is there anything at the final name that speaks against this download? */
static bool target_is_free(const struct akl_file *f, struct akl_error *error) {
  struct stat st;
  size_t length = strlen(f->path);
  if (length == 0 || f->path[length - 1] == '/') {
    akl_error_set(error, AKL_CAUSE_FILE_UNUSABLE, "The output path \"%s\" does not name a file.",
                  f->path);
    return false;
  }
  if (stat(f->path, &st) != 0 && (errno != ENOENT || lstat(f->path, &st) != 0)) {
    if (errno == ENOENT)
      return true;
    akl_error_set(error, AKL_CAUSE_FILE_UNUSABLE, "%s cannot be used: %s.", f->path,
                  strerror(errno));
    return false;
  }
  bool link_to_nothing = S_ISLNK(st.st_mode);
  if (!S_ISREG(st.st_mode) && !link_to_nothing)
    akl_error_set(error, AKL_CAUSE_FILE_UNUSABLE, "%s is not a regular file but %s.", f->path,
                  S_ISDIR(st.st_mode) ? "a folder" : "a device or a pipe");
  else if (!f->overwrite)
    akl_error_set(error, AKL_CAUSE_FILE_EXISTS, "%s exists already.", f->path);
  else
    return true;
  return false;
}

/* Open and lock the part. Another download may rename or remove it between our open and our lock;
** then what we locked has no name any more and we try again. */
static bool open_part(struct akl_file *f, struct akl_error *error) {
  for (int tries = 0; tries < 8; tries++) {
    struct stat mine, named;
    int fd = open(f->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd < 0) {
      akl_error_set(error, AKL_CAUSE_FILE_UNUSABLE, "%s cannot be written: %s.", f->part,
                    errno == ENOENT ? "the folder does not exist" : strerror(errno));
      return false;
    }
    bool regular = fstat(fd, &mine) == 0 && S_ISREG(mine.st_mode);
    bool locked = regular && (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK);
    bool same = locked && stat(f->part, &named) == 0 && named.st_dev == mine.st_dev &&
                named.st_ino == mine.st_ino;
    /* A part with a second name is a finished file whose download died between its link and its
    ** unlink, or somebody else's: writing to it would change what the other name shows. */
    if (same && mine.st_nlink > 1) {
      bool gone = unlink(f->part) == 0;
      (void)close(fd);
      if (gone)
        continue;
      akl_error_set(error, AKL_CAUSE_FILE_UNUSABLE, "%s is another file's second name.", f->part);
      return false;
    }
    if (same) {
      f->fd = fd;
      f->size = mine.st_size;
      return true;
    }
    (void)close(fd);
    if (!regular) {
      akl_error_set(error, AKL_CAUSE_FILE_UNUSABLE, "%s is not a regular file.", f->part);
      return false;
    }
    if (!locked)
      break;
  }
  akl_error_set(error, AKL_CAUSE_FILE_BUSY, "Another download is writing %s.", f->part);
  return false;
}

/* Weak ETags ("W/...") do not promise equal bytes. What it says will be sent as a header, so it has
** no control characters in it. */
static bool is_strong(const char *etag) {
  for (const char *c = etag; *c != '\0'; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7f)
      return false;
  return etag[0] == '"';
}

static void read_note(struct akl_file *f) {
  int fd = open(f->note, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    return;
  ssize_t got = read(fd, f->etag, sizeof f->etag - 1);
  (void)close(fd);
  f->etag[got > 0 ? got : 0] = '\0';
  if (!is_strong(f->etag) || f->etag[got - 1] != '"')
    f->etag[0] = '\0';
}

/* Failing to leave a note only means that another process cannot resume. */
static void write_note(const struct akl_file *f) {
  if (f->etag[0] == '\0') {
    (void)unlink(f->note);
    return;
  }
  int fd = open(f->note, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (fd < 0)
    return;
  size_t size = strlen(f->etag);
  if (write(fd, f->etag, size) != (ssize_t)size)
    (void)unlink(f->note);
  (void)close(fd);
}

/* Digest what an earlier download left in the part. False: start from nothing instead. */
static bool digest_part(struct akl_file *f) {
  char *chunk = malloc(1 << 16);
  int64_t seen = 0;
  ssize_t got = chunk == NULL ? -1 : 0;
  while (seen < f->size && got >= 0) {
    got = read(f->fd, chunk, 1 << 16);
    if (got == 0 || (got > 0 && !akl_sha256_update(f->digest, chunk, (size_t)got)))
      got = -1;
    else if (got > 0)
      seen += got;
  }
  free(chunk);
  return seen == f->size;
}

bool akl_file_restart(struct akl_file *f) {
  f->size = 0;
  f->total = -1;
  f->etag[0] = '\0';
  akl_sha256_free(f->digest);
  f->digest = akl_sha256_new();
  if (f->digest == NULL)
    return out_of_memory(&f->error);
  if (ftruncate(f->fd, 0) != 0 || lseek(f->fd, 0, SEEK_SET) != 0)
    return cannot_write(&f->error, f->part, errno);
  return true;
}

/* Names, and the part opened and locked. */
static bool prepare(struct akl_file *f, const char *path, bool overwrite, struct akl_error *error) {
  *f = (struct akl_file){.fd = -1, .overwrite = overwrite, .total = -1};
  f->path = akl_file_name(path, "");
  f->part = akl_file_name(path, ".part");
  f->note = akl_file_name(path, ".part.etag");
  f->digest = akl_sha256_new();
  if (f->path == NULL || f->part == NULL || f->note == NULL || f->digest == NULL)
    return out_of_memory(error);
  return target_is_free(f, error) && open_part(f, error);
}

bool akl_file_open(struct akl_file *f, const char *path, bool overwrite, bool resume, int64_t most,
                   struct akl_error *error) {
  bool fine = prepare(f, path, overwrite, error);
  f->most = most;
  if (fine) {
    if (resume && f->size > 0)
      read_note(f);
    if ((f->etag[0] == '\0' || !digest_part(f)) && !akl_file_restart(f)) {
      akl_error_copy(error, &f->error);
      fine = false;
    }
  }
  if (!fine)
    akl_file_close(f, true);
  return fine;
}

bool akl_file_try(const char *path, bool overwrite, struct akl_error *error) {
  struct akl_file f;
  bool fine = prepare(&f, path, overwrite, error);
  if (f.fd >= 0 && f.size > 0) { /* an earlier download's: it stays as it is */
    (void)close(f.fd);
    f.fd = -1;
  }
  akl_file_close(&f, false);
  return fine;
}

/* Does this type say that the answer is a page or an error document instead of a video? */
static bool is_document(const char *type) {
  return strncasecmp(type, "text/", 5) == 0 || strncasecmp(type, "application/json", 16) == 0 ||
         strncasecmp(type, "application/xml", 15) == 0;
}

bool akl_file_begin(struct akl_file *f, const struct akl_announcement *a) {
  if (is_document(a->type)) {
    akl_error_set(&f->error, AKL_CAUSE_NOT_A_VIDEO, "The result's address answered with %.80s.",
                  a->type);
    return false;
  }
  if (a->encoded) {
    akl_error_set(&f->error, AKL_CAUSE_NOT_A_VIDEO,
                  "The result's address answered with something "
                  "compressed, which was not asked for.");
    return false;
  }
  if (a->status == 206 && f->size > 0 && strcmp(a->etag, f->etag) != 0) {
    /* Not every server honours If-Range: this is the rest of another file. */
    if (akl_file_restart(f))
      akl_error_set(&f->error, AKL_CAUSE_CUT_SHORT, "The result changed while it was downloaded.");
    return false;
  }
  if (a->status == 206 && (a->first != f->size || a->total < f->size)) {
    int64_t asked = f->size;
    if (akl_file_restart(f))
      akl_error_set(&f->error, AKL_CAUSE_CUT_SHORT,
                    "The server sent another part of the file than the one asked for (from byte "
                    "%lld on).",
                    (long long)asked);
    return false;
  }
  if (a->status != 206) {
    if (!akl_file_restart(f))
      return false;
    f->total = a->length;
  } else {
    f->total = a->total;
  }
  if (f->total > f->most) {
    akl_error_set(&f->error, AKL_CAUSE_TOO_LARGE,
                  "The result is %lld bytes long, more than the %lld allowed.", (long long)f->total,
                  (long long)f->most);
    return false;
  }
  if (is_strong(a->etag) && strcmp(a->etag, f->etag) != 0) {
    memcpy(f->etag, a->etag, strlen(a->etag) + 1);
    write_note(f);
  } else if (a->status != 206) {
    write_note(f);
  }
  return true;
}

bool akl_file_write(struct akl_file *f, const char *bytes, size_t size) {
  if ((int64_t)size > f->most - f->size) {
    akl_error_set(&f->error, AKL_CAUSE_TOO_LARGE,
                  "The result is longer than the %lld bytes allowed.", (long long)f->most);
    return false;
  }
  if (!akl_sha256_update(f->digest, bytes, size))
    return out_of_memory(&f->error);
  while (size > 0) {
    ssize_t wrote = write(f->fd, bytes, size);
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote < 0)
      return cannot_write(&f->error, f->part, errno);
    bytes += wrote;
    size -= (size_t)wrote;
    f->size += wrote;
  }
  return true;
}

/* Make a rename durable where that can be done. The file is whole by now and has its name; should
** the power fail before the folder is on the disk, it is absent again, and that is no lie either. */
static void sync_folder(const char *path) {
  const char *slash = strrchr(path, '/');
  char *folder = slash == NULL ? akl_file_name(".", "") : akl_file_name(path, "");
  if (folder == NULL)
    return;
  if (slash != NULL)
    folder[slash == path ? 1 : slash - path] = '\0';
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(folder);
  if (fd < 0)
    return;
  (void)fsync(fd);
  (void)close(fd);
}

/* Give the part its final name, never over a file that may not be overwritten. */
static bool name_it(struct akl_file *f, struct akl_error *error) {
  if (!f->overwrite) {
    if (link(f->part, f->path) == 0) {
      (void)unlink(f->part);
      return true;
    }
    struct stat st;
    if (errno == EEXIST || stat(f->path, &st) == 0) {
      akl_error_set(error, AKL_CAUSE_FILE_EXISTS, "%s appeared during the download.", f->path);
      return false;
    }
    /* Otherwise this file system has no links: rename is the next best thing. */
  }
  if (rename(f->part, f->path) == 0)
    return true;
  return cannot_write(error, f->path, errno);
}

bool akl_file_finish(struct akl_file *f, struct akl_error *error) {
  if (f->size == 0) {
    akl_error_set(error, AKL_CAUSE_NOT_A_VIDEO, "The result's address answered with no bytes.");
    return false;
  }
  if (f->total >= 0 && f->size != f->total) {
    akl_error_set(error, AKL_CAUSE_CUT_SHORT, "%lld of %lld bytes came.", (long long)f->size,
                  (long long)f->total);
    return false;
  }
  if (!akl_sha256_finish(f->digest, f->sha256))
    return out_of_memory(error);
  if (fsync(f->fd) != 0)
    return cannot_write(error, f->part, errno);
  if (!name_it(f, error))
    return false;
  (void)unlink(f->note);
  (void)close(f->fd);
  f->fd = -1;
  sync_folder(f->path);
  return true;
}

void akl_file_close(struct akl_file *f, bool keep) {
  if (f->fd >= 0) {
    if (!keep || f->size == 0 || f->etag[0] == '\0') {
      (void)unlink(f->part);
      (void)unlink(f->note);
    }
    (void)close(f->fd);
    f->fd = -1;
  }
  free(f->path);
  free(f->part);
  free(f->note);
  f->path = f->part = f->note = NULL;
  akl_sha256_free(f->digest);
  f->digest = NULL;
  akl_error_clear(&f->error);
}
