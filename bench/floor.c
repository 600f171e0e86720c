/*
** The floor under every client that is built on libcurl: plain C, one multi
** handle driven by its socket interface and epoll. It asks URL again and again
** and prints, as one line of JSON, what that took.
**
**   floor URL CONCURRENCY REQUESTS
**
** The request is the one that the library sends, byte for byte, when URL is
** that of an info.
**
** URL names its host by address: the sockets of libcurl's resolver would break
** the one trick below, which is to tell epoll about a socket only when the
** next wait begins. Between two requests on a kept connection libcurl says
** "remove" and then "in" again, and by then the two have cancelled out.
**
** There is one engine and it lives in main. It owns the slots, and each slot
** owns its easy handle, for the whole run.
*/
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#define MAX_SOCKET 4096
#define MAX_SLOTS 1024
#define MAX_BODY 4096
#define EVENTS 64

/* One request in flight, again and again. */
struct slot {
  CURL *easy;
  size_t length;
  char body[MAX_BODY + 1];
};

/* What epoll knows about a socket, and what libcurl would like it to know. */
struct watch {
  uint32_t has;
  uint32_t wants;
  bool listed; /* in 'changed' */
};

struct engine {
  CURLM *multi;
  int epoll;
  double deadline; /* of libcurl's timer; negative when none is set */
  long to_start;
  long to_finish;
  int changes;
  int changed[MAX_SOCKET];
  struct watch watches[MAX_SOCKET];
  struct slot slots[MAX_SLOTS];
};

static void fail(const char *what) {
  fprintf(stderr, "floor: %s\n", what);
  exit(EXIT_FAILURE);
}

static void check_multi(CURLMcode code) {
  if (code != CURLM_OK)
    fail(curl_multi_strerror(code));
}

static void check_easy(CURLcode code) {
  if (code != CURLE_OK)
    fail(curl_easy_strerror(code));
}

/* Seconds on the monotonic clock. */
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The most memory this process ever held, in kB. */
static long peak_rss(void) {
  FILE *status = fopen("/proc/self/status", "re");
  char line[256];
  long peak = 0;
  if (status == NULL)
    fail("cannot read /proc/self/status");
  while (fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, "VmHWM:", 6) == 0)
      peak = strtol(line + 6, NULL, 10);
  }
  fclose(status);
  return peak;
}

/* ---------------------------------------------------------- libcurl's callbacks */

static struct watch *watch_of(struct engine *e, curl_socket_t fd) {
  if (fd < 0 || fd >= MAX_SOCKET)
    fail("a socket number is too large");
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
  e->deadline = ms < 0 ? -1 : now() + (double)ms * 1e-3;
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

static void start(struct engine *e, struct slot *s) {
  s->length = 0;
  e->to_start--;
  check_multi(curl_multi_add_handle(e->multi, s->easy));
}

static void finish(struct engine *e, const CURLMsg *message) {
  struct slot *s = NULL;
  check_easy(message->data.result);
  check_easy(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &s));
  check_multi(curl_multi_remove_handle(e->multi, s->easy));
  s->body[s->length] = '\0';
  if (strstr(s->body, "\"code\":1000") == NULL)
    fail("an answer does not say code 1000");
  e->to_finish--;
  if (e->to_start > 0)
    start(e, s);
}

/* ---------------------------------------------------------------------- the loop */

static void act(struct engine *e, curl_socket_t fd, int events) {
  int running;
  check_multi(curl_multi_socket_action(e->multi, fd, events, &running));
}

/* Runs libcurl's timer for as long as it is due; most of its timers are due at once. */
static void run_timer(struct engine *e) {
  while (e->deadline >= 0 && e->deadline <= now()) {
    e->deadline = -1;
    act(e, CURL_SOCKET_TIMEOUT, 0);
  }
}

static void reap(struct engine *e) {
  const CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(e->multi, &left)) != NULL) {
    if (message->msg == CURLMSG_DONE)
      finish(e, message);
  }
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
      fail("epoll_ctl failed");
    w->has = w->wants;
  }
  e->changes = 0;
}

static void wait_and_act(struct engine *e) {
  struct epoll_event events[EVENTS];
  int ms = e->deadline < 0 ? -1 : (int)((e->deadline - now()) * 1e3) + 1;
  int n = epoll_wait(e->epoll, events, EVENTS, ms < -1 ? 0 : ms);
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

static void run(struct engine *e, int concurrency) {
  for (int i = 0; i < concurrency && e->to_start > 0; i++)
    start(e, &e->slots[i]);
  for (;;) {
    run_timer(e);
    reap(e);
    if (e->to_finish == 0)
      break;
    if (e->deadline >= 0 && e->deadline <= now())
      continue; /* reaping started more */
    settle(e);
    wait_and_act(e);
  }
}

/* ------------------------------------------------------------------------- set-up */

static CURL *new_easy(struct engine *e, struct slot *s, const char *url,
                      struct curl_slist *headers) {
  CURL *easy = curl_easy_init();
  if (easy == NULL)
    fail("out of memory");
  check_easy(curl_easy_setopt(easy, CURLOPT_URL, url));
  check_easy(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers));
  check_easy(curl_easy_setopt(easy, CURLOPT_USERAGENT, "akool-lipsync/0.1.0"));
  check_easy(curl_easy_setopt(easy, CURLOPT_PROXY, ""));
  check_easy(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
  check_easy(curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L));
  check_easy(curl_easy_setopt(easy, CURLOPT_TIMEOUT, 30L));
  check_easy(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body));
  check_easy(curl_easy_setopt(easy, CURLOPT_WRITEDATA, s));
  check_easy(curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close));
  check_easy(curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, e));
  check_easy(curl_easy_setopt(easy, CURLOPT_PRIVATE, s));
  return easy;
}

static void open_engine(struct engine *e, int concurrency) {
  check_easy(curl_global_init(CURL_GLOBAL_DEFAULT));
  e->deadline = -1;
  e->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (e->epoll < 0)
    fail("epoll_create1 failed");
  e->multi = curl_multi_init();
  if (e->multi == NULL)
    fail("out of memory");
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket));
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e));
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_timer));
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e));
  check_multi(curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)concurrency));
}

static void close_engine(struct engine *e, int concurrency) {
  for (int i = 0; i < concurrency; i++)
    curl_easy_cleanup(e->slots[i].easy);
  check_multi(curl_multi_cleanup(e->multi));
  close(e->epoll);
}

static long number(const char *text, long max) {
  char *end;
  long n = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || n < 1 || n > max)
    fail("a number is out of range");
  return n;
}

int main(int argc, char **argv) {
  static struct engine e;
  if (argc != 4)
    fail("usage: floor URL CONCURRENCY REQUESTS");
  int concurrency = (int)number(argv[2], MAX_SLOTS);
  long requests = number(argv[3], 100000000);
  struct curl_slist *accept = curl_slist_append(NULL, "Accept: application/json");
  struct curl_slist *headers = curl_slist_append(accept, "x-api-key: bench");
  if (accept == NULL || headers == NULL)
    fail("out of memory");

  open_engine(&e, concurrency);
  for (int i = 0; i < concurrency; i++) {
    e.slots[i].easy = new_easy(&e, &e.slots[i], argv[1], headers);
  }
  e.to_start = requests;
  e.to_finish = requests;

  double began = now();
  clock_t cpu = clock();
  run(&e, concurrency);
  cpu = clock() - cpu;
  printf("{\"requests\":%ld,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"peak_rss_kb\":%ld}\n", requests,
         now() - began, (double)cpu / CLOCKS_PER_SEC, peak_rss());

  close_engine(&e, concurrency);
  curl_slist_free_all(headers);
  return EXIT_SUCCESS;
}
