/* multi: the floor's engine; see floor.h. There is one, and it lives in its program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "floor.h"

enum { EVENTS = 64 };

void floor_fail(const char *what) {
  fprintf(stderr, "floor: %s\n", what);
  exit(EXIT_FAILURE);
}

static void check_multi(CURLMcode code) {
  if (code != CURLM_OK)
    floor_fail(curl_multi_strerror(code));
}

void floor_check_easy(CURLcode code) {
  if (code != CURLE_OK)
    floor_fail(curl_easy_strerror(code));
}

double floor_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double floor_cpu(void) {
  return (double)clock() / CLOCKS_PER_SEC;
}

/* A line of /proc/self/status, in kB. */
static long status(const char *name) {
  FILE *file = fopen("/proc/self/status", "re");
  char line[256];
  long kb = 0;
  if (file == NULL)
    floor_fail("cannot read /proc/self/status");
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0)
      kb = strtol(line + strlen(name), NULL, 10);
  }
  fclose(file);
  return kb;
}

long floor_rss(void) {
  return status("VmRSS:");
}

long floor_peak_rss(void) {
  return status("VmHWM:");
}

/* ---------------------------------------------------------- libcurl's callbacks */

static struct watch *watch_of(struct engine *e, curl_socket_t fd) {
  if (fd < 0 || fd >= MAX_SOCKET)
    floor_fail("a socket number is too large");
  return &e->watches[fd];
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *engine, void *unused) {
  struct engine *e = engine;
  struct watch *w = watch_of(e, fd);
  (void)easy;
  (void)unused;
  w->wants = 0;
  if (what & CURL_POLL_IN)
    w->wants |= EPOLLIN;
  if (what & CURL_POLL_OUT)
    w->wants |= EPOLLOUT;
  if (what == CURL_POLL_REMOVE)
    w->wants = 0;
  if (!w->listed)
    e->changed[e->changes++] = fd;
  w->listed = true;
  return 0;
}

static int on_timer(CURLM *multi, long ms, void *engine) {
  struct engine *e = engine;
  (void)multi;
  e->deadline = ms < 0 ? -1 : floor_now() + (double)ms * 1e-3;
  return 0;
}

/* A closed descriptor has left epoll by itself. */
static int on_close(void *engine, curl_socket_t fd) {
  struct watch *w = watch_of(engine, fd);
  w->has = 0;
  w->wants = 0;
  return close(fd);
}

static size_t on_body(char *data, size_t size, size_t count, void *slot) {
  struct slot *s = slot;
  size_t n = size * count;
  if (n > MAX_BODY - s->length)
    return 0;
  memcpy(s->body + s->length, data, n);
  s->length += n;
  return n;
}

/* ------------------------------------------------------------------- one request */

void floor_start(struct engine *e, struct slot *s) {
  s->length = 0;
  check_multi(curl_multi_add_handle(e->multi, s->easy));
}

void floor_check_answer(struct slot *s) {
  s->body[s->length] = '\0';
  if (strstr(s->body, "\"code\":1000") == NULL)
    floor_fail("an answer does not say code 1000");
}

static void finish(struct engine *e, const CURLMsg *message) {
  struct slot *s = NULL;
  floor_check_easy(message->data.result);
  floor_check_easy(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &s));
  check_multi(curl_multi_remove_handle(e->multi, s->easy));
  e->finished(e, s);
}

/* ---------------------------------------------------------------------- the loop */

static void act(struct engine *e, curl_socket_t fd, int events) {
  int running;
  check_multi(curl_multi_socket_action(e->multi, fd, events, &running));
}

/* Runs libcurl's timer for as long as it is due; most of its timers are due at once. */
static void run_timer(struct engine *e) {
  while (e->deadline >= 0 && e->deadline <= floor_now()) {
    e->deadline = -1;
    act(e, CURL_SOCKET_TIMEOUT, 0);
  }
}

static bool reap(struct engine *e) {
  const CURLMsg *message;
  int left;
  bool some = false;
  while ((message = curl_multi_info_read(e->multi, &left)) != NULL) {
    if (message->msg == CURLMSG_DONE) {
      finish(e, message);
      some = true;
    }
  }
  return some;
}

/* Tells epoll what has changed since the last wait. */
static void settle(struct engine *e) {
  for (int i = 0; i < e->changes; i++) {
    int fd = e->changed[i];
    struct watch *w = &e->watches[fd];
    struct epoll_event event = {.events = w->wants, .data = {.fd = fd}};
    w->listed = false;
    if (w->wants == w->has)
      continue;
    int how = w->has == 0 ? EPOLL_CTL_ADD : w->wants == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(e->epoll, how, fd, &event) != 0)
      floor_fail("epoll_ctl failed");
    w->has = w->wants;
  }
  e->changes = 0;
}

static int milliseconds(double until) {
  double left = (until - floor_now()) * 1e3;
  return until < 0 ? -1 : left <= 0 ? 0 : (int)left + 1;
}

static void wait_and_act(struct engine *e, double until) {
  struct epoll_event events[EVENTS];
  if (e->deadline >= 0 && (until < 0 || e->deadline < until))
    until = e->deadline;
  int n = epoll_wait(e->epoll, events, EVENTS, milliseconds(until));
  for (int i = 0; i < n; i++) {
    int what = 0;
    if (events[i].events & (EPOLLIN | EPOLLHUP))
      what |= CURL_CSELECT_IN;
    if (events[i].events & EPOLLOUT)
      what |= CURL_CSELECT_OUT;
    if (events[i].events & EPOLLERR)
      what |= CURL_CSELECT_ERR;
    act(e, events[i].data.fd, what);
  }
}

void floor_turn(struct engine *e, double until) {
  run_timer(e);
  if (reap(e))
    return;
  settle(e);
  wait_and_act(e, until);
  (void)reap(e);
}

/* ------------------------------------------------------------------------- set-up */

#define AGENT "akool-lipsync/0.1.0"

static struct curl_slist *with_header(struct curl_slist *list, const char *line) {
  struct curl_slist *longer = curl_slist_append(list, line);
  if (longer == NULL)
    floor_fail("out of memory");
  return longer;
}

static struct curl_slist *headers_of_api(const struct way *way) {
  struct curl_slist *list = with_header(NULL, "Accept: application/json");
  list = with_header(list, "x-api-key: bench");
  /* The option for the same is printed twice into every request. */
  return way->tuned ? with_header(list, "User-Agent: " AGENT) : list;
}

/* As the manual has it. */
static void set_plainly(struct slot *s, const char *url) {
  floor_check_easy(curl_easy_setopt(s->easy, CURLOPT_URL, url));
  floor_check_easy(curl_easy_setopt(s->easy, CURLOPT_USERAGENT, AGENT));
  floor_check_easy(curl_easy_setopt(s->easy, CURLOPT_TIMEOUT, 30L));
}

/* The URL is parsed once, without its query, and path and query go where libcurl only copies them. */
static void set_tuned(struct slot *s, const char *url) {
  const char *host = strstr(url, "://"), *path = host == NULL ? NULL : strchr(host + 3, '/');
  s->address = curl_url();
  if (path == NULL || s->address == NULL ||
      curl_url_set(s->address, CURLUPART_URL, url, 0) != CURLUE_OK ||
      curl_url_set(s->address, CURLUPART_QUERY, NULL, 0) != CURLUE_OK)
    floor_fail("the URL cannot be read");
  floor_check_easy(curl_easy_setopt(s->easy, CURLOPT_CURLU, s->address));
  floor_check_easy(curl_easy_setopt(s->easy, CURLOPT_REQUEST_TARGET, path));
}

static void set_way(CURL *easy, const struct way *way) {
  long version = way->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_PIPEWAIT, way->http2 ? 1L : 0L));
  /* With a CAPATH, which Debian compiles in, libcurl would parse the bundle for each connection. */
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_CAPATH, NULL));
  if (way->ca_file != NULL)
    floor_check_easy(curl_easy_setopt(easy, CURLOPT_CAINFO, way->ca_file));
  if (way->unresumed)
    floor_check_easy(curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L));
}

void floor_prepare(struct slot *s, struct engine *e, const struct way *way, const char *url) {
  static struct curl_slist *headers;
  if (headers == NULL)
    headers = headers_of_api(way);
  CURL *easy = s->easy = curl_easy_init();
  if (easy == NULL)
    floor_fail("out of memory");
  set_way(easy, way);
  (way->tuned ? set_tuned : set_plainly)(s, url);
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_PROXY, ""));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_WRITEDATA, s));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, e));
  floor_check_easy(curl_easy_setopt(easy, CURLOPT_PRIVATE, s));
}

void floor_release(struct slot *s) {
  curl_easy_cleanup(s->easy);
  curl_url_cleanup(s->address);
}

void floor_open(struct engine *e, const struct way *way, int connections,
                void (*finished)(struct engine *e, struct slot *s)) {
  floor_check_easy(curl_global_init(CURL_GLOBAL_DEFAULT));
  e->finished = finished;
  e->deadline = -1;
  e->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (e->epoll < 0)
    floor_fail("epoll_create1 failed");
  e->multi = curl_multi_init();
  if (e->multi == NULL)
    floor_fail("out of memory");
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket));
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e));
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_timer));
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e));
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)connections));
  /* Else libcurl opens a connection for each request past the server's limit of streams. */
  if (way->http2)
    check_multi(curl_multi_setopt(e->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 2L));
}

void floor_close(struct engine *e) {
  check_multi(curl_multi_cleanup(e->multi));
  close(e->epoll);
}
