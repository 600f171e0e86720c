/* wire: see wire.h. */
#include "wire.h"

#include <errno.h>      /* ECONNREFUSED */
#include <fcntl.h>      /* O_NONBLOCK */
#include <pthread.h>    /* pthread_create */
#include <stdlib.h>     /* strtoul */
#include <string.h>     /* memmem */
#include <sys/epoll.h>  /* epoll_wait */
#include <sys/socket.h> /* socketpair */
#include <time.h>       /* struct timespec */
#include <unistd.h>     /* close */

#include "harness.h"

enum {
  CONNECTIONS = 256,
  REQUEST_MAX = 32 * 1024,
  TURNS_MAX = 20000, /* looks at the sockets; more than that is a wait without an end */
  PATIENT = 100,     /* looks after which the clock begins to hurry */
};

#define BIRTH 1000000000LL /* s: when the clock starts, so that real timers never seem due */

/* One connection, seen from the server. */
struct line {
  int near, far; /* libcurl's end, as a number only; ours, -1 if there is none */
  char request[REQUEST_MAX];
  size_t requested;
  struct wire_reply reply;
  size_t replied;
  bool answering;
};

static struct line lines[CONNECTIONS];
static unsigned line_count, request_count, turns;
static long long now; /* us */
static wire_server *serve;
static void *server_user;
static bool refuses_threads;

/* {====== The server ====== */

/* The length of the request at the front of what came, 0 while it is not whole. */
static size_t whole_request(const struct line *l) {
  const char *end = memmem(l->request, l->requested, "\r\n\r\n", 4);
  if (end == NULL)
    return 0;
  size_t head = (size_t)(end - l->request) + 4, body = 0;
  const char *length = memmem(l->request, head, "\r\nContent-Length: ", 18);
  if (length != NULL)
    body = strtoul(length + 18, NULL, 10);
  return l->requested >= head + body ? head + body : 0;
}

static void hang_up(struct line *l) {
  if (l->far >= 0)
    (void)close(l->far);
  l->far = -1;
}

/* Take what libcurl sent. False when it closed its end. */
static bool hear(struct line *l) {
  ssize_t got = 1;
  while (got > 0) {
    char *to = l->request + l->requested;
    size_t room = sizeof l->request - l->requested;
    fuzz_must(room > 0, "a request is no longer than 32 KiB");
    got = recv(l->far, to, room, MSG_DONTWAIT);
    if (got > 0)
      l->requested += (size_t)got;
  }
  return got < 0 && errno == EAGAIN;
}

/* Send the next slice of the answer. False if nobody takes it. */
static bool say(struct line *l) {
  size_t left = l->reply.size - l->replied;
  size_t n = l->reply.slice > 0 && l->reply.slice < left ? l->reply.slice : left;
  ssize_t sent =
      n == 0 ? 0 : send(l->far, l->reply.bytes + l->replied, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0)
    l->replied += (size_t)sent;
  if (l->replied == l->reply.size) {
    l->answering = false;
    if (l->reply.then == WIRE_CLOSE)
      hang_up(l);
  }
  return sent >= 0;
}

/* One turn of a connection. True if something happened on it. */
static bool turn(struct line *l) {
  if (l->far < 0)
    return false;
  if (!hear(l)) {
    hang_up(l);
    return true;
  }
  size_t size = l->answering ? 0 : whole_request(l);
  if (size > 0) {
    l->reply = (struct wire_reply){.then = WIRE_CLOSE};
    serve(server_user, request_count++, l->request, size, &l->reply);
    l->requested -= size;
    memmove(l->request, l->request + size, l->requested);
    l->replied = 0;
    l->answering = true;
  }
  return l->answering && say(l);
}

/* ============================================================ }
** {====== In the place of the system's ====== */

/* The linker and the sanitizer have given these names.
** NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __interceptor_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_socket(int family, int type, int protocol);
int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int timeout);
int __real_epoll_wait(int set, struct epoll_event *events, int most, int timeout);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
time_t __wrap_time(time_t *out);

int __wrap_socket(int family, int type, int protocol) {
  int ends[2];
  (void)family;
  (void)protocol;
  if (line_count == CONNECTIONS) {
    errno = EMFILE;
    return -1;
  }
  fuzz_must(socketpair(AF_UNIX, SOCK_STREAM | (type & SOCK_CLOEXEC), 0, ends) == 0,
            "there are descriptors left");
  struct line *l = &lines[line_count++];
  l->near = ends[0];
  l->far = ends[1];
  l->requested = l->replied = 0;
  l->answering = false;
  return ends[0];
}

/* libcurl's: its sockets are connected when they are born. */
int connect(int fd, const struct sockaddr *address, socklen_t size) {
  (void)address;
  (void)size;
  for (unsigned i = 0; i < line_count; i++)
    if (lines[i].near == fd && lines[i].far >= 0)
      return 0;
  errno = ECONNREFUSED;
  return -1;
}

/* libcurl's too. The fuzzer starts a thread of its own before it feeds the first input. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
  return refuses_threads ? EAGAIN : __interceptor_pthread_create(thread, attr, run, arg);
}

/* Nothing can happen before 'timeout' ms are over, so let them be. */
static void pass_time(int timeout) {
  unsigned haste = turns > PATIENT ? (turns - PATIENT) / 4 : 0;
  now += (long long)timeout * 1000;
  if (timeout != 0)
    now += 1LL << (haste < 45 ? haste : 45);
}

int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int timeout) {
  bool busy = false;
  fuzz_must(++turns < TURNS_MAX, "nothing waits without an end");
  for (unsigned i = 0; i < line_count; i++)
    busy = turn(&lines[i]) || busy;
  int found = __real_epoll_wait(set, events, most, 0);
  if (found == 0 && !busy)
    pass_time(timeout);
  return found;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out) {
  (void)clock;
  *out = (struct timespec){.tv_sec = BIRTH + now / 1000000, .tv_nsec = now % 1000000 * 1000};
  return 0;
}

time_t __wrap_time(time_t *out) {
  time_t seconds = BIRTH + now / 1000000;
  if (out != NULL)
    *out = seconds;
  return seconds;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* ============================================================ } */

void wire_reset(wire_server *server, void *user) {
  for (unsigned i = 0; i < line_count; i++)
    hang_up(&lines[i]);
  line_count = request_count = turns = 0;
  now = 0;
  serve = server;
  server_user = user;
  refuses_threads = true;
}
