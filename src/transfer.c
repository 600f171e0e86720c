/* transfer: see transfer.h. What its end means is in transfer_verdict.c. */
#include "transfer.h"

#include <fcntl.h>      /* FD_CLOEXEC */
#include <stdlib.h>     /* calloc */
#include <string.h>     /* memcpy */
#include <strings.h>    /* strncasecmp */
#include <sys/socket.h> /* socket */
#include <time.h>       /* time */
#include <unistd.h>     /* access, close */

#include "url.h"

enum { DOWNLOAD_BUFFER = 512 * 1024, REDIRECTS_MAX = 5 };

/* {====== Callbacks of libcurl ====== */

/* From CURLOPT_OPENSOCKETFUNCTION(3): returning CURL_SOCKET_BAD "signals an unrecoverable error
** ... return CURLE_COULDNT_CONNECT". The address is the resolved one, so no name hides it. */
static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
  struct akl_transfer *t = user;
  (void)purpose;
  if (t->guard && akl_address_reach(&address->addr) != AKL_PUBLIC) {
    t->refused_address = true;
    return CURL_SOCKET_BAD;
  }
#ifdef SOCK_CLOEXEC
  int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
#else
  int fd = socket(address->family, address->socktype, address->protocol);
  if (fd >= 0)
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
  if (fd < 0)
    return CURL_SOCKET_BAD;
  if (!akl_poller_opened(t->poller, fd)) {
    (void)close(fd);
    return CURL_SOCKET_BAD;
  }
  t->fd = fd;
  return fd;
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* A kept connection was opened by another transfer, which may have been allowed more. */
static int on_request(void *user, char *address, char *local, int port, int local_port) {
  struct akl_transfer *t = user;
  (void)local;
  (void)port;
  (void)local_port;
  if (t->guard && akl_numeric_reach(address) != AKL_PUBLIC) {
    t->refused_address = true;
    return CURL_PREREQFUNC_ABORT;
  }
  return CURL_PREREQFUNC_OK;
}
#endif

/* A connection outlives the transfer that opened it, so this one is given the poller. */
static int on_close(void *user, curl_socket_t fd) {
  akl_poller_closing(user, fd);
  return close(fd);
}

static size_t on_read(char *out, size_t size, size_t count, void *user) {
  struct akl_transfer *t = user;
  size_t room = size * count, left = t->body_size - t->body_taken;
  size_t n = left < room ? left : room;
  memcpy(out, t->body + t->body_taken, n);
  t->body_taken += n;
  return n;
}

/* libcurl rewinds a body to send it again, on its own decision, when a kept connection dies. A body
** that must not be sent twice refuses to be rewound once a byte of it was taken. */
static int on_seek(void *user, curl_off_t offset, int origin) {
  struct akl_transfer *t = user;
  if (origin != SEEK_SET || offset != 0 || (t->once && t->body_taken > 0))
    return CURL_SEEKFUNC_FAIL;
  t->body_taken = 0;
  return CURL_SEEKFUNC_OK;
}

/* The value of the header line if it has this name (lower case, with its colon), or NULL. */
static const char *value_of(const char *line, size_t size, const char *name, size_t *length) {
  if ((line[0] | 0x20) != name[0])
    return NULL;
  size_t n = strlen(name);
  if (size < n || strncasecmp(line, name, n) != 0)
    return NULL;
  while (n < size && (line[n] == ' ' || line[n] == '\t'))
    n++;
  while (size > n && (line[size - 1] == '\n' || line[size - 1] == '\r' || line[size - 1] == ' '))
    size--;
  *length = size - n;
  return line + n;
}

/* Copy a header value into 'out' as a string; one that does not fit counts as absent. */
static bool copy_value(char *out, size_t room, const char *value, size_t length) {
  if (length >= room || memchr(value, '\0', length) != NULL)
    return false;
  memcpy(out, value, length);
  out[length] = '\0';
  return true;
}

/* Retry-After: seconds, or a date, whose meaning is known when all headers are. */
static void parse_retry_after(struct akl_transfer *t, const char *text) {
  t->retry_after = -1;
  t->retry_date = -1;
  if (text[0] < '0' || text[0] > '9')
    t->retry_date = curl_getdate(text, NULL);
  else if (strspn(text, "0123456789") == strlen(text))
    t->retry_after = strtod(text, NULL);
}

time_t akl_transfer_date(const struct akl_transfer *t) {
#if LIBCURL_VERSION_NUM >= 0x075400
  struct curl_header *date;
  if (curl_easy_header(t->easy, "Date", 0, CURLH_HEADER, -1, &date) == CURLHE_OK)
    return curl_getdate(date->value, NULL);
#else
  (void)t;
#endif
  return (time_t)-1;
}

/* What time it is by the server's clock: ours may be wrong. */
static time_t server_time(const struct akl_transfer *t) {
  time_t at = akl_transfer_date(t);
  return at != (time_t)-1 ? at : time(NULL);
}

static void settle_retry_after(struct akl_transfer *t) {
  if (t->retry_date == (time_t)-1)
    return;
  double wait = difftime(t->retry_date, server_time(t));
  t->retry_after = wait > 0 ? wait : 0;
}

/* "bytes FIRST-LAST/TOTAL", or "bytes" and a star in the place of the range, when none is given. */
static void parse_content_range(struct akl_transfer *t, const char *text) {
  char *end = NULL;
  long long first = -1;
  t->range_first = t->range_total = -1;
  if (strncasecmp(text, "bytes ", 6) != 0)
    return;
  const char *slash = strchr(text, '/');
  if (text[6] >= '0' && text[6] <= '9')
    first = strtoll(text + 6, &end, 10);
  bool none = strncmp(text + 6, "*/", 2) == 0;
  if (slash == NULL || slash[1] < '0' || slash[1] > '9' || (!none && (first < 0 || *end != '-')))
    return;
  long long total = strtoll(slash + 1, &end, 10);
  if (*end == '\0') {
    t->range_first = first;
    t->range_total = total;
  }
}

/* Does this header redirect to a private host? Behind a proxy nobody but us would notice: the
** addresses that we connect to are the proxy's. */
static bool leads_inside(const struct akl_transfer *t, const char *line, size_t size) {
  size_t length;
  long status = 0;
  const char *value = t->checked ? value_of(line, size, "location:", &length) : NULL;
  if (value == NULL)
    return false;
  (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status < 300 || status > 399)
    return false;
  char *url = NULL, *location = strndup(value, length);
  (void)curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
  bool inside =
      location == NULL || url == NULL || akl_url_redirect_reach(url, location) != AKL_PUBLIC;
  free(location);
  return inside;
}

static void note_header(struct akl_transfer *t, const char *line, size_t size) {
  char text[AKL_ETAG_MAX] = "";
  size_t length;
  const char *value;
  if (value_of(line, size, "content-length:", &length) != NULL) {
    t->framed = true;
  } else if ((value = value_of(line, size, "transfer-encoding:", &length)) != NULL) {
    /* Any other coding than a last "chunked" ends with the connection. */
    if (length >= 7 && strncasecmp(value + length - 7, "chunked", 7) == 0)
      t->framed = true;
  } else if ((value = value_of(line, size, "retry-after:", &length)) != NULL) {
    if (copy_value(text, sizeof text, value, length))
      parse_retry_after(t, text);
  } else if ((value = value_of(line, size, "etag:", &length)) != NULL) {
    if (!copy_value(t->etag, sizeof t->etag, value, length))
      t->etag[0] = '\0';
  } else if ((value = value_of(line, size, "content-range:", &length)) != NULL) {
    if (copy_value(text, sizeof text, value, length))
      parse_content_range(t, text);
  } else if ((value = value_of(line, size, "content-encoding:", &length)) != NULL) {
    t->encoded = length != 8 || strncasecmp(value, "identity", 8) != 0;
  }
}

static void start_of_answer(struct akl_transfer *t) {
  t->headers_ended = t->framed = t->encoded = t->to_file = false;
  t->retry_after = -1;
  t->retry_date = -1;
  t->etag[0] = '\0';
  t->range_first = t->range_total = -1;
}

/* The final headers of a download are in: let the file decide where the body goes. */
static bool begin_file(struct akl_transfer *t, long status) {
  char *type = NULL;
  curl_off_t length = -1;
  (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
  (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  struct akl_announcement a = {.status = (int)status,
                               .length = length,
                               .first = t->range_first,
                               .total = t->range_total,
                               .encoded = t->encoded,
                               .etag = t->etag,
                               .type = type == NULL ? "" : type};
  return akl_file_begin(t->file, &a);
}

/* A reply cut inside its headers is reported by libcurl as success, so the end of the headers and
** the framing of the body are noted here. */
static size_t on_header(char *line, size_t size, size_t count, void *user) {
  struct akl_transfer *t = user;
  long status = 0;
  size *= count;
  t->header_bytes += size;
  t->received += (int64_t)size;
  if (t->header_bytes > AKL_HEADERS_MAX) {
    t->flooded = true;
    return 0;
  }
  if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
    start_of_answer(t);
  } else if (t->headers_ended) {
    return size; /* a trailer */
  } else if (size <= 2 && (line[0] == '\r' || line[0] == '\n')) {
    t->headers_ended = true;
    settle_retry_after(t);
    t->starved = curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK;
    if (t->starved)
      return 0;
    t->in_body = status / 100 != 1 || status == 101;
    t->to_file = t->file != NULL && (status == 200 || status == 206);
    if (t->to_file && !begin_file(t, status))
      return 0;
  } else if (leads_inside(t, line, size)) {
    t->refused_address = true;
    return 0;
  } else {
    note_header(t, line, size);
  }
  return size;
}

/* From 7.84.0 until 8.1.0 libcurl remembers the last header line of a handle's exchange beyond that
** exchange. When the next one's first line is folded (begins with a space), it is appended to memory
** that was freed: https://github.com/curl/curl/issues/11101. No server may do that to us. With
** CURLOPT_HEADER a line is handed to on_write before it is noted, and goes no further if refused.
** The first line of an answer is its status, however it is written, and is not noted; so is the one
** after an empty line, which ends an interim answer. A long line comes in pieces. */
static bool may_be_noted(struct akl_transfer *t, const char *bytes, size_t size) {
  bool begins = !t->in_line, empty = bytes[0] == '\r' || bytes[0] == '\n';
  t->in_line = bytes[size - 1] != '\n';
  if (!begins)
    return true;
  if (!t->has_status || empty) {
    t->has_status = !empty;
    return true;
  }
  t->misfolded = !t->has_header && (bytes[0] == ' ' || bytes[0] == '\t');
  t->has_header = true;
  return !t->misfolded;
}

static size_t on_write(char *bytes, size_t size, size_t count, void *user) {
  struct akl_transfer *t = user;
  size *= count;
  if (t->shows_headers && !t->in_body)
    return may_be_noted(t, bytes, size) ? size : 0;
  t->received += (int64_t)size;
  if (t->to_file) {
    bool fine = akl_file_write(t->file, bytes, size);
    if (t->progress != NULL)
      t->progress(t);
    return fine ? size : 0;
  }
  t->flooded = size > AKL_BODY_MAX - t->answer.size;
  t->starved = !t->flooded && !akl_memory_write(&t->answer, bytes, size);
  return t->flooded || t->starved ? 0 : size;
}

/* ============================================================ }
** {====== Setting up a handle ====== */

struct akl_transfer *akl_transfer_new(struct akl_poller *poller, const akl_usec *clock) {
  struct akl_transfer *t = calloc(1, sizeof *t);
  if (t == NULL)
    return NULL;
  akl_link_init(&t->link);
  t->poller = poller;
  t->clock = clock;
  /* Until 8.8 the session cache of libcurl frees memory twice when memory runs out. Asked only here:
  ** libcurl writes a list of all its libraries for an answer. */
  unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
  t->resumes = version >= 0x080800;
  t->remembers = version >= 0x075400 && version < 0x080100;
  return t;
}

void akl_transfer_reset(struct akl_transfer *t) {
  t->owner = NULL;
  t->progress = NULL;
  t->file = NULL;
  t->body = NULL;
  t->body_size = t->body_taken = t->header_bytes = 0;
  t->refused_address = t->timed_out = t->stalled = t->flooded = t->starved = false;
  t->in_line = t->has_status = t->has_header = t->in_body = t->misfolded = false;
  t->fd = -1;
  t->result = CURLE_OK;
  t->status = 0;
  t->words[0] = '\0';
  t->started = t->received = t->counted = 0;
  start_of_answer(t);
  akl_memory_reset(&t->answer);
}

static void forget_address(struct akl_transfer *t) {
  free(t->url);
  curl_free(t->path);
  t->url = t->path = NULL;
}

void akl_transfer_free(struct akl_transfer *t) {
  curl_easy_cleanup(t->easy);
  curl_url_cleanup(t->address);
  forget_address(t);
  akl_settings_unref(t->settings);
  akl_headers_unref(t->headers);
  akl_memory_free(&t->answer);
  free(t);
}

#define SET(option, value) (curl_easy_setopt(t->easy, option, value) == CURLE_OK)

static bool set_protocols(struct akl_transfer *t, bool plain) {
#if LIBCURL_VERSION_NUM >= 0x075500
  const char *allowed = plain ? "http,https" : "https";
  return SET(CURLOPT_PROTOCOLS_STR, allowed) && SET(CURLOPT_REDIR_PROTOCOLS_STR, allowed);
#else
  long allowed = plain ? CURLPROTO_HTTP | CURLPROTO_HTTPS : CURLPROTO_HTTPS;
  return SET(CURLOPT_PROTOCOLS, allowed) && SET(CURLOPT_REDIR_PROTOCOLS, allowed);
#endif
}

/* Where trust comes from. libcurl keeps a parsed bundle for all connections of a multi handle, but
** not while a CAPATH is set, and Debian compiles one in: 19 ms of CPU for each new connection. So
** the CAPATH goes wherever a bundle file does the job alone. */
static bool set_trust(struct akl_transfer *t, const struct akl_settings *s) {
  if (s->ca_file != NULL)
    return SET(CURLOPT_CAINFO, s->ca_file) && SET(CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075400
  char *bundle = NULL;
  if (t->settings != s) /* else it was looked for already */
    t->has_bundle = curl_easy_getinfo(t->easy, CURLINFO_CAINFO, &bundle) == CURLE_OK &&
                    bundle != NULL && access(bundle, R_OK) == 0;
#endif
  return !t->has_bundle || SET(CURLOPT_CAPATH, NULL);
}

static bool set_tls(struct akl_transfer *t, const struct akl_settings *s) {
  return SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
         SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) && set_trust(t, s) &&
         (t->resumes || SET(CURLOPT_SSL_SESSIONID_CACHE, 0L));
}

static bool set_safety(struct akl_transfer *t, const struct akl_request *r) {
  bool fine = SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
              SET(CURLOPT_UNRESTRICTED_AUTH, 0L) && set_protocols(t, r->plain);
#if LIBCURL_VERSION_NUM >= 0x075700
  /* Closing must not wait for a name server; the module is linked nodelete for this. */
  fine = fine && SET(CURLOPT_QUICK_EXIT, 1L);
#endif
  if (r->loopback)
    return fine && SET(CURLOPT_PROXY, "");
  if (r->proxy != NULL)
    return fine && SET(CURLOPT_PROXY, r->proxy) && SET(CURLOPT_NOPROXY, "");
  return fine && (r->settings->proxy == NULL || SET(CURLOPT_PROXY, r->settings->proxy));
}

static bool set_callbacks(struct akl_transfer *t) {
  return SET(CURLOPT_PRIVATE, t) && SET(CURLOPT_ERRORBUFFER, t->words) &&
         SET(CURLOPT_OPENSOCKETFUNCTION, on_open) && SET(CURLOPT_OPENSOCKETDATA, t) &&
         SET(CURLOPT_CLOSESOCKETFUNCTION, on_close) && SET(CURLOPT_CLOSESOCKETDATA, t->poller) &&
         SET(CURLOPT_HEADERFUNCTION, on_header) && SET(CURLOPT_HEADERDATA, t) &&
         SET(CURLOPT_WRITEFUNCTION, on_write) && SET(CURLOPT_WRITEDATA, t);
}

static bool set_exchange(struct akl_transfer *t, const struct akl_request *r) {
  const struct akl_settings *s = r->settings;
  akl_usec connect = s->connect_timeout / 1000;
  /* As a header, because libcurl prints its option for the same twice into every request. */
  t->first.data = s->agent;
  t->first.next = r->headers == NULL ? NULL : r->headers->list;
  return SET(CURLOPT_HTTPHEADER, &t->first) &&
         SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(connect < 1 ? 1 : connect)) &&
         SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS) &&
         SET(CURLOPT_HTTP09_ALLOWED, 0L) && SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* A body by callback, so that we know whether a byte of it may have left. A paid one gets a
** connection of its own: libcurl only repeats requests by itself on a reused one. */
static bool set_post(struct akl_transfer *t, const struct akl_request *r) {
  return SET(CURLOPT_POST, 1L) && SET(CURLOPT_POSTFIELDSIZE, (long)r->body_size) &&
         SET(CURLOPT_READFUNCTION, on_read) && SET(CURLOPT_READDATA, t) &&
         SET(CURLOPT_SEEKFUNCTION, on_seek) && SET(CURLOPT_SEEKDATA, t) &&
         (!r->once || SET(CURLOPT_FRESH_CONNECT, 1L));
}

/* A download may be redirected, since it carries no credentials. The larger buffer is a wish:
** libcurl may refuse it to a handle that already has one. */
static bool set_download(struct akl_transfer *t) {
  (void)SET(CURLOPT_BUFFERSIZE, (long)DOWNLOAD_BUFFER);
#if LIBCURL_VERSION_NUM >= 0x075000
  bool guarded = SET(CURLOPT_PREREQFUNCTION, on_request) && SET(CURLOPT_PREREQDATA, t);
#else
  bool guarded = !t->guard || SET(CURLOPT_FRESH_CONNECT, 1L);
#endif
  return guarded && SET(CURLOPT_FOLLOWLOCATION, 1L) && SET(CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
}

/* From CURLOPT_PIPEWAIT(3): "libcurl will wait for a connection to reveal if it is possible to
** pipeline/multiplex on before it continues", so many polls share one HTTP/2 connection. */
static bool set_get(struct akl_transfer *t) {
  t->shows_headers = t->remembers;
  return SET(CURLOPT_HTTPGET, 1L) && SET(CURLOPT_PIPEWAIT, 1L) &&
         SET(CURLOPT_HEADER, (long)t->shows_headers);
}

/* A handle without any of our options. From curl_easy_reset(3) one could have that more cheaply, but
** it cannot say that memory ran out in it, and then leaves half of the defaults unset: an upload
** buffer of no bytes, for one, with which an exchange hangs. */
static bool set_nothing(struct akl_transfer *t) {
  CURL *easy = curl_easy_init();
  if (easy == NULL)
    return false;
  curl_easy_cleanup(t->easy);
  t->easy = easy;
  return true;
}

static bool set_all(struct akl_transfer *t, const struct akl_request *r) {
  if (!set_nothing(t))
    return false;
  t->shows_headers = false;
  if (!set_callbacks(t) || !set_safety(t, r) || !set_tls(t, r->settings) || !set_exchange(t, r))
    return false;
  if (r->body != NULL)
    return set_post(t, r);
  return r->file != NULL ? set_download(t) : set_get(t);
}

/* Hold on to what the handle now points to. */
static void remember(struct akl_transfer *t, const struct akl_request *r) {
  akl_settings_unref(t->settings);
  akl_headers_unref(t->headers);
  t->settings = akl_settings_ref(r->settings);
  t->headers = r->headers == NULL ? NULL : akl_headers_ref(r->headers);
}

/* Have 'address' say where requests with a query go. */
static bool set_address(struct akl_transfer *t, const char *url) {
  if (t->url != NULL && strcmp(t->url, url) == 0)
    return true;
  forget_address(t);
  if (t->address == NULL)
    t->address = curl_url();
  if (t->address != NULL && curl_url_set(t->address, CURLUPART_URL, url, 0) == CURLUE_OK &&
      curl_url_get(t->address, CURLUPART_PATH, &t->path, 0) == CURLUE_OK)
    t->url = strdup(url);
  return t->url != NULL;
}

/* Write 'one', a "?" and 'other' into 'out'. False when there is no room. */
static bool join(char *out, size_t room, const char *one, const char *other) {
  size_t m = strlen(one), n = strlen(other);
  if (m + n + 2 > room)
    return false;
  memcpy(out, one, m);
  out[m] = '?';
  memcpy(out + m + 1, other, n + 1);
  return true;
}

/* An address with a query is one that is asked again and again, with another query each time. It is
** parsed once, and the query goes where libcurl only copies it: reading and printing such a URL for
** every request would be a third of all it does. A proxy for plain http is the exception: it has to
** be sent the whole URL. */
static bool set_where(struct akl_transfer *t, const struct akl_request *r, bool same) {
  char text[AKL_URL_MAX + 1024];
  if (r->query == NULL)
    return SET(CURLOPT_URL, r->url);
  if (r->plain && !r->loopback)
    return join(text, sizeof text, r->url, r->query) && SET(CURLOPT_URL, text);
  /* The URL is not looked at, but without one libcurl prints it from the address. */
  return set_address(t, r->url) && join(text, sizeof text, t->path, r->query) &&
         (same || SET(CURLOPT_URL, r->url)) && SET(CURLOPT_CURLU, t->address) &&
         SET(CURLOPT_REQUEST_TARGET, text);
}

bool akl_transfer_prepare(struct akl_transfer *t, const struct akl_request *r) {
  bool plain_get = r->body == NULL && r->file == NULL;
  bool queried = r->query != NULL;
  bool same = plain_get && t->plain_get && t->queried == queried && t->settings == r->settings &&
              t->headers == r->headers;
  t->once = r->once;
  t->checked = r->checked;
  t->guard = r->guard;
  t->body = r->body;
  t->body_size = r->body_size;
  t->file = r->file;
  t->limit = r->limit;
  t->plain_get = false;
  if (!same && !set_all(t, r))
    return false;
  if (!set_where(t, r, same))
    return false;
  if (!same)
    remember(t, r);
  t->plain_get = plain_get;
  t->queried = queried;
  return true;
}

bool akl_transfer_connect(struct akl_transfer *t) {
  t->plain_get = false; /* the next request has to set it up anew */
  return SET(CURLOPT_FRESH_CONNECT, 1L);
}

/* ============================================================ } */
