/*
** transfer: one HTTP exchange on a pooled easy handle: its request, its limits, what came back.
**
** No callback here calls libcurl or Lua; they fill in the struct, which is read after libcurl has
** returned. A transfer belongs to the engine that made it; whoever asked for it is its `owner`.
*/
#ifndef AKL_TRANSFER_H
#define AKL_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <time.h>

#include "errors.h"
#include "headers.h"
#include "list.h"
#include "poller.h"
#include "settings.h"
#include "sink.h"
#include "timers.h"

enum { AKL_HEADERS_MAX = 64 * 1024 }; /* bytes of all headers of one answer */

/* What to ask. Everything is borrowed: 'url' and 'query' until akl_transfer_prepare returns, 'body'
** and 'file' until the transfer is recycled; settings and headers are counted. */
struct akl_request {
  const char *url;
  const char
      *query; /* what follows 'url' behind a "?", or NULL; then 'url' has no query of its own */
  struct akl_settings *settings;
  struct akl_headers *headers; /* NULL: none of ours */
  const char *body;            /* NULL: a GET */
  size_t body_size;
  bool once;             /* must not be sent twice by anyone: a paid POST */
  bool loopback;         /* the host is this machine: never through a proxy */
  const char *proxy;     /* "": none; NULL: as the settings and the environment say */
  bool plain;            /* plain http is allowed */
  bool checked;          /* refuse redirects to hosts that are private by what is written */
  bool guard;            /* refuse addresses of this machine and of private networks */
  struct akl_file *file; /* a download into this file; NULL: an answer into memory */
  akl_usec limit;        /* for the whole exchange; AKL_NEVER for none */
};

struct akl_transfer {
  struct akl_link link;      /* the engine's: idle, queued, running or ended */
  struct akl_timer timer;    /* the engine's: enforces limit and stall */
  struct akl_poller *poller; /* borrowed from the engine, as is the clock */
  const akl_usec *clock;
  CURL *easy;                              /* owned; NULL until it is set up */
  CURLU *address;                          /* owned: what 'url' says, read by 'easy' */
  char *url, *path;                        /* owned: of the last request with a query */
  void *owner;                             /* whoever is told when it ends; NULL: nobody */
  void (*progress)(struct akl_transfer *); /* called when bytes for a file came; may be NULL */
  unsigned lane;                           /* the engine's: which queue */

  struct akl_settings *settings; /* counted: what the handle was prepared for */
  struct akl_headers *headers;   /* counted */
  struct curl_slist first;       /* the header line that settings have, before those of 'headers' */
  bool resumes;                  /* TLS sessions may be kept */
  bool remembers;                /* this libcurl does not forget the last header of an exchange */
  bool has_bundle; /* libcurl's file of certificates can be read; once 'settings' is set */
  bool plain_get;  /* the handle is set up for an API GET and only the URL changes, */
  bool queried;    /* or only its query */
  const char *body;
  size_t body_size, body_taken; /* taken: handed to libcurl, so it may have left */
  bool once, checked, guard;
  struct akl_file *file;
  akl_usec limit, started;
  int64_t received; /* bytes, headers included */
  int64_t counted;  /* the engine's: how many they were when the stall window began */

  struct akl_memory answer;
  size_t header_bytes;
  bool headers_ended, framed, encoded, refused_address, timed_out, stalled, flooded, starved;
  bool shows_headers; /* libcurl hands header lines to on_write, too, before it notes them */
  bool in_line;       /* one of them has not come to its end, */
  bool has_status;    /* the first of an answer has come, */
  bool has_header;    /* one of them is noted, */
  bool in_body;       /* and all have come */
  bool misfolded;     /* the first one continues a line that does not exist */
  bool to_file;       /* its headers said that the body is for the file, and the file agreed */
  int fd;             /* the last socket made for it, open or not; -1 if none was */
  double retry_after; /* seconds; negative if not said */
  time_t retry_date;  /* the moment that Retry-After names, or -1 */
  char etag[AKL_ETAG_MAX];
  int64_t range_first, range_total;
  CURLcode result;             /* once ended */
  int status;                  /* once ended: HTTP status, 0 if no answer came */
  char words[CURL_ERROR_SIZE]; /* libcurl's own description of a failure */
};

/* A new transfer, or NULL when memory runs out. */
struct akl_transfer *akl_transfer_new(struct akl_poller *poller, const akl_usec *clock);

/* The moment that the headers of its answer name as theirs, or -1. */
time_t akl_transfer_date(const struct akl_transfer *t);

/* Set it up for a request. False when memory runs out. */
bool akl_transfer_prepare(struct akl_transfer *t, const struct akl_request *r);

/* One that is set up: let it open a connection of its own. False when memory runs out. */
bool akl_transfer_connect(struct akl_transfer *t);

/* Forget request and answer, keep the handle. */
void akl_transfer_reset(struct akl_transfer *t);

void akl_transfer_free(struct akl_transfer *t);

/* Why the exchange as such failed, if it did: no answer, an answer cut short, or one that is too
** large. False when a whole answer came, whatever it says. 'what' names the exchange in messages
** ("creating a job"). */
bool akl_transfer_failed(const struct akl_transfer *t, const char *what, struct akl_error *error);

/* May the server have seen the request's body? For a create this decides about money. */
bool akl_transfer_maybe_sent(const struct akl_transfer *t);

#endif
