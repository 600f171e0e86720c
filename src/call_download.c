/* call, downloads: see call_inside.h. */
#include <stdio.h>   /* snprintf */
#include <stdlib.h>  /* getenv */
#include <string.h>  /* strlen */
#include <strings.h> /* strncasecmp */

#include "call_inside.h"

enum { WORTHWHILE = 1 << 20 }; /* bytes: progress that makes up for a failure */

#define TELL_EVERY (AKL_SECOND / 10) /* progress is told no more often */

/* The value of the first of these variables that is not empty, or NULL. */
static const char *environment(const char *const *names) {
  for (; *names != NULL; names++) {
    const char *value = getenv(*names);
    if (value != NULL && value[0] != '\0')
      return value;
  }
  return NULL;
}

/* Is 'host' among the exceptions in no_proxy: names, with or without a dot before them, or "*"? */
static bool is_excepted(const char *host) {
  static const char *const names[] = {"no_proxy", "NO_PROXY", NULL};
  const char *list = environment(names);
  size_t size = strlen(host);
  while (list != NULL && *list != '\0') {
    list += strspn(list, ", .");
    size_t n = strcspn(list, ", ");
    if (n == 1 && *list == '*')
      return true;
    if (n > 0 && n <= size && strncasecmp(host + size - n, list, n) == 0 &&
        (n == size || host[size - n - 1] == '.'))
      return true;
    list += n;
  }
  return false;
}

/* The proxy of a download, "" for none. Through a proxy the addresses that we see are the proxy's,
** and only the name in the URL can be checked; so this is decided here, once, and libcurl is told,
** instead of guessing what it will find in the environment. */
static const char *proxy_of(const struct akl_settings *s, const struct akl_url *url) {
  static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
  static const char *const secure[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                       NULL};
  const char *proxy = s->proxy != NULL ? s->proxy : environment(url->https ? secure : plain);
  return proxy == NULL || is_excepted(url->host) ? "" : proxy;
}

/* "Range" and "If-Range", so that the server sends the rest only if it is the rest of the same. */
static struct akl_headers *range_headers(const struct akl_file *f) {
  char range[64], condition[AKL_ETAG_MAX + 16];
  (void)snprintf(range, sizeof range, "Range: bytes=%lld-", (long long)f->size);
  (void)snprintf(condition, sizeof condition, "If-Range: %s", f->etag);
  struct curl_slist *first = curl_slist_append(NULL, range);
  struct curl_slist *both = first == NULL ? NULL : curl_slist_append(first, condition);
  if (both == NULL) {
    curl_slist_free_all(first);
    return NULL;
  }
  return akl_headers_new(both);
}

static void on_progress(struct akl_transfer *t) {
  struct akl_call *c = t->owner;
  struct akl_download *d = c->download;
  if (d->told + TELL_EVERY > *t->clock)
    return;
  d->told = *t->clock;
  d->has_progress = true;
  akl_call_news(c);
}

bool akl_download_prepare(struct akl_call *c, struct akl_transfer *t) {
  struct akl_download *d = c->download;
  struct akl_file *f = &d->file;
  struct akl_headers *headers = NULL;
  if (f->size > 0 && f->etag[0] == '\0' && !akl_file_restart(f))
    return false;
  if (f->size > 0 && (headers = range_headers(f)) == NULL)
    return false;
  akl_error_clear(&f->error);
  bool checked = c->client->url.reach == AKL_PUBLIC && !c->settings->allow_private;
  const char *proxy = checked ? proxy_of(c->settings, &d->address) : NULL;
  struct akl_request request = {.url = d->url,
                                .settings = c->settings,
                                .headers = headers,
                                .loopback = d->address.reach == AKL_LOOPBACK,
                                .plain = !d->address.https,
                                .proxy = proxy,
                                .checked = checked,
                                .guard = checked && proxy[0] == '\0',
                                .file = f,
                                .limit = AKL_NEVER};
  bool fine = akl_transfer_prepare(t, &request);
  akl_headers_unref(headers);
  if (d->wants_progress)
    t->progress = on_progress;
  return fine;
}

unsigned akl_download_lane(const struct akl_call *c) {
  /* Lanes of their own, the upper half: a call with a limit must not wait behind a body without. */
  return AKL_LANES / 2 + akl_engine_lane(c->download->address.host);
}

/* We asked for what comes after what we have, and there is nothing. Either we have all of it, from a
** download that died before it gave the file its name, or another file is there now and is fetched
** from its beginning: no failure, so 'error' stays empty. */
static bool nothing_follows(struct akl_file *f, const struct akl_transfer *t,
                            struct akl_error *error) {
  if (t->range_total == f->size && strcmp(t->etag, f->etag) == 0) {
    f->total = t->range_total;
    return akl_file_finish(f, error);
  }
  if (!akl_file_restart(f))
    akl_error_copy(error, &f->error);
  return false;
}

bool akl_download_ended(struct akl_call *c, struct akl_transfer *t, struct akl_error *error) {
  struct akl_file *f = &c->download->file;
  if (t->status == 200 || t->status == 206)
    return akl_file_finish(f, error);
  if (t->status == 416 && f->size > 0)
    return nothing_follows(f, t, error);
  if (t->status == 403 || t->status == 404 || t->status == 410) {
    akl_error_set(error, AKL_CAUSE_RESULT_EXPIRED, "The result's address answered with HTTP %d.",
                  t->status);
    error->http_status = t->status;
  } else {
    akl_error_http(error, t->status, t->retry_after, "downloading a result");
  }
  return false;
}

void akl_download_note_progress(struct akl_call *c) {
  struct akl_download *d = c->download;
  if (d->file.size - d->progressed < WORTHWHILE)
    return;
  d->progressed = d->file.size;
  c->failures = 0;
}

void akl_download_abandon(struct akl_call *c) {
  bool resumable = c->error.kind != AKL_KIND_IO && c->error.kind != AKL_KIND_PROTOCOL;
  akl_file_close(&c->download->file, resumable && c->settings->resume);
}

struct akl_download *akl_download_new(const char *url, const struct akl_url *address) {
  struct akl_download *d = calloc(1, sizeof *d);
  if (d == NULL)
    return NULL;
  d->file.fd = -1;
  d->address = *address;
  d->url = strdup(url);
  if (d->url == NULL) {
    free(d);
    return NULL;
  }
  return d;
}

void akl_download_free(struct akl_download *d, bool keep) {
  if (d == NULL)
    return;
  akl_file_close(&d->file, keep);
  free(d->url);
  free(d);
}
