/*
** sink: where a body goes. Either into bounded memory (an API answer), or into a file that is
** whole or absent (a download): written as PATH.part, resumed only when the server proves with a
** strong ETag that it is the same file, checked against the announced length, synced, renamed.
** The ETag of an unfinished part stands in PATH.part.etag, so that another process can go on.
*/
#ifndef AKL_SINK_H
#define AKL_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto.h"
#include "errors.h"

enum { AKL_BODY_MAX = 1 << 20, AKL_ETAG_MAX = 256 };

/* Bounded memory. Zeroed memory is an empty one. */
struct akl_memory {
  char *data; /* owned; size bytes, not terminated */
  size_t size, capacity;
};

/* Append, up to AKL_BODY_MAX bytes in all; false when memory runs out. */
bool akl_memory_write(struct akl_memory *m, const char *bytes, size_t size);

/* Empty it, keeping a small allocation for the next body. */
void akl_memory_reset(struct akl_memory *m);

void akl_memory_free(struct akl_memory *m);

/* A file on its way. Lives through all attempts of one download. */
struct akl_file {
  char *path;                      /* owned: the final name */
  char *part;                      /* owned: where it grows */
  char *note;                      /* owned: where the part's ETag stands */
  int fd;                          /* of the part, locked; -1 when closed */
  bool overwrite;                  /* the final name may exist */
  int64_t size;                    /* bytes in the part */
  int64_t total;                   /* announced; -1 while unknown */
  int64_t most;                    /* more than that is refused */
  char etag[AKL_ETAG_MAX];         /* strong ETag of what is in the part; "" if none */
  struct akl_sha256 *digest;       /* of what is in the part */
  char sha256[AKL_SHA256_HEX + 1]; /* once finished */
  struct akl_error error;          /* what went wrong while writing, until the attempt is over */
};

/* What the server says about the body that it is about to send. */
struct akl_announcement {
  int status;           /* 200 or 206 */
  int64_t length;       /* Content-Length, -1 if not given */
  int64_t first, total; /* of Content-Range, -1 if not given or not understood */
  bool encoded;         /* it is compressed, which nobody asked for */
  const char *etag;     /* "" if none */
  const char *type;     /* Content-Type, "" if none */
};

/* Open the part of 'path' (copied), or find out why that cannot be: then 'error' says so, nothing
** has changed on disk, and 'f' is closed. */
bool akl_file_open(struct akl_file *f, const char *path, bool overwrite, bool resume, int64_t most,
                   struct akl_error *error);

/* 'path' with 'ending' behind it, to be freed; NULL when memory runs out. */
char *akl_file_name(const char *path, const char *ending);

/* Could a download write there? Leaves everything as it was. False: 'error' says why not. */
bool akl_file_try(const char *path, bool overwrite, struct akl_error *error);

/* What a copy has become. */
struct akl_copied {
  int64_t size;
  char sha256[AKL_SHA256_HEX + 1];
};

/* Copy the file 'from' to 'path' in the way of a download: by its part, synced, never over another
** file that may not be overwritten. False: 'error' says why, and nothing has that name that had not. */
bool akl_file_copy(const char *from, const char *path, bool overwrite, struct akl_copied *copied,
                   struct akl_error *error);

/* A body is about to come: truncate or go on as the answer says. False: f->error says why. */
bool akl_file_begin(struct akl_file *f, const struct akl_announcement *a);

/* Append; false: f->error says why. */
bool akl_file_write(struct akl_file *f, const char *bytes, size_t size);

/* All is there: check, sync, give it its final name. False: 'error' says why. */
bool akl_file_finish(struct akl_file *f, struct akl_error *error);

/* Forget what was received so far; false: f->error says why. */
bool akl_file_restart(struct akl_file *f);

/* Close. An unfinished part stays only if 'keep' and a later download could go on with it. */
void akl_file_close(struct akl_file *f, bool keep);

#endif
