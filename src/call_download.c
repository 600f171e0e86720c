/* call, downloads: see call_inside.h. */
#include <stdio.h>  /* snprintf */
#include <stdlib.h> /* getenv */
#include <string.h> /* strlen */

#include "call_inside.h"

enum { WORTHWHILE = 1 << 20 }; /* bytes: progress that makes up for a failure */

#define TELL_EVERY (AKL_SECOND / 10) /* progress is told no more often */

/* Does the environment name a proxy that libcurl would use? Then the addresses that we see are the
** proxy's, and only the name in the URL can be checked. */
static bool environment_has_proxy(void) {
  static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                      "ALL_PROXY"};
  for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
    const char *value = getenv(names[i]);
    if (value != NULL && value[0] != '\0')
      return true;
  }
  return false;
}

static bool goes_through_proxy(const struct akl_settings *s) {
  return s->proxy == NULL ? environment_has_proxy() : s->proxy[0] != '\0';
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
  if (c->told + TELL_EVERY > *t->clock)
    return;
  c->told = *t->clock;
  c->has_progress = true;
  akl_call_news(c);
}

bool akl_download_prepare(struct akl_call *c, struct akl_transfer *t) {
  struct akl_file *f = c->file;
  struct akl_url url;
  struct akl_headers *headers = NULL;
  if (akl_url_check(c->target, strlen(c->target), &url) != NULL)
    return false;
  if (f->size > 0 && f->etag[0] == '\0' && !akl_file_restart(f))
    return false;
  if (f->size > 0 && (headers = range_headers(f)) == NULL)
    return false;
  akl_error_clear(&f->error);
  bool guard = c->client->url.reach == AKL_PUBLIC && !c->settings->allow_private &&
               !goes_through_proxy(c->settings);
  struct akl_request request = {.url = c->target,
                                .settings = c->settings,
                                .headers = headers,
                                .loopback = url.reach == AKL_LOOPBACK,
                                .plain = !url.https,
                                .guard = guard,
                                .file = f,
                                .limit = AKL_NEVER};
  bool fine = akl_transfer_prepare(t, &request);
  akl_headers_unref(headers);
  if (c->wants_progress)
    t->progress = on_progress;
  return fine;
}

unsigned akl_download_lane(const struct akl_call *c) {
  struct akl_url url;
  return akl_url_check(c->target, strlen(c->target), &url) == NULL ? akl_engine_lane(url.host) : 0;
}

bool akl_download_ended(struct akl_call *c, struct akl_transfer *t, struct akl_error *error) {
  struct akl_file *f = c->file;
  if (t->status == 200 || t->status == 206)
    return akl_file_finish(f, error);
  if (t->status == 416 && f->size > 0) { /* what we have is not the beginning of what is there */
    if (akl_file_restart(f))
      akl_error_set(error, AKL_CAUSE_CUT_SHORT, "The result changed while it was downloaded.");
    else
      akl_error_copy(error, &f->error);
  } else if (t->status == 403 || t->status == 404 || t->status == 410) {
    akl_error_set(error, AKL_CAUSE_RESULT_EXPIRED, "The result's address answered with HTTP %d.",
                  t->status);
  } else {
    akl_error_http(error, t->status, t->retry_after, "downloading a result");
  }
  error->http_status = t->status;
  return false;
}

void akl_download_note_progress(struct akl_call *c) {
  if (c->file->size - c->progressed < WORTHWHILE)
    return;
  c->progressed = c->file->size;
  c->failures = 0;
}

void akl_download_abandon(struct akl_call *c) {
  bool resumable = true;
  switch (c->error.kind) {
  case AKL_KIND_IO:
  case AKL_KIND_PROTOCOL:
  case AKL_KIND_INVALID:
    resumable = false;
    break;
  default:
    break;
  }
  akl_file_close(c->file, resumable && c->settings->resume);
}
