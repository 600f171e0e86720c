/*
** download: one body into a new file with write(2), through the largest buffer that libcurl takes.
** With "whole" it also has the library's duties: the SHA-256 of the bytes, and a file that is on the
** disk (fsync) before it gets its name (rename).
**
**   floor download URL PATH bare|whole [CA_FILE]
*/
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "floor.h"

enum { BUFFER = 512 * 1024 };

struct file {
  int fd;
  EVP_MD_CTX *digest; /* NULL: bare */
  long long size;
};

static size_t on_bytes(char *data, size_t size, size_t count, void *user) {
  struct file *f = user;
  size_t left = size * count;
  if (f->digest != NULL && EVP_DigestUpdate(f->digest, data, left) != 1)
    return 0;
  f->size += (long long)left;
  while (left > 0) {
    ssize_t n = write(f->fd, data, left);
    if (n < 0)
      return 0;
    data += n;
    left -= (size_t)n;
  }
  return size * count;
}

static void complete(struct file *f, const char *part, const char *path) {
  unsigned char sum[EVP_MAX_MD_SIZE];
  if (f->digest != NULL && (EVP_DigestFinal_ex(f->digest, sum, NULL) != 1 || fsync(f->fd) != 0))
    floor_fail("the file cannot be completed");
  if (close(f->fd) != 0 || rename(part, path) != 0)
    floor_fail("the file cannot be named");
}

static bool over;

static void finished(struct engine *e, struct slot *s) {
  (void)e;
  (void)s;
  over = true;
}

int floor_download(int argc, char **argv) {
  static struct engine e;
  static struct slot s;
  if (argc < 4)
    floor_fail("usage: floor download URL PATH bare|whole [CA_FILE]");
  char part[4096];
  struct file f = {.fd = -1};
  const struct way way = {.ca_file = argc > 4 ? argv[4] : NULL};
  if (snprintf(part, sizeof part, "%s.part", argv[2]) >= (int)sizeof part)
    floor_fail("the path is too long");
  if (strcmp(argv[3], "whole") == 0) {
    f.digest = EVP_MD_CTX_new();
    if (f.digest == NULL || EVP_DigestInit_ex(f.digest, EVP_sha256(), NULL) != 1)
      floor_fail("out of memory");
  }

  floor_open(&e, &way, 1, finished);
  floor_prepare(&s, &e, &way, argv[1]);
  floor_check_easy(curl_easy_setopt(s.easy, CURLOPT_TIMEOUT, 0L));
  floor_check_easy(curl_easy_setopt(s.easy, CURLOPT_BUFFERSIZE, (long)BUFFER));
  floor_check_easy(curl_easy_setopt(s.easy, CURLOPT_WRITEFUNCTION, on_bytes));
  floor_check_easy(curl_easy_setopt(s.easy, CURLOPT_WRITEDATA, &f));

  long idle = floor_rss();
  double began = floor_now(), cpu = floor_cpu();
  f.fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (f.fd < 0)
    floor_fail("the file cannot be made");
  floor_start(&e, &s);
  while (!over)
    floor_turn(&e, -1);
  complete(&f, part, argv[2]);
  printf("{\"bytes\":%lld,\"seconds\":%.6f,\"cpu\":%.6f,\"grown_kb\":%ld}\n", f.size,
         floor_now() - began, floor_cpu() - cpu, floor_peak_rss() - idle);

  EVP_MD_CTX_free(f.digest);
  floor_release(&s);
  floor_close(&e);
  return EXIT_SUCCESS;
}
