/*
** resume: a download that finds an unfinished part and a note of its ETag, both of any bytes, and a
** server that may keep its word or not. What gets the final name is whole: all the server announced,
** with the digest that was told; if the server kept its word, it is the server's file byte for byte.
** Otherwise there is nothing under that name, or what stood there before.
**
** An input is: what the server has and its ETag, what the disk has, then up to four attempts, each of
** a few bytes that say what the server answers and where it stops.
*/
#include <stdio.h>    /* snprintf */
#include <stdlib.h>   /* free */
#include <string.h>   /* memcmp */
#include <sys/stat.h> /* stat */
#include <unistd.h>   /* access */

#include "check.h"
#include "crypto.h"
#include "harness.h"
#include "sink.h"

enum { ATTEMPTS = 4, MOST = 300 };

static char path[160], part[160], note[160];

struct server {
  const char *bytes; /* what it has */
  size_t size;
  char *etag;
  bool honest; /* so far */
};

/* {====== The disk ====== */

static void put(const char *name, const char *bytes, size_t size) {
  FILE *file = fopen(name, "wb");
  fuzz_must(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0,
            "there is room for temporary files");
}

/* What the file holds, to be freed, or NULL if there is none. */
static char *get(const char *name, size_t *size) {
  char bytes[4096];
  FILE *file = fopen(name, "rb");
  if (file == NULL)
    return NULL;
  *size = fread(bytes, 1, sizeof bytes, file);
  (void)fclose(file);
  return fuzz_copy(bytes, *size);
}

static void set_up(void) {
  (void)snprintf(path, sizeof path, "%s/out", fuzz_folder());
  (void)snprintf(part, sizeof part, "%s/out.part", fuzz_folder());
  (void)snprintf(note, sizeof note, "%s/out.part.etag", fuzz_folder());
}

/* ============================================================ }
** {====== The server ====== */

/* Answer with the rest if the condition holds, else with everything; if it keeps its word. Not every
** server looks at the condition: a careless one always sends the rest, and is no liar for it. */
static struct akl_announcement announce(struct fuzz_input *in, struct server *s,
                                        const struct akl_file *f, const char **from) {
  uint8_t lie = fuzz_byte(in);
  bool careless = lie >= 64 && lie < 128;
  bool same =
      f->size > 0 && (size_t)f->size < s->size && (careless || strcmp(f->etag, s->etag) == 0);
  struct akl_announcement a = {.status = same ? 206 : 200,
                               .length = (int64_t)s->size - (same ? f->size : 0),
                               .first = same ? f->size : -1,
                               .total = same ? (int64_t)s->size : -1,
                               .etag = s->etag,
                               .type = "video/mp4"};
  static const char *const types[] = {"", "text/html", "application/json", "video/mp4"};
  *from = s->bytes + (same ? f->size : 0);
  if (lie < 128)
    return a;
  s->honest = false;
  a.status = lie & 1 ? 206 : 200;
  if (lie & 2)
    a.length = (int64_t)fuzz_below(in, 2 * MOST) - 1;
  if (lie & 4)
    a.first = (int64_t)fuzz_below(in, 2 * MOST) - 1;
  if (lie & 8)
    a.total = (int64_t)fuzz_below(in, 2 * MOST) - 1;
  if (lie & 16)
    a.type = types[fuzz_byte(in) % 4];
  if (lie & 32)
    a.etag = "";
  return a;
}

/* Send the body, in pieces, perhaps not to its end. True if all of it came. */
static bool send_body(struct fuzz_input *in, const struct server *s, struct akl_file *f,
                      const char *from) {
  size_t left = (size_t)(s->bytes + s->size - from), cut = fuzz_byte(in);
  size_t slice = 1 + fuzz_byte(in);
  bool whole = cut >= 128 || cut >= left;
  if (!whole)
    left = cut;
  for (size_t n; left > 0; left -= n, from += n) {
    n = left < slice ? left : slice;
    if (!akl_file_write(f, from, n))
      return false;
  }
  return whole;
}

/* ============================================================ }
** {====== What came of it ====== */

static void check_digest(const char *bytes, size_t size, const char *told) {
  char digest[AKL_SHA256_HEX + 1];
  struct akl_sha256 *sum = akl_sha256_new();
  fuzz_must(sum != NULL && akl_sha256_update(sum, bytes, size) && akl_sha256_finish(sum, digest),
            "memory suffices");
  akl_sha256_free(sum);
  fuzz_must(strcmp(digest, told) == 0, "the digest is the file's");
}

static void check_finished(const struct akl_file *f, const struct server *s) {
  size_t size = 0;
  char *bytes = get(path, &size);
  fuzz_must(bytes != NULL && size > 0, "a finished download has its name");
  fuzz_must((int64_t)size == f->size, "a finished download is as long as it says");
  fuzz_must(f->total < 0 || (int64_t)size == f->total, "a finished download is whole");
  fuzz_must(f->size <= f->most, "a download is no longer than allowed");
  check_digest(bytes, size, f->sha256);
  fuzz_must(!s->honest || (size == s->size && memcmp(bytes, s->bytes, size) == 0),
            "a finished download is what the server has");
  fuzz_must(access(part, F_OK) != 0 && access(note, F_OK) != 0, "nothing else is left");
  free(bytes);
}

static void check_unfinished(const char *before) {
  size_t size = 0;
  char *bytes = get(path, &size);
  fuzz_must((bytes == NULL) == (before == NULL), "an unfinished download has no name");
  fuzz_must(bytes == NULL || strcmp(bytes, before) == 0, "what stood there still does");
  free(bytes);
}

/* What an error says of an attempt. */
static void check_error(struct akl_error *e) {
  fuzz_must(e->kind != AKL_KIND_NONE && e->message != NULL, "a failure says why");
  fuzz_check_text(e->message, strlen(e->message), NULL, "message");
  akl_error_clear(e);
}

/* ============================================================ } */

/* One attempt, as call_download.c makes it. True when it finished. */
static bool attempt(struct fuzz_input *in, struct server *s, struct akl_file *f) {
  struct akl_error error = {0};
  const char *from;
  if (f->size > 0 && f->etag[0] == '\0')
    fuzz_must(akl_file_restart(f), "a part can be emptied");
  akl_error_clear(&f->error);
  struct akl_announcement a = announce(in, s, f, &from);
  if (!akl_file_begin(f, &a)) {
    check_error(&f->error);
    return false;
  }
  if (!send_body(in, s, f, from)) {
    if (f->error.kind != AKL_KIND_NONE)
      check_error(&f->error);
    return false;
  }
  if (akl_file_finish(f, &error))
    return true;
  check_error(&error);
  return false;
}

static void download(struct fuzz_input *in, struct server *s, const char *before) {
  struct akl_file f;
  struct akl_error error = {0};
  uint8_t flags = fuzz_byte(in);
  bool overwrite = flags & 1, resume = !(flags & 2), finished = false;
  int64_t most = flags & 4 ? fuzz_byte(in) : 1 << 20;
  if (akl_file_open(&f, path, overwrite, resume, most, &error)) {
    fuzz_must(f.size == 0 || f.etag[0] == '"', "only a part with a strong ETag is gone on with");
    for (int i = 0; i < ATTEMPTS && !finished; i++)
      finished = attempt(in, s, &f);
    if (finished)
      check_finished(&f, s);
    akl_file_close(&f, !(flags & 8));
  } else {
    fuzz_must(before != NULL && !overwrite, "a free path can be written");
    check_error(&error);
  }
  if (!finished)
    check_unfinished(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct fuzz_input in = {bytes, size};
  struct server s = {.honest = true};
  if (path[0] == '\0')
    set_up();
  int lowest = fuzz_lowest_descriptor();
  s.bytes = fuzz_bytes(&in, MOST, &s.size);
  s.etag = fuzz_string(&in, 40);
  uint8_t disk = fuzz_byte(&in);
  if (disk & 1) { /* the part is the beginning of the file; else anything */
    size_t length = fuzz_below(&in, 256);
    put(part, s.bytes, length < s.size ? length : s.size);
    put(note, s.etag, strlen(s.etag));
  } else if (disk & 2) {
    size_t length;
    const char *any = fuzz_bytes(&in, 64, &length);
    put(part, any, length);
    any = fuzz_bytes(&in, 64, &length);
    put(note, any, length);
    /* Who writes the server's ETag beside other bytes has made the server a liar. */
    s.honest = length != strlen(s.etag) || memcmp(any, s.etag, length) != 0;
  }
  const char *before = disk & 4 ? "what stood there" : NULL;
  if (before != NULL)
    put(path, before, strlen(before));
  download(&in, &s, before);
  fuzz_empty_folder();
  free(s.etag);
  fuzz_must(fuzz_lowest_descriptor() == lowest, "every descriptor is closed");
  return 0;
}
